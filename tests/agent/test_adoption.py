"""The agent dies in every way and comes back: runners do not notice."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from runners.simulator import Simulator
from runners.simulator.model import Job
from tests.agent.dashboard import Dashboard
from tests.agent.machine import Machine
from tests.agent.patience import until


def wait_for(gate: Path) -> str:
    """A shell step that waits for a file."""
    return f"while [ ! -e {gate} ]; do sleep 0.1; done"


def busy(
    github: Simulator, fleet: Dashboard, machine: Machine, gate: Path, misbehave: str = ""
) -> Job:
    """Bring up an agent and a runner, and give it a job that waits for a file."""
    machine.join(fleet)
    fleet.want(12)
    until(lambda: fleet.phase(12) == "listening", "listening")
    job = github.queue_job(
        labels=("runner-12",), steps=(wait_for(gate), "echo done"), misbehave=misbehave
    )
    until(lambda: fleet.phase(12) == "busy", "busy")
    return job


def test_job_survives_sigkill_of_the_agent_and_is_told(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    gate = machine.shared / "gate"
    job = busy(github, fleet, machine, gate)
    pid = fleet.slot(12)["pid"]
    machine.kill()
    machine.start()
    until(lambda: "adopted" in fleet.kinds(12), "the adoption")
    until(lambda: fleet.phase(12) == "busy", "busy after the adoption")
    assert fleet.slot(12)["pid"] == pid
    gate.touch()
    until(lambda: fleet.phase(12) == "exited", "the end of the runner")
    assert job.conclusion == "success"
    assert fleet.slot(12)["exit_code"] == 0


def test_many_runners_go_on_when_their_agent_is_killed(fleet: Dashboard, machine: Machine) -> None:
    ids = (1, 2, 3, 4)
    machine.join(fleet)
    for runner_id in ids:
        fleet.want(runner_id)
    until(lambda: all(fleet.phase(key) == "listening" for key in ids), "listening")
    pids = {key: fleet.slot(key)["pid"] for key in ids}
    machine.kill()
    fleet.heartbeats.clear()
    machine.start()
    until(lambda: all(fleet.phase(key) == "listening" for key in ids), "listening again")
    assert {key: fleet.slot(key)["pid"] for key in ids} == pids
    assert all("adopted" in fleet.kinds(key) for key in ids)


def test_job_that_ends_while_no_agent_runs_is_told_with_its_exit_code_and_output(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    gate = machine.shared / "gate"
    job = busy(github, fleet, machine, gate)
    machine.kill()
    gate.touch()
    until(lambda: job.conclusion == "success", "the job's end")
    until(lambda: (machine.slot_path(12) / "exit.json").exists(), "the record of the exit")
    machine.start()
    until(lambda: fleet.phase(12) == "exited", "the end to be told")
    assert fleet.slot(12)["exit_code"] == 0
    assert "job-completed" in fleet.kinds(12)
    until(lambda: "completed with result: Succeeded" in fleet.logs[12], "the whole console")
    assert fleet.logs[12].count("Listening for Jobs") == 1


def test_flooding_runner_is_not_blocked_while_no_agent_runs(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    gate = machine.shared / "gate"
    job = busy(github, fleet, machine, gate, misbehave="flood")
    machine.kill()
    console = machine.slot_path(12) / "console"

    def newest() -> int:
        return max(int(p.name.split("-")[1].split(".")[0]) for p in console.glob("console-*"))

    before = newest()
    until(lambda: newest() > before + 1024 * 1024, "a megabyte more")
    gate.touch()
    until(lambda: job.conclusion == "success", "the job's end")


def test_terminated_agent_leaves_its_runners_to_the_next(
    fleet: Dashboard, machine: Machine
) -> None:
    machine.join(fleet)
    fleet.want(12)
    until(lambda: fleet.phase(12) == "listening", "listening")
    pid = fleet.slot(12)["pid"]
    assert machine.terminate() == 0
    assert pid in machine.marked_processes()
    machine.start()
    until(lambda: "adopted" in fleet.kinds(12), "the adoption")
    until(lambda: fleet.phase(12) == "listening", "listening after the adoption")
    assert fleet.slot(12)["pid"] == pid


def test_agent_told_to_stops_idle_runners_with_itself(fleet: Dashboard, machine: Machine) -> None:
    machine.enrol(fleet)
    machine.start("--stop-runners")
    fleet.want(12)
    until(lambda: fleet.phase(12) == "listening", "listening")
    assert machine.terminate() == 0
    assert machine.marked_processes() == []
    assert fleet.phase(12) == "gone"


def test_runner_outlives_its_keeper_and_its_clean_end_is_believed(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    gate = machine.shared / "gate"
    job = busy(github, fleet, machine, gate, misbehave="flood")
    pid = fleet.slot(12)["pid"]
    os.kill(machine.keeper_record(12)["keeper_pid"], signal.SIGKILL)
    until(lambda: "keeper-lost" in fleet.kinds(12), "the loss to be noticed")
    until(lambda: fleet.phase(12) == "busy", "busy")
    assert fleet.slot(12)["pid"] == pid
    gate.touch()
    until(lambda: fleet.phase(12) == "exited", "the end of the runner")
    assert job.conclusion == "success"
    assert (fleet.slot(12)["exit_code"], fleet.slot(12)["cause"]) == (0, "finished")
    until(lambda: machine.marked_processes() == [], "the end of everything")


def test_reboot_is_told_and_the_slot_wiped(fleet: Dashboard, machine: Machine) -> None:
    machine.join(fleet)
    fleet.want(12)
    until(lambda: fleet.phase(12) == "listening", "listening")
    machine.kill()
    for pid in machine.marked_processes():
        os.kill(pid, signal.SIGKILL)
    record = machine.slot_path(12) / "slot.json"
    record.write_text(json.dumps(machine.record(12) | {"boot_id": "another-boot"}))
    machine.start()
    until(lambda: fleet.phase(12) == "exited", "the end to be told")
    assert "restarted" in fleet.slot(12)["reason"]
    assert fleet.slot(12)["cause"] == "rebooted"
    assert not (machine.slot_path(12) / "runner").exists()


def test_process_id_given_to_another_process_is_not_adopted(
    fleet: Dashboard, machine: Machine
) -> None:
    machine.join(fleet)
    fleet.want(12)
    until(lambda: fleet.phase(12) == "listening", "listening")
    machine.kill()
    for pid in machine.marked_processes():
        os.kill(pid, signal.SIGKILL)
    # This very test process now has the id that the record names, but started at another time.
    ours = [os.getpid(), 1]
    record = machine.slot_path(12) / "slot.json"
    record.write_text(json.dumps(machine.record(12) | {"keeper": ours, "runner": ours}))
    machine.start()
    until(lambda: fleet.phase(12) == "exited", "the end to be told")
    assert "adopted" not in fleet.kinds(12)


def test_half_made_slot_is_dropped_and_made_again(fleet: Dashboard, machine: Machine) -> None:
    fleet.answers["runners/12/jit-config"] = (503, {"errors": ["Later."]})
    machine.join(fleet)
    fleet.want(12)
    until(lambda: fleet.phase(12) == "registering", "registering")
    machine.kill()
    del fleet.answers["runners/12/jit-config"]
    machine.start()
    until(lambda: fleet.phase(12) == "listening", "listening")


def test_orphan_directories_are_swept_at_start(fleet: Dashboard, machine: Machine) -> None:
    machine.enrol(fleet)
    orphan = machine.state / "slots" / "77" / "runner"
    orphan.mkdir(parents=True)
    (orphan / ".credentials").write_text("left over")
    half_fetched = machine.state / "packages" / ".new-0123"
    half_fetched.mkdir(parents=True)
    machine.start()
    until(lambda: fleet.heartbeats, "the first heartbeat")
    assert not orphan.parent.exists()
    assert not half_fetched.exists()


def test_console_told_twice_is_told_once(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    gate = machine.shared / "gate"
    busy(github, fleet, machine, gate)
    until(lambda: "Running job" in fleet.logs.get(12, ""), "the first part of the console")
    machine.kill()
    # As if the agent had died before it could note the server's answer.
    record = machine.slot_path(12) / "slot.json"
    record.write_text(json.dumps(machine.record(12) | {"log_offset": 0, "log_next": 0}))
    machine.start()
    gate.touch()
    until(lambda: "completed with result" in fleet.logs[12], "the rest of the console")
    assert fleet.logs[12].count("Listening for Jobs") == 1
    assert fleet.logs[12].count("Running job") == 1

"""Runners through the agent, on real processes: one job, several slots, stop, force, flood."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from fleet_agent.process_table import command_line

from runners.simulator import Simulator
from tests.agent.dashboard import CODE, TOKEN, Dashboard
from tests.agent.machine import Machine
from tests.agent.patience import until
from tests.agent.shapes import differences, example


def listening(fleet: Dashboard, machine: Machine, *runner_ids: int) -> None:
    """Bring an agent and these runners up."""
    machine.join(fleet)
    for runner_id in runner_ids:
        fleet.want(runner_id)
    until(lambda: all(fleet.phase(key) == "listening" for key in runner_ids), "listening")


def test_jit_runner_takes_one_job_and_is_wiped(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    listening(fleet, machine, 12)
    job = github.queue_job(labels=("runner-12",), steps=("echo hello from the job",))
    until(lambda: fleet.phase(12) == "exited", "the end of the runner")
    assert (job.conclusion, fleet.slot(12)["exit_code"]) == ("success", 0)
    assert {"job-started", "job-completed", "exited"} <= set(fleet.kinds(12))
    until(lambda: not (machine.slot_path(12) / "runner").exists(), "the wipe")
    assert "Listening for Jobs" in fleet.logs[12]


def test_phases_are_told_in_order_and_shaped_as_the_contract_says(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    listening(fleet, machine, 12)
    github.queue_job(labels=("runner-12",), steps=("sleep 1",), name="compile")
    until(lambda: fleet.phase(12) == "busy", "busy")
    busy = next(body for body in fleet.heartbeats if body["slots"][:1] and body["slots"][0]["job"])
    assert differences(busy, example("heartbeat.quiet.request.json")) == []
    assert busy["slots"][0]["job"]["name"] == "compile"
    assert busy["slots"][0]["runner_version"] == "2.336.0"
    until(lambda: fleet.phase(12) == "exited", "the end of the runner")
    order = ["fetching", "preparing", "registering", "starting", "listening", "busy", "exited"]
    told = fleet.phases(12)
    assert told == [phase for phase in order if phase in told]


def test_ended_runner_is_forgotten_when_it_leaves_the_wanted_set(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    listening(fleet, machine, 12)
    github.queue_job(labels=("runner-12",))
    until(lambda: fleet.phase(12) == "exited", "the end of the runner")
    fleet.unwant(12)
    until(lambda: fleet.slot(12) == {}, "the runner to be forgotten")
    assert not machine.slot_path(12).exists()


def test_running_runner_absent_from_the_wanted_set_is_kept(
    fleet: Dashboard, machine: Machine
) -> None:
    listening(fleet, machine, 12)
    fleet.unwant(12)
    heard = len(fleet.heartbeats)
    until(lambda: len(fleet.heartbeats) > heard + 4, "more heartbeats")
    assert fleet.phase(12) == "listening"
    assert machine.marked_processes()


def test_same_answer_again_does_nothing(fleet: Dashboard, machine: Machine) -> None:
    listening(fleet, machine, 12)
    before = (fleet.slot(12)["pid"], fleet.requests.count("runners/12/jit-config"))
    heard = len(fleet.heartbeats)
    until(lambda: len(fleet.heartbeats) > heard + 4, "more heartbeats")
    assert (fleet.slot(12)["pid"], fleet.requests.count("runners/12/jit-config")) == before


def test_four_slots_share_one_download(fleet: Dashboard, machine: Machine) -> None:
    listening(fleet, machine, 1, 2, 3, 4)
    assert len(fleet.file_requests) == 1
    pids = {fleet.slot(runner_id)["pid"] for runner_id in (1, 2, 3, 4)}
    assert len(pids) == 4


def test_idle_runner_stops_and_leaves_nothing(fleet: Dashboard, machine: Machine) -> None:
    listening(fleet, machine, 12)
    fleet.want(12, wanted="stop")
    until(lambda: fleet.phase(12) == "gone", "gone")
    assert machine.marked_processes() == []
    fleet.unwant(12)
    until(lambda: not machine.slot_path(12).exists(), "the slot's directory to go")
    until(lambda: list((machine.state / "slots").iterdir()) == [], "nothing left")


def test_stopped_runner_that_was_never_here_is_told_gone(
    fleet: Dashboard, machine: Machine
) -> None:
    machine.join(fleet)
    fleet.want(99, wanted="stop")
    until(lambda: fleet.phase(99) == "gone", "gone")


def test_busy_runner_is_not_stopped_until_its_job_is_done(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    listening(fleet, machine, 12)
    gate = machine.shared / "gate"
    wait = f"while [ ! -e {gate} ]; do sleep 0.1; done"
    job = github.queue_job(labels=("runner-12",), steps=(wait,))
    until(lambda: fleet.phase(12) == "busy", "busy")
    fleet.want(12, wanted="stop")
    heard = len(fleet.heartbeats)
    until(lambda: len(fleet.heartbeats) > heard + 5, "more heartbeats")
    assert fleet.phase(12) == "busy"
    gate.touch()
    until(lambda: fleet.phase(12) == "gone", "gone")
    assert job.conclusion == "success"


def test_force_ends_a_busy_tree_that_ignores_signals_and_left_daemons(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    listening(fleet, machine, 12)
    misbehave = "ignore-sigterm,leave-children"
    github.queue_job(labels=("runner-12",), steps=("sleep 600",), misbehave=misbehave)
    until(lambda: fleet.phase(12) == "busy", "busy")
    until(lambda: len(machine.marked_processes()) >= 5, "the daemons it leaves")
    fleet.want(12, wanted="stop", force=True)
    until(lambda: fleet.phase(12) == "gone", "gone")
    assert machine.marked_processes() == []
    assert not (machine.slot_path(12) / "runner").exists()


def test_force_set_while_a_stop_waits_ends_it(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    listening(fleet, machine, 12)
    github.queue_job(labels=("runner-12",), steps=("sleep 600",), misbehave="ignore-sigterm")
    until(lambda: fleet.phase(12) == "busy", "busy")
    fleet.want(12, wanted="stop")
    heard = len(fleet.heartbeats)
    until(lambda: len(fleet.heartbeats) > heard + 2, "more heartbeats")
    fleet.want(12, force=True)
    until(lambda: fleet.phase(12) == "gone", "gone")


def test_daemons_left_by_a_job_end_with_its_runner(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    listening(fleet, machine, 12)
    github.queue_job(labels=("runner-12",), misbehave="leave-children")
    until(lambda: fleet.phase(12) == "exited", "the end of the runner")
    until(lambda: machine.marked_processes() == [], "the end of its daemons")


def test_crashed_listener_is_named_and_its_worker_ended(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    listening(fleet, machine, 12)
    github.queue_job(labels=("runner-12",), misbehave="crash")
    until(lambda: fleet.phase(12) == "exited", "the end of the runner")
    slot = fleet.slot(12)
    assert slot["exit_code"] == 137
    assert "SIGKILL" in slot["reason"]
    until(lambda: machine.marked_processes() == [], "the end of its worker")
    until(lambda: not (machine.slot_path(12) / "runner").exists(), "the wipe of its secrets")


def test_flood_neither_blocks_the_runner_nor_fills_the_disk(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    listening(fleet, machine, 12)
    job = github.queue_job(labels=("runner-12",), steps=("sleep 3",), misbehave="flood")
    console = machine.slot_path(12) / "console"
    sizes = []

    def over() -> bool:
        with suppress(FileNotFoundError):  # rotated away since it was listed
            sizes.append(sum(path.stat().st_size for path in console.glob("*.log")))
        return fleet.phase(12) == "exited"

    until(over, "the end of the runner")
    assert job.conclusion == "success"
    written = max(int(p.name.split("-")[1].split(".")[0]) for p in console.glob("console-*"))
    assert written > 1024 * 1024, "it did not flood"
    assert max(sizes) < 2 * 1024 * 1024
    assert "job-completed" in fleet.kinds(12)


def test_job_sees_nothing_of_the_agent(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    listening(fleet, machine, 12)
    seen = machine.shared / "seen"
    look = (
        "set +e; env; for p in /proc/[0-9]*; do cat $p/cmdline; done; "
        "pid=$$; while [ $pid -gt 1 ]; do cat /proc/$pid/environ; "
        "pid=$(awk '/^PPid/{print $2}' /proc/$pid/status); done; true"
    )
    # Up its own parents as far as the keeper: above it is the init process of this machine.
    job = github.queue_job(labels=("runner-12",), steps=(f"({look}) > {seen} 2>/dev/null",))
    until(lambda: fleet.phase(12) == "exited", "the end of the runner")
    assert job.conclusion == "success"
    text = seen.read_bytes().replace(b"\0", b"\n").decode("utf-8", errors="replace")
    assert "FLEET_SLOT=" in text
    for secret in (TOKEN, CODE, "agent-canary", fleet.url, "FLEET_ENROLMENT_CODE", "PYTHONPATH"):
        assert secret not in text, secret


def test_environment_of_the_runner_is_its_own(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    listening(fleet, machine, 12)
    seen = machine.shared / "seen"
    github.queue_job(labels=("runner-12",), steps=(f"echo $HOME $TMPDIR $PWD > {seen}",))
    until(lambda: fleet.phase(12) == "exited", "the end of the runner")
    assert all(
        Path(part).is_relative_to(machine.slot_path(12)) for part in seen.read_text().split()
    )


def test_secrets_are_in_no_argument_file_or_log(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    listening(fleet, machine, 12)
    secrets = [TOKEN, CODE, *fleet.secrets]
    assert len(secrets) == 3
    arguments = [" ".join(command_line(int(pid))) for pid in os.listdir("/proc") if pid.isdigit()]
    for secret in secrets:
        assert not [line for line in arguments if secret in line]
    files = [path for path in machine.state.rglob("*") if path.is_file()]
    holding = {p.name for p in files if any(s.encode() in p.read_bytes() for s in secrets)}
    assert holding == {"token"}
    assert not any(secret in machine.log.read_text() for secret in secrets)


def test_console_sent_to_the_server_is_redacted(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    listening(fleet, machine, 12)
    secret = "ghp_" + "s" * 36
    github.queue_job(labels=("runner-12",), name=secret)
    until(lambda: fleet.phase(12) == "exited", "the end of the runner")
    until(lambda: "completed with result" in fleet.logs.get(12, ""), "the console")
    assert secret not in fleet.logs[12]
    assert secret not in str(fleet.journal)
    assert secret not in str(fleet.heartbeats)


def test_runner_goes_on_through_an_outage_and_its_job_is_told_later(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    listening(fleet, machine, 12)
    fleet.down = True
    job = github.queue_job(labels=("runner-12",), name="in-the-dark")
    until(lambda: job.conclusion == "success", "the job")
    fleet.down = False
    until(lambda: fleet.phase(12) == "exited", "the end of the runner")
    details = [entry["detail"] for entry in fleet.journal.values()]
    assert {"job": "in-the-dark", "result": "Succeeded"} in details


def test_retired_host_finishes_its_job_first(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    listening(fleet, machine, 12, 13)
    gate = machine.shared / "gate"
    wait = f"while [ ! -e {gate} ]; do sleep 0.1; done"
    job = github.queue_job(labels=("runner-12",), steps=(wait,))
    until(lambda: fleet.phase(12) == "busy", "busy")
    fleet.answers["heartbeat"] = (410, {"errors": ["This host was retired."]})
    until(lambda: not machine.slot_path(13).exists(), "the idle runner to go")
    assert machine.agents[-1].poll() is None
    gate.touch()
    assert machine.agents[-1].wait(timeout=40) == 0
    assert job.conclusion == "success"
    assert machine.marked_processes() == []


def test_many_runners_stop_side_by_side(fleet: Dashboard, machine: Machine) -> None:
    ids = tuple(range(1, 13))
    listening(fleet, machine, *ids)
    for runner_id in ids:
        fleet.want(runner_id, wanted="stop")
    until(lambda: all(fleet.phase(key) == "gone" for key in ids), "the end of all", seconds=30)
    assert machine.marked_processes() == []

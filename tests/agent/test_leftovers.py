"""What is left over on a host: found, told when it changes, cleaned only when asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fleet_agent.leftovers import disk_bytes, find_leftovers
from fleet_agent.marks import marked_trees, new_mark
from fleet_agent.process_table import MARK_VARIABLE
from fleet_agent.wire import BadAnswer, parse_heartbeat

from runners.agent_messages import parse_heartbeat as parse_report
from runners.simulator import Simulator
from tests.agent.dashboard import Dashboard
from tests.agent.machine import Machine
from tests.agent.patience import until
from tests.agent.shapes import example


def told(dashboard: Dashboard) -> list[list[str]]:
    """Return the names of every list of leftovers that was told."""
    return [
        [one["name"] for one in body["leftovers"]]
        for body in list(dashboard.heartbeats)
        if "leftovers" in body
    ]


def lose(state: Path) -> None:
    """Lose a state directory in which runners still write."""
    state.rename(state.with_name("lost"))
    shutil.rmtree(state.with_name("lost"), ignore_errors=True)


def test_clean_host_says_once_that_nothing_is_left_over(
    dashboard: Dashboard, machine: Machine
) -> None:
    machine.join(dashboard)
    until(lambda: told(dashboard), "the leftovers")
    heard = len(dashboard.heartbeats)
    until(lambda: len(dashboard.heartbeats) > heard + 2, "more heartbeats")
    assert told(dashboard) == [[]]


def test_strange_directory_is_told_and_left_until_the_server_names_it(
    dashboard: Dashboard, machine: Machine
) -> None:
    machine.enrol(dashboard)
    strange = machine.state / "slots" / "keep-me"
    strange.mkdir(parents=True)
    (strange / "file").write_text("x" * 10_000)
    machine.start()
    until(lambda: told(dashboard), "the leftovers")
    [report] = [parse_report(body) for body in dashboard.heartbeats if "leftovers" in body]
    assert report.leftovers
    assert (report.leftovers[0].kind, report.leftovers[0].name) == ("work-directory", "keep-me")
    assert (report.leftovers[0].bytes or 0) >= 10_000
    assert strange.exists()
    dashboard.clean = ["keep-me", "../../etc", "nothing-known"]
    until(lambda: told(dashboard)[-1] == [], "the clean-up to be told")
    assert not strange.exists()
    assert machine.state.exists()


def test_runner_the_server_no_longer_knows_is_told_and_ended_only_without_a_job(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    machine.join(fleet)
    fleet.want(12)
    until(lambda: fleet.phase(12) == "listening", "listening")
    gate = machine.shared / "gate"
    wait = f"touch {gate}.near; while [ ! -e {gate} ]; do sleep 0.1; done"
    github.queue_job(labels=("runner-12",), steps=(wait,))
    until(lambda: fleet.phase(12) == "busy", "busy")
    until(gate.with_name("gate.near").exists, "the job at its step")
    machine.kill()
    pid = fleet.slot(12)["pid"]
    # The state directory is lost, and the host enrols anew with a dashboard that wants nothing.
    lose(machine.state)
    fleet.unwant(12)
    fleet.heartbeats.clear()
    machine.join(fleet)
    until(lambda: any(told(fleet)), "the leftovers")
    [name] = told(fleet)[-1]
    assert name.endswith(f"-{pid}")
    fleet.clean = [name]
    heard = len(fleet.heartbeats)
    until(lambda: len(fleet.heartbeats) > heard + 4, "more heartbeats")
    assert pid in machine.marked_processes(), "a job was killed"
    gate.touch()
    until(lambda: not machine.marked_processes(), "the end of the runner")
    until(lambda: told(fleet)[-1] == [], "the end to be told")


def test_runner_still_wanted_is_taken_up_when_the_state_directory_was_lost(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    machine.join(fleet)
    fleet.want(12)
    until(lambda: fleet.phase(12) == "listening", "listening")
    gate = machine.shared / "gate"
    wait = f"touch {gate}.near; while [ ! -e {gate} ]; do sleep 0.1; done"
    job = github.queue_job(labels=("runner-12",), steps=(wait,))
    until(lambda: fleet.phase(12) == "busy", "busy")
    until(gate.with_name("gate.near").exists, "the job at its step")
    pid = fleet.slot(12)["pid"]
    machine.kill()
    lose(machine.state)
    fleet.heartbeats.clear()
    machine.join(fleet)
    until(lambda: fleet.phase(12) == "busy", "busy again")
    assert fleet.slot(12)["pid"] == pid
    assert fleet.requests.count("runners/12/jit-config") == 1
    gate.touch()
    until(lambda: fleet.phase(12) == "exited", "the end of the runner")
    # Its keeper found the slot's directory again and could record the end.
    assert (fleet.slot(12)["exit_code"], fleet.slot(12)["cause"]) == (0, "finished")
    assert job.conclusion is not None
    until(lambda: not machine.marked_processes(), "the end of everything")


def test_runner_whose_record_alone_was_damaged_goes_on_and_its_exit_is_known(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    machine.join(fleet)
    fleet.want(12)
    until(lambda: fleet.phase(12) == "listening", "listening")
    pid = fleet.slot(12)["pid"]
    machine.kill()
    (machine.slot_path(12) / "slot.json").write_text("{")
    machine.start()
    until(lambda: "recovered" in fleet.kinds(12), "the recovery")
    assert fleet.slot(12)["pid"] == pid
    github.queue_job(labels=("runner-12",))
    until(lambda: fleet.phase(12) == "exited", "the end of the runner")
    assert (fleet.slot(12)["exit_code"], fleet.slot(12)["cause"]) == (0, "finished")


def test_stop_of_a_runner_whose_state_was_lost_ends_it(fleet: Dashboard, machine: Machine) -> None:
    machine.join(fleet)
    fleet.want(12)
    until(lambda: fleet.phase(12) == "listening", "listening")
    machine.kill()
    lose(machine.state)
    fleet.want(12, wanted="stop")
    fleet.heartbeats.clear()
    machine.join(fleet)
    until(lambda: fleet.phase(12) == "gone", "gone")
    assert machine.marked_processes() == []


def test_processes_of_another_state_directory_are_none_of_ours(tmp_path: Path) -> None:
    mark = new_mark(tmp_path / "theirs", 7)
    sleeper = [sys.executable, "-c", "input()"]
    environment = {**os.environ, MARK_VARIABLE: mark}
    with subprocess.Popen(sleeper, env=environment, stdin=subprocess.PIPE) as child:
        until(lambda: marked_trees(tmp_path / "theirs"), "the process")
        assert find_leftovers(tmp_path / "ours", [], []) == []
        [found] = find_leftovers(tmp_path / "theirs", [], [])
        assert (found.told["kind"], found.told["pid"]) == ("process", child.pid)
        assert find_leftovers(tmp_path / "theirs", [], [mark]) == []
        child.communicate(b"\n")


def test_links_are_measured_not_followed(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "large").write_bytes(b"x" * 1_000_000)
    (tmp_path / "tree" / "link").symlink_to(tmp_path / "large")
    (tmp_path / "tree" / "round").symlink_to(tmp_path / "tree")
    assert (disk_bytes(tmp_path / "tree") or 0) < 100_000


def test_names_to_clean_are_understood_and_anything_else_is_refused() -> None:
    answer = example("heartbeat.clean.response.json")
    assert parse_heartbeat(answer).clean == ("77",)
    assert parse_heartbeat(answer | {"clean": None}).clean == ()
    assert parse_heartbeat(example("heartbeat.response.json")).clean == ()
    with pytest.raises(BadAnswer, match="clean"):
        parse_heartbeat(answer | {"clean": [7]})

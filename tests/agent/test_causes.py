"""Why a runner ended, as a code: by counters, exit codes and words, and as real runners tell it."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest
from fleet_agent.causes import (
    DISK_FLOOR_BYTES,
    Cause,
    Evidence,
    cause_of_end,
    cause_of_error,
    lacks_space,
    oom_kills,
)
from fleet_agent.errors import AgentError
from fleet_agent.metrics import CpuWatch, end_facts
from fleet_agent.packages import PackageRefused
from fleet_agent.runner_process import StartFailed

from runners.agent_messages import AGENT_CAUSES, parse_heartbeat
from runners.simulator import Simulator
from tests.agent.dashboard import Dashboard
from tests.agent.machine import Machine
from tests.agent.patience import until

PLENTY = 10 * DISK_FLOOR_BYTES


def end(
    code: int | None, tail: str = "", *, oom: bool = False, free: int = PLENTY, lost: bool = False
) -> Cause:
    """Return the cause of an end with this evidence."""
    return cause_of_end(Evidence(code, tail, oom, free, lost))


def test_both_sides_have_the_same_codes() -> None:
    assert {cause.value for cause in Cause if cause} == AGENT_CAUSES


@pytest.mark.parametrize(
    ("found", "cause"),
    [
        (end(0), "finished"),
        (end(0, free=0), "finished"),
        (end(1), "exit"),
        (end(139), "signal"),
        (end(137), "signal"),
        (end(137, oom=True), "oom"),
        (end(143, oom=True), "signal"),
        (end(7), "deprecated"),
        (end(1, "Runner version v2.300.0 is deprecated and cannot receive"), "deprecated"),
        (end(1, "cp: write error: No space left on device"), "disk-full"),
        (end(1, free=DISK_FLOOR_BYTES - 1), "disk-full"),
        (end(137, oom=True, free=0), "oom"),
        (end(None), "keeper-lost"),
        (end(None, lost=True), "state-lost"),
        (end(None, free=0), "disk-full"),
    ],
)
def test_cause_is_the_strongest_there_is_evidence_for(found: Cause, cause: str) -> None:
    assert found.value == cause


def chained(outer: Exception, inner: OSError) -> Exception:
    """Return an error raised from another."""
    try:
        raise outer from inner
    except type(outer) as err:
        return err


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_found_behind_any_error(number: int) -> None:
    error = chained(PackageRefused("broken"), OSError(number, "full"))
    assert lacks_space(error)
    assert cause_of_error(error) is Cause.DISK_FULL


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (PackageRefused("digest"), Cause.PACKAGE),
        (StartFailed("config.sh ended with 1", Cause.REGISTRATION), Cause.REGISTRATION),
        (
            StartFailed("Your runner version is out of date and can no longer register"),
            Cause.DEPRECATED,
        ),
        (AgentError("something"), Cause.NONE),
        (ValueError("a bug"), Cause.EXIT),
        (chained(PackageRefused("broken"), OSError(errno.EIO, "disk")), Cause.PACKAGE),
    ],
)
def test_errors_name_their_cause(error: Exception, cause: Cause) -> None:
    assert cause_of_error(error) is cause


def kernel(root: Path, cgroup: str, files: dict[str, str]) -> tuple[Path, Path]:
    """Lay out the kernel's files in a folder; returns what stands for /proc and /sys."""
    for name, text in {"proc/self/cgroup": cgroup, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root / "proc", root / "sys"


def test_out_of_memory_kills_are_counted_in_the_agents_own_group(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/system.slice/agent/memory.events"
    files = {group: "low 0\noom 4\noom_kill 3\n", "proc/vmstat": "oom_kill 50\n"}
    assert oom_kills((), *kernel(tmp_path, "0::/system.slice/agent\n", files)) == 3


def test_out_of_memory_kills_are_counted_in_a_group_of_the_first_version(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/memory/agent/memory.oom_control"
    files = {group: "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"}
    assert oom_kills((), *kernel(tmp_path, "4:cpu:/\n7:memory:/agent\n", files)) == 2


def test_without_a_group_the_machines_count_is_taken(tmp_path: Path) -> None:
    files = {"proc/vmstat": "nr_free_pages 7\noom_kill 5\n"}
    assert oom_kills((), *kernel(tmp_path, "0::/\n", files)) == 5
    assert oom_kills((), tmp_path / "nowhere", tmp_path / "nowhere") is None


def test_facts_at_an_end_are_those_of_the_disk_that_is_left(tmp_path: Path) -> None:
    facts = end_facts(tmp_path / "gone" / "with" / "it", CpuWatch())
    assert facts["disk_free_bytes"] > 0
    assert facts["memory_used_bytes"] > 0
    assert 0 <= facts["cpu_percent"] <= 100


def listening(fleet: Dashboard, machine: Machine) -> None:
    """Bring an agent and a runner up."""
    machine.join(fleet)
    fleet.want(12)
    until(lambda: fleet.phase(12) == "listening", "listening")


def test_crash_is_told_with_its_cause_last_lines_and_the_hosts_facts(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    listening(fleet, machine)
    os.kill(fleet.slot(12)["pid"], signal.SIGSEGV)
    until(lambda: fleet.phase(12) == "exited", "the end of the runner")
    told = [body for body in fleet.heartbeats if "log_tail" in str(body)]
    (slot,) = parse_heartbeat(told[0]).slots
    assert (slot.cause, slot.exit_code) == ("signal", 139)
    assert "Listening for Jobs" in slot.log_tail
    assert slot.end_facts
    assert (slot.end_facts.disk_free_bytes or 0) > 0
    [exited] = [entry for entry in fleet.journal.values() if entry["kind"] == "exited"]
    assert exited["detail"]["cause"] == "signal"


def test_end_is_told_whole_until_it_was_heard_and_then_in_short(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    listening(fleet, machine)
    github.queue_job(labels=("runner-12",))
    until(lambda: fleet.phase(12) == "exited", "the end of the runner")
    assert fleet.slot(12)["cause"] == "finished"
    heard = len(fleet.heartbeats)
    until(lambda: len(fleet.heartbeats) > heard + 2, "more heartbeats")
    assert "log_tail" not in fleet.slot(12)
    assert sum("log_tail" in str(body) for body in fleet.heartbeats) == 1


def test_lost_keeper_of_a_runner_that_did_not_end_cleanly_is_the_cause(
    fleet: Dashboard, machine: Machine
) -> None:
    listening(fleet, machine)
    os.kill(machine.keeper_record(12)["keeper_pid"], signal.SIGKILL)
    until(lambda: "keeper-lost" in fleet.kinds(12), "the loss to be noticed")
    until(lambda: fleet.phase(12) == "listening", "listening")
    os.kill(fleet.slot(12)["pid"], signal.SIGKILL)
    until(lambda: fleet.phase(12) == "exited", "the end of the runner")
    assert (fleet.slot(12)["exit_code"], fleet.slot(12)["cause"]) == (None, "keeper-lost")


def test_clean_end_without_keeper_and_agent_is_believed_by_its_files(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    listening(fleet, machine)
    gate = machine.shared / "gate"
    wait = f"while [ ! -e {gate} ]; do sleep 0.1; done"
    job = github.queue_job(labels=("runner-12",), steps=(wait,))
    until(lambda: fleet.phase(12) == "busy", "busy")
    pid = fleet.slot(12)["pid"]
    machine.kill()
    os.kill(machine.keeper_record(12)["keeper_pid"], signal.SIGKILL)
    gate.touch()
    until(lambda: job.conclusion == "success", "the job's end")
    until(lambda: pid not in machine.marked_processes(), "the end of the runner")
    machine.start()
    until(lambda: fleet.phase(12) == "exited", "the end to be told")
    assert (fleet.slot(12)["exit_code"], fleet.slot(12)["cause"]) == (0, "finished")


@pytest.mark.parametrize(
    ("want", "cause"),
    [({"package": None}, "package"), ({"work_folder": "/etc"}, "exit")],
)
def test_failure_names_its_cause(
    dashboard: Dashboard, machine: Machine, want: dict[str, object], cause: str
) -> None:
    machine.join(dashboard)
    dashboard.want(12, **want)
    until(lambda: dashboard.phase(12) == "failed", "the failure")
    assert dashboard.slot(12)["cause"] == cause


def test_refused_registration_and_one_that_is_waited_for_name_their_cause(
    dashboard: Dashboard, machine: Machine
) -> None:
    dashboard.answers["runners/12/jit-config"] = (404, {"errors": ["No such runner."]})
    dashboard.answers["runners/13/jit-config"] = (502, {"errors": ["GitHub is away."]})
    machine.join(dashboard)
    dashboard.want(12)
    dashboard.want(13)
    until(lambda: dashboard.phase(12) == "failed", "the failure")
    until(lambda: dashboard.slot(13).get("cause"), "the cause of the wait")
    assert dashboard.slot(12)["cause"] == dashboard.slot(13)["cause"] == "registration"
    assert dashboard.phase(13) == "registering"

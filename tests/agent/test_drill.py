"""Failure drills: each breaks one thing for a while, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet_agent import drill
from fleet_agent.config import StateDir
from fleet_agent.errors import AgentError

from runners.simulator import Simulator
from tests.agent.dashboard import Dashboard
from tests.agent.machine import PROGRAM, Machine
from tests.agent.patience import until
from tests.agent.test_disk_full import SmallDisk, needs_small_disks, small_disk


@pytest.fixture
def disk(dashboard: Dashboard, machine: Machine) -> Iterator[SmallDisk]:
    """An agent that runs with its state directory on a disk of its own."""
    with small_disk(dashboard, machine) as made:
        yield made


def drilled(machine: Machine, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one drill to its end."""
    return machine.command("drill", *arguments, "--state-dir", str(machine.state))


def test_killed_runner_is_told_as_killed_and_only_an_idle_one_is(
    github: Simulator, fleet: Dashboard, machine: Machine, tmp_path: Path
) -> None:
    machine.join(fleet)
    fleet.want(12)
    fleet.want(13)
    gate = machine.shared / "gate"
    until(lambda: {fleet.phase(12), fleet.phase(13)} == {"listening"}, "listening")
    github.queue_job(labels=("runner-12",), steps=(f"until test -e {gate}; do sleep 0.1; done",))
    until(lambda: fleet.phase(12) == "busy", "busy")

    refused = drilled(machine, "kill-runner", "--name", "forge-0012")
    done = drilled(machine, "kill-runner")

    assert (refused.returncode, "has a job" in refused.stderr) == (1, True)
    assert (done.returncode, "killed forge-0013" in done.stdout) == (0, True)
    until(lambda: fleet.phase(13) == "exited", "the end told")
    assert "SIGKILL" in fleet.slot(13)["reason"]
    assert fleet.phase(12) == "busy"
    gate.touch()
    until(lambda: fleet.phase(12) == "exited", "the job's end")
    assert fleet.slot(12)["exit_code"] == 0


def test_cut_agent_is_silent_for_that_time_and_its_runner_goes_on(
    fleet: Dashboard, machine: Machine
) -> None:
    machine.join(fleet)
    fleet.want(12)
    until(lambda: fleet.phase(12) == "listening", "listening")
    before = fleet.slot(12)["pid"]

    assert drilled(machine, "cut-network", "--seconds", "3").returncode == 0
    until(lambda: "a drill cut" in (machine.state / "status.json").read_text(), "the cut")
    heard = len(fleet.heartbeats)
    until(lambda: len(fleet.heartbeats) > heard, "a heartbeat again")

    assert fleet.slot(12)["pid"] == before
    assert not (machine.state / "drill.cut").exists()


def test_cut_of_another_boot_is_over(tmp_path: Path) -> None:
    state_dir = StateDir(tmp_path)
    drill.cut_network(state_dir, print, seconds=60)
    assert drill.is_cut(state_dir)
    state_dir.cut_file.write_text("another-boot 99999999999")
    assert not drill.is_cut(state_dir)


@needs_small_disks
def test_filled_disk_is_told_and_has_its_room_back(
    dashboard: Dashboard, disk: SmallDisk, machine: Machine
) -> None:
    enter = ["nsenter", "-t", str(machine.agents[-1].pid), "-U", "-m", "--preserve-credentials"]
    where = ["--state-dir", str(machine.state)]
    with subprocess.Popen(
        [*enter, *PROGRAM, "drill", "fill-disk", "--percent", "90", "--seconds", "60", *where],
        env=machine.environment,
        stdout=subprocess.PIPE,
    ) as filling:
        until(lambda: used_percent(dashboard, disk) >= 89, "a full disk told")
        filling.kill()  # the drill itself need not end well
    until(lambda: used_percent(dashboard, disk) < 80, "room told")


def used_percent(dashboard: Dashboard, disk: SmallDisk) -> float:
    """How full the agent said its disk is."""
    size = os.statvfs(disk.root)
    total = size.f_blocks * size.f_frsize
    return float(dashboard.heartbeats[-1]["sample"]["disk_used_bytes"]) * 100 / total


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("kill-runner",), "no agent runs"),
        (("cut-network", "--seconds", "5"), "no agent runs"),
        (("fill-disk",), "no agent runs"),
    ],
)
def test_drill_without_an_agent_is_refused(
    machine: Machine, command: tuple[str, ...], words: str
) -> None:
    done = drilled(machine, *command)
    assert (done.returncode, words in done.stderr) == (1, True)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 4000.0])
def test_drill_is_bounded_in_time(tmp_path: Path, seconds: float) -> None:
    with pytest.raises(AgentError, match="at most"):
        drill.cut_network(StateDir(tmp_path), print, seconds=seconds)


@pytest.mark.parametrize("percent", [0.0, 100.0])
def test_disk_is_never_filled_whole(tmp_path: Path, percent: float) -> None:
    with pytest.raises(AgentError, match="between 0 and 100"):
        drill.fill_disk(StateDir(tmp_path), print, percent=percent, seconds=1)

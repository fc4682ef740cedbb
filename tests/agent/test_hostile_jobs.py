"""Jobs that mean harm, on real processes: they find nothing of ours and leave the host fine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fleet_agent.isolation import find_isolation
from fleet_agent.limits import ControlGroups
from fleet_agent.slot_directory import SlotDirectory, memory_root

from runners.simulator import Simulator
from tests.agent.dashboard import CODE, TOKEN, Dashboard
from tests.agent.machine import Machine
from tests.agent.patience import until

LOOK = r"""
set +e
id -u; id -un
echo == parents and arguments
for p in /proc/[0-9]*; do tr '\0' '\n' <$p/cmdline; tr '\0' '\n' <$p/environ; done
echo == files
for f in "$HOME" "$GITHUB_WORKSPACE" "$STATE" /tmp /var/tmp /dev/shm /root /home /run; do
  find "$f" -type f -size -64k -exec cat {} + ; find "$f"
done
echo == slots
ls "$STATE" "$STATE/slots"
"""


FORK_BOMB = """
import os, signal
made = 0
for number in range(1000):
    try:
        child = os.fork()
    except OSError:
        break
    if child == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.closerange(0, 100)
        while True:
            signal.pause()
    made += 1
print(made)
"""


@pytest.fixture
def private(tmp_path: Path) -> None:
    """Skip, visibly, where this kernel gives a process no view of its own."""
    found = find_isolation(tmp_path / "probe")
    found.groups.leave()
    if not found.private:
        pytest.skip(f"no private view here: {found.view_reason}")


def listening(fleet: Dashboard, machine: Machine, *runner_ids: int, **fields: object) -> None:
    machine.join(fleet)
    for runner_id in runner_ids:
        fleet.want(runner_id, **fields)
    until(lambda: all(fleet.phase(key) == "listening" for key in runner_ids), "listening")


@pytest.mark.usefixtures("private")
def test_job_that_looks_everywhere_finds_its_own_slot_only(
    github: Simulator, fleet: Dashboard, machine: Machine, tmp_path: Path
) -> None:
    (tmp_path / "precious").write_text("canary-of-the-host")
    listening(fleet, machine, 12, 13)
    (machine.slot_path(13) / "tmp" / "theirs").write_text("canary-of-the-other-slot")
    secrets = [TOKEN, CODE, *fleet.secrets]
    seen = machine.shared / "seen"
    script = LOOK.replace("$STATE", str(machine.state))
    job = github.queue_job(labels=("runner-12",), steps=(f"({script}) >{seen} 2>/dev/null; true",))
    until(lambda: fleet.phase(12) == "exited", "the end of the runner")
    assert job.conclusion == "success"
    text = seen.read_bytes().decode("utf-8", errors="replace")
    assert "FLEET_SLOT=" in text, "it saw not even its own processes"
    assert [secret for secret in secrets if secret in text] == []
    for strange in ("canary-of", "forge-0013", "agent.json", "slot.json", fleet.url):
        assert strange not in text, strange
    slots = text.partition("== slots\n")[2].split()
    assert "12" in slots
    assert "13" not in slots
    assert "agent.json" not in slots
    if os.geteuid() == 0:
        uid, name = text.split()[:2]
        assert int(uid) > 1000
        assert name == "fleet-slot-12"


@pytest.mark.usefixtures("private")
def test_secrets_are_in_memory_while_it_runs_and_nowhere_after(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    listening(fleet, machine, 12)
    slot = SlotDirectory(machine.slot_path(12))
    held = (slot.files / ".credentials").read_bytes()
    assert slot.files.is_relative_to(memory_root(machine.state / "slots") or "/nowhere")
    on_disk = [path for path in machine.state.rglob("*") if path.is_file()]
    assert not any(held in path.read_bytes() for path in on_disk)
    # The runner dies while no agent is there: its credentials go with it all the same.
    machine.kill()
    until(lambda: machine.keeper_record(12)["runner_pid"], "the keeper's record")
    os.kill(machine.keeper_record(12)["runner_pid"], 9)
    until(lambda: not (slot.files / ".credentials").exists(), "the credentials to go")
    stray = slot.files.parents[1] / "77"
    stray.mkdir()
    (stray / ".credentials").write_text("left by a slot that is no more")
    machine.start()
    until(lambda: fleet.phase(12) == "exited", "the end to be told")
    until(lambda: not slot.files.exists(), "the wipe")
    assert not stray.exists()


def test_job_that_forks_fills_memory_and_ignores_signals_ends_as_a_whole(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    limits = {"cpu_cores": 1.0, "memory_bytes": 192 * 1024**2, "pids": 60}
    listening(fleet, machine, 12, limits=limits)
    told = fleet.heartbeats[0]["facts"]["isolation"]
    if not {"memory", "pids"} <= set(told["limits"]):
        pytest.skip(f"no limits here: {told['limits_reason']}")
    counted = machine.shared / "counted"
    script = f"""set +e; trap '' TERM INT HUP
    python3 -c 'x = b"x" * (1 << 30)'; echo memory $? >{counted}
    python3 -c '{FORK_BOMB}' >>{counted}; true"""
    github.queue_job(labels=("runner-12",), steps=(script,))
    until(lambda: fleet.phase(12) == "exited", "the end of the runner")
    until(lambda: machine.marked_processes() == [], "the end of everything it left")
    memory, forks = counted.read_text().split("\n")[:2]
    assert memory == "memory 137"
    assert 0 < int(forks) <= 60
    assert machine.agents[-1].poll() is None
    until(lambda: SlotDirectory(machine.slot_path(12)).groups == [], "the groups to go")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run jobs as root")
def test_job_is_not_run_as_root_unless_the_operator_says_so(
    fleet: Dashboard, machine: Machine
) -> None:
    machine.environment["FLEET_AGENT_PRIVATE_VIEW"] = "no"
    machine.join(fleet)
    fleet.want(12)
    until(lambda: fleet.phase(12) == "failed", "the refusal")
    assert "jobs would run as root" in fleet.slot(12)["reason"]


def test_limits_without_groups_change_nothing(tmp_path: Path) -> None:
    assert ControlGroups(0, {}, "why").words == "none possible: why"

"""A full disk at every place the agent writes: named, survived, and over when there is room."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet_agent.journal import Journal
from fleet_agent.marks import marked_trees
from fleet_agent.process_tree import end_tree

from tests.agent.crash_lab import JIT, PACKAGE, RUNNER
from tests.agent.dashboard import CODE, Dashboard
from tests.agent.machine import PROGRAM, Machine
from tests.agent.patience import until

PAGE = 4096
UNSHARE = ["unshare", "--map-root-user", "--mount"]


def small_disks() -> bool:
    """Return whether a file system of a test's own can be mounted here."""
    mount = [*UNSHARE, "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/mnt"]
    try:
        return subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


needs_small_disks = pytest.mark.skipif(
    not small_disks(), reason="no file system can be mounted in a namespace of its own here"
)


class SmallDisk:
    """The state directory of an agent on a disk of its own, seen through that agent's eyes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.filler = root / "filler"

    def fill(self, pages_left: int) -> None:
        """Leave only so many pages free."""
        with self.filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * PAGE)
        size = self.filler.stat().st_size
        os.truncate(self.filler, max(0, size - pages_left * PAGE))

    def free(self) -> None:
        """Make room again."""
        self.filler.unlink()


@pytest.fixture
def disk(dashboard: Dashboard, machine: Machine) -> Iterator[SmallDisk]:
    """An agent that runs with its state directory on a disk of two megabytes."""
    with small_disk(dashboard, machine) as made:
        yield made


@contextlib.contextmanager
def small_disk(dashboard: Dashboard, machine: Machine) -> Iterator[SmallDisk]:
    """The same, for whoever asks."""
    machine.state.mkdir()
    jit = {"ok": True, "github_id": 77, "encoded_jit_config": JIT}
    dashboard.answers[f"runners/{RUNNER}/jit-config"] = (200, jit)
    mount = f'mount -t tmpfs -o size=2m,mode=700 tmpfs "{machine.state}" && exec "$@"'
    join = ["join", "--server", dashboard.url, "--name", "forge-01"]
    with machine.log.open("ab") as log:
        agent = subprocess.Popen(
            [*UNSHARE, "sh", "-c", mount, "sh", *PROGRAM, *join, "--state-dir", machine.state],
            # This root is one of a namespace with no other user in it.
            env=machine.environment
            | {"FLEET_ENROLMENT_CODE": CODE, "FLEET_AGENT_JOBS_AS_ROOT": "yes"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    machine.agents.append(agent)
    until(lambda: dashboard.heartbeats, "the first heartbeat")
    yield SmallDisk(Path(f"/proc/{agent.pid}/root{machine.state}"))
    for tree in marked_trees(machine.state / "slots"):
        end_tree(tree.tree)


def want(dashboard: Dashboard) -> None:
    """Want the small runner."""
    name, content, digest = PACKAGE
    dashboard.want(RUNNER, package=dashboard.offer(name, content, digest))


@needs_small_disks
@pytest.mark.parametrize("pages_left", [0, 1, 2, 4, 6, 8])
def test_runner_waits_for_room_and_says_so(
    dashboard: Dashboard, disk: SmallDisk, pages_left: int
) -> None:
    disk.fill(pages_left)
    want(dashboard)
    until(
        lambda: dashboard.slot(RUNNER).get("cause") or dashboard.phase(RUNNER) == "starting",
        "the cause",
    )
    assert dashboard.slot(RUNNER)["cause"] in ("disk-full", "")
    assert dashboard.phase(RUNNER) not in ("failed", "exited")
    if pages_left == 0:
        assert dashboard.slot(RUNNER)["cause"] == "disk-full"
    disk.free()
    until(lambda: dashboard.phase(RUNNER) == "listening", "listening")
    assert dashboard.slot(RUNNER)["cause"] == ""


@needs_small_disks
def test_running_runner_and_its_agent_live_on_a_full_disk(
    dashboard: Dashboard, disk: SmallDisk, machine: Machine
) -> None:
    want(dashboard)
    until(lambda: dashboard.phase(RUNNER) == "listening", "listening")
    (machine.shared / "job").touch()
    until(lambda: dashboard.phase(RUNNER) == "busy", "busy")
    disk.fill(0)
    dashboard.new_token = "fla_TESTTOKEN002_" + "n" * 43
    heard = len(dashboard.heartbeats)
    until(lambda: len(dashboard.heartbeats) > heard + 3, "heartbeats on the full disk")
    # The token that could not be stored is not used: after a crash the agent would not have it.
    assert dashboard.new_token not in dashboard.tokens_seen
    (machine.shared / "gate").touch()
    until(lambda: dashboard.phase(RUNNER) == "exited", "the end of the runner")
    assert machine.agents[-1].poll() is None
    disk.free()
    until(lambda: dashboard.tokens_seen[-1] == dashboard.new_token, "the new token")
    assert (disk.root / "token").read_text().strip() == dashboard.new_token
    assert dashboard.kinds(RUNNER).count("exited") == 1


def test_journal_that_could_not_be_written_is_whole_when_it_can(tmp_path: Path) -> None:
    path = tmp_path / "away" / "journal.jsonl"
    journal = Journal(path)
    journal.add("agent-started")
    journal.add("adopted", 12)
    assert len(journal.entries) == 2
    path.parent.mkdir()
    journal.add("exited", 12)
    written = [entry["kind"] for entry in Journal(path).entries]
    assert written == ["agent-started", "adopted", "exited"]

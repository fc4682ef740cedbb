"""Limits of a slot: which files say them, where the groups are, and that the kernel keeps them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from fleet_agent import confine
from fleet_agent.causes import oom_kills
from fleet_agent.errors import AgentError
from fleet_agent.isolation import Isolation, shown_groups, try_view
from fleet_agent.limits import (
    ControlGroups,
    Limits,
    cpus_for,
    find_control_groups,
    host_limits,
    memory_limit,
    procs_files,
    remove_groups,
    settings_of,
)
from fleet_agent.slot_directory import SlotDirectory

Binds = list[tuple[str, str, bool]]
GIB = 1024**3
MIB = 1024**2
ALL = Limits(cpu_cores=2.5, memory_bytes=GIB, pids=100, io_weight=50)
NONE = Limits(pids=None)


@pytest.mark.parametrize(
    ("version", "controller", "limits", "files"),
    [
        (2, "cpu", ALL, {"cpu.max": "250000 100000"}),
        (2, "cpu", NONE, {"cpu.max": "max 100000"}),
        (2, "memory", ALL, {"memory.max": str(GIB), "memory.swap.max": "0"}),
        (2, "memory", NONE, {"memory.max": "max", "memory.swap.max": "max"}),
        (2, "pids", ALL, {"pids.max": "100"}),
        (2, "io", ALL, {"io.weight": "default 50"}),
        (1, "cpu", ALL, {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "250000"}),
        (1, "cpu", NONE, {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "-1"}),
        (1, "memory", ALL, {"memory.limit_in_bytes": str(GIB)}),
        (1, "memory", NONE, {"memory.limit_in_bytes": "-1"}),
        (1, "pids", NONE, {"pids.max": "max"}),
        (1, "io", ALL, {"blkio.weight": "50", "blkio.bfq.weight": "50"}),
    ],
)
def test_limits_are_said_in_the_kernels_words(
    version: int, controller: str, limits: Limits, files: dict[str, str]
) -> None:
    said = {name: value for name, value, _ in settings_of(version, controller, limits)}
    assert said == files


@pytest.mark.parametrize(
    ("cores", "memory", "left_cores", "left_memory"),
    [
        (2, 4 * GIB, 1.5, 3 * GIB),  # a small machine keeps a quarter
        (8, 32 * GIB, 6.0, 32 * GIB - int(32 * GIB * 0.15)),
        (8, 12 * GIB, 6.0, 10 * GIB),
        (64, 256 * GIB, 51.2, 256 * GIB - int(256 * GIB * 0.15)),
        (1, 0, 0.75, None),
    ],
)
def test_host_keeps_a_reserve(
    cores: int, memory: int, left_cores: float, left_memory: int | None
) -> None:
    left = host_limits(cores, memory)
    assert left.cpu_cores == pytest.approx(left_cores)
    assert left.memory_bytes == left_memory


def test_reserve_is_what_the_operator_says() -> None:
    left = host_limits(8, 32 * GIB, 1.0, 4 * GIB)
    assert (left.cpu_cores, left.memory_bytes) == (7.0, 28 * GIB)


@pytest.mark.parametrize(
    ("cores", "slot", "cpus"),
    [(None, 1, []), (8.0, 1, []), (2.0, 1, [0, 1]), (2.0, 4, [6, 7]), (1.5, 5, [0, 1])],
)
def test_slots_are_spread_over_the_processors(
    cores: float | None, slot: int, cpus: list[int]
) -> None:
    assert cpus_for(Limits(cpu_cores=cores), slot, list(range(8))) == cpus


# --- A tree of version 2 made of plain files --------------------------------------------------


def unified(root: Path, own: str, controllers: str = "cpu io memory pids\n") -> tuple[Path, Path]:
    """Lay out a unified tree; returns what stands for /proc and /sys."""
    tree = root / "sys/fs/cgroup"
    for group in {tree, tree / own.lstrip("/")}:
        group.mkdir(parents=True, exist_ok=True)
        (group / "cgroup.controllers").write_text(controllers)
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(f"0::{own}\n")
    return root / "proc", root / "sys"


def found(root: Path, own: str, *, as_root: bool, controllers: str = "cpu io memory pids\n"):
    proc, sys_root = unified(root, own, controllers)
    return find_control_groups("fleet", proc_root=proc, sysfs_root=sys_root, as_root=as_root)


def test_root_makes_its_groups_beside_systemds(tmp_path: Path) -> None:
    groups = found(tmp_path, "/system.slice/fleet-agent.service", as_root=True)
    base = tmp_path / "sys/fs/cgroup/fleet"
    assert (groups.version, groups.bases) == (
        2,
        dict.fromkeys(("cpu", "memory", "pids", "io"), base),
    )
    assert groups.words == "cpu, memory, pids, io by cgroup v2"
    assert (base.parent / "cgroup.subtree_control").exists()


def test_delegated_agent_moves_down_to_make_room(tmp_path: Path) -> None:
    own = "/user.slice/fleet-agent.service"
    groups = found(tmp_path, own, as_root=False)
    unit = tmp_path / "sys/fs/cgroup" / own.lstrip("/")
    assert (unit / "agent/cgroup.procs").read_text() == "0"
    assert set(groups.bases.values()) == {unit / "fleet"}


def test_agent_that_moved_down_before_uses_the_same_place(tmp_path: Path) -> None:
    groups = found(tmp_path, "/fleet-agent.service/agent", as_root=False)
    # In a real tree the controllers of the group above are there too.
    assert groups.bases == {}
    above = tmp_path / "sys/fs/cgroup/fleet-agent.service/cgroup.controllers"
    above.write_text("memory\n")
    proc, sys_root = tmp_path / "proc", tmp_path / "sys"
    groups = find_control_groups("fleet", proc_root=proc, sysfs_root=sys_root, as_root=False)
    assert groups.bases == {"memory": above.parent / "fleet"}


def test_slots_limits_are_written_and_forgotten(tmp_path: Path) -> None:
    groups = found(tmp_path, "/", as_root=True)
    [slot] = groups.prepare("12", ALL)
    assert (slot / "memory.max").read_text() == str(GIB)
    assert (slot / "cpu.max").read_text() == "250000 100000"
    assert memory_limit([slot]) == GIB
    assert procs_files([slot]) == [str(slot / "cgroup.procs")]
    (slot / "memory.events").write_text("oom 1\noom_kill 2\n")
    assert oom_kills([slot]) == 2


def test_host_without_controllers_says_why(tmp_path: Path) -> None:
    groups = found(tmp_path, "/", as_root=False, controllers="hugetlb\n")
    assert groups.words.startswith("none possible: cgroup v2 has no controllers here")
    assert "Delegate=yes" in groups.reason
    assert groups.prepare("12", ALL) == []


def test_limit_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "base").write_text("no directory")
    groups = ControlGroups(2, {"memory": tmp_path / "base"})
    with pytest.raises(AgentError, match="limits could not be set"):
        groups.prepare("12", ALL)


# --- The kernel's own groups ------------------------------------------------------------------


@pytest.fixture
def real() -> Iterator[ControlGroups]:
    """Real control groups; skipped where this process may make none."""
    groups = find_control_groups(f"fleet-test-{os.getpid()}")
    if not {"cpu", "memory", "pids"} <= groups.bases.keys():
        pytest.skip(f"no control groups here: {groups.words}")
    yield groups
    for base in groups.bases.values():
        remove_groups(path for path in base.iterdir() if path.is_dir())
    groups.leave()


def run_limited(groups: ControlGroups, limits: Limits, script: str) -> subprocess.CompletedProcess:
    """Run a Python script within limits; ends with its exit code, as a keeper sees it."""
    made = groups.prepare("12", limits)
    order = {
        "argv": [sys.executable, "-c", script],
        "cwd": "/",
        "env": {},
        "groups": procs_files(made),
        "cpus": cpus_for(limits, 1, sorted(os.sched_getaffinity(0))),
    }
    return subprocess.run(
        [sys.executable, "-I", "-S", confine.__file__],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


FORKS = """
import os, signal
made = 0
try:
    while made < 100:
        if os.fork() == 0:
            os.closerange(0, 3)
            signal.pause()
        made += 1
except OSError:
    print(made)
"""


def test_memory_above_the_limit_ends_the_step_and_is_counted(real: ControlGroups) -> None:
    limits = Limits(memory_bytes=64 * MIB)
    done = run_limited(real, limits, f"print(len(b'x' * {256 * MIB}))")
    assert done.returncode == 137
    groups = [base / "12" for base in real.bases.values()]
    assert (oom_kills(groups) or 0) >= 1
    assert memory_limit(groups) == 64 * MIB


def test_processes_above_the_limit_are_not_made(real: ControlGroups) -> None:
    done = run_limited(real, Limits(pids=20), FORKS)
    assert 0 < int(done.stdout) <= 20
    group = real.bases["pids"] / "12"
    assert (group / "cgroup.procs").read_text().split(), "nothing was left to be ended"
    remove_groups([group])
    assert not group.exists()


def test_job_counts_the_processors_it_has(real: ControlGroups) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one processor is the least there is")
    count = "import os; print(len(os.sched_getaffinity(0)))"
    assert run_limited(real, Limits(cpu_cores=1.0), count).stdout == "1\n"
    quota = ("cpu.max", "cpu.cfs_quota_us")[2 - real.version]
    assert (real.bases["cpu"] / "12" / quota).read_text().split()[0] == "100000"


def test_job_of_the_agents_own_user_changes_no_groups(real: ControlGroups, tmp_path: Path) -> None:
    if reason := try_view(tmp_path):
        pytest.skip(f"no private view here: {reason}")
    (base, *_) = real.bases.values()
    view = {
        "user_namespace": os.geteuid() != 0,
        "uid": None,
        "groups": [],
        "hide": [],
        "memory": [],
        "keep": [],
        "binds": shown_groups(),
    }
    order = {"argv": ["/bin/mkdir", str(base / "mine")], "cwd": "/", "env": {}, "view": view}
    done = subprocess.run(
        [sys.executable, "-I", "-S", confine.__file__],
        input=json.dumps(order),
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode != 0
    assert "Read-only file system" in done.stdout + done.stderr
    assert not (base / "mine").exists()


def test_only_a_user_of_its_own_needs_no_guard_of_the_groups(tmp_path: Path) -> None:
    slot, package = SlotDirectory(tmp_path / "slots" / "12"), tmp_path / "package"
    package.mkdir()
    shared = Isolation(ControlGroups(0, {}), True, "", None, tmp_path)
    apart = replace(shared, first_uid=70_000)
    guard = set(shown_groups())
    assert guard <= set(cast(Binds, shared.view(slot, 1, package, "_work")["binds"]))
    assert guard.isdisjoint(cast(Binds, apart.view(slot, 1, package, "_work")["binds"]))

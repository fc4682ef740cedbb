"""What this process may use of the machine: a container's or service's limits, not the hardware's.

Control groups of version 2 limit by every level up to the root, those of version 1 likewise; the
smallest counts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

UNLIMITED_BYTES = 2**60  # version 1 writes a number near 2^63 for "no limit"


def usable_cpus(proc_root: Path = Path("/proc"), sysfs_root: Path = Path("/sys")) -> float:
    """Return the processors this process may keep busy."""
    allowed = float(len(os.sched_getaffinity(0)))
    return min([allowed, *cpu_quotas(proc_root, sysfs_root)])


def usable_memory_bytes(proc_root: Path = Path("/proc"), sysfs_root: Path = Path("/sys")) -> int:
    """Return the memory this process may use; 0 where nothing tells."""
    total = memory_bytes(proc_root)
    return min([total, *memory_limits(proc_root, sysfs_root)]) if total else 0


def memory_bytes(proc_root: Path) -> int:
    """Return the machine's memory."""
    try:
        for line in (proc_root / "meminfo").read_text("ascii").splitlines():
            if line.startswith("MemTotal:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def cpu_quotas(proc_root: Path, sysfs_root: Path) -> Iterator[float]:
    """Yield the processors each level allows."""
    for group in groups(proc_root, sysfs_root, ""):
        quota, _, period = read(group / "cpu.max").partition(" ")
        if quota.isdigit() and period.isdigit() and int(period):
            yield int(quota) / int(period)
    for group in groups(proc_root, sysfs_root, "cpu"):
        quota = read(group / "cpu.cfs_quota_us")
        period = read(group / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(period):
            yield int(quota) / int(period)


def memory_limits(proc_root: Path, sysfs_root: Path) -> Iterator[int]:
    """Yield the bytes each level allows."""
    for controller, name in (("", "memory.max"), ("memory", "memory.limit_in_bytes")):
        for group in groups(proc_root, sysfs_root, controller):
            limit = read(group / name)
            if limit.isdigit() and int(limit) < UNLIMITED_BYTES:
                yield int(limit)


def groups(proc_root: Path, sysfs_root: Path, controller: str) -> Iterator[Path]:
    """Yield this process's group of a controller ("" is version 2) and all above it.

    In a container the path may be the host's, which is not there: then only the levels that are.
    """
    for line in read(proc_root / "self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller not in controllers.split(","):
            continue
        root = sysfs_root / "fs/cgroup" / controllers
        if not controller and not (root / "cgroup.controllers").exists():
            root = sysfs_root / "fs/cgroup/unified"
        if controller and not root.exists():
            root = sysfs_root / "fs/cgroup" / controller
        group = root / path.lstrip("/")
        while True:
            yield group
            if group == root or root not in group.parents:
                break
            group = group.parent


def read(path: Path) -> str:
    """Return a file's text, "" where there is none."""
    try:
        return path.read_text("ascii", errors="replace").strip()
    except OSError:
        return ""

"""What one slot may use at most, kept by the kernel's control groups: version 2, version 1 or none.

Below the agent's own group (or, where systemd manages that, beside it) lies one group for all slots
of this agent, bounded by the host's reserve, and one a slot in it. Everything here is plain files;
the paths of a slot's groups are noted in its directory, so that any later agent finds them.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .errors import AgentError

PERIOD_US = 100_000
DEFAULT_PIDS = 4096
RESERVE_CPU_SHARE, RESERVE_CPU_CORES = 0.2, 2.0
RESERVE_MEMORY_SHARE, RESERVE_MEMORY_BYTES = 0.15, 2 * 1024**3
MOST_RESERVED_SHARE = 0.25  # the floors above are for large machines
# Our word for each controller, and what the two versions call it.
CONTROLLERS = {
    "cpu": ("cpu", "cpu"),
    "memory": ("memory", "memory"),
    "pids": ("pids", "pids"),
    "io": ("io", "blkio"),
}
REMOVE_SECONDS = 2.0


@dataclass(frozen=True)
class Limits:
    """The most one slot may use; None is no limit. ``io_weight`` is 1-1000, 100 being usual."""

    cpu_cores: float | None = None
    memory_bytes: int | None = None
    pids: int | None = DEFAULT_PIDS
    io_weight: int | None = None


@dataclass(frozen=True)
class ControlGroups:
    """Where the groups of this agent's slots are: ``version`` 2, 1 or 0; one base a controller."""

    version: int
    bases: dict[str, Path]
    reason: str = ""

    @property
    def words(self) -> str:
        """Return what is enforced and by what, or why nothing is."""
        if not self.bases:
            return f"none possible: {self.reason}"
        return f"{', '.join(self.bases)} by cgroup v{self.version}"

    def bound_host(self, limits: Limits) -> None:
        """Bound all slots together, so that the host keeps its reserve."""
        for controller, base in self.bases.items():
            self._apply(base, controller, limits)

    def leave(self) -> None:
        """Delete the groups of all slots, unless a slot's is still in them."""
        for base in set(self.bases.values()):
            with contextlib.suppress(OSError):
                base.rmdir()

    def prepare(self, name: str, limits: Limits) -> list[Path]:
        """Make the groups of one slot; return their directories. Raises AgentError."""
        made = []
        try:
            for controller, base in self.bases.items():
                group = base / name
                group.mkdir(exist_ok=True)
                self._apply(group, controller, limits)
                if group not in made:
                    made.append(group)
        except OSError as err:
            raise AgentError(
                f"the slot's limits could not be set ({err.filename}: {err.strerror}): look at "
                "the control groups of the host"
            ) from err
        return made

    def _apply(self, group: Path, controller: str, limits: Limits) -> None:
        for name, value, needed in settings_of(self.version, controller, limits):
            if needed or (group / name).exists():
                (group / name).write_text(value, "ascii")


def settings_of(version: int, controller: str, limits: Limits) -> list[tuple[str, str, bool]]:
    """Return the files to write for one controller: name, value, and whether it must be there."""
    unlimited = "max" if version == 2 else "-1"
    if controller == "cpu":
        cores = limits.cpu_cores
        quota = unlimited if cores is None else str(max(1000, int(cores * PERIOD_US)))
        if version == 2:
            return [("cpu.max", f"{quota} {PERIOD_US}", True)]
        return [("cpu.cfs_period_us", str(PERIOD_US), True), ("cpu.cfs_quota_us", quota, True)]
    if controller == "memory":
        most = unlimited if limits.memory_bytes is None else str(limits.memory_bytes)
        if version == 2:
            # Without swap: a job that outgrows its limit is to fail, not to crawl.
            swap = unlimited if limits.memory_bytes is None else "0"
            return [("memory.max", most, True), ("memory.swap.max", swap, False)]
        return [("memory.limit_in_bytes", most, True)]
    if controller == "pids":
        return [("pids.max", "max" if limits.pids is None else str(limits.pids), True)]
    weight = limits.io_weight or 100
    if version == 2:
        return [("io.weight", f"default {weight}", False)]
    return [("blkio.weight", str(max(10, weight)), False), ("blkio.bfq.weight", str(weight), False)]


def host_limits(
    cpu_count: float,
    memory_bytes: int,
    reserve_cpu: float | None = None,
    reserve_memory: int | None = None,
) -> Limits:
    """Return what all slots together may use: the machine less its reserve.

    The reserve is 20 % of the processors, at least 2, and 15 % of the memory, at least 2 GiB, but
    never more than a quarter of either unless it is named.
    """
    if reserve_cpu is None:
        share = max(cpu_count * RESERVE_CPU_SHARE, RESERVE_CPU_CORES)
        reserve_cpu = min(share, cpu_count * MOST_RESERVED_SHARE)
    if reserve_memory is None:
        most = int(memory_bytes * MOST_RESERVED_SHARE)
        reserve_memory = min(
            max(int(memory_bytes * RESERVE_MEMORY_SHARE), RESERVE_MEMORY_BYTES), most
        )
    return Limits(
        cpu_cores=max(0.1, cpu_count - reserve_cpu),
        memory_bytes=max(64 * 1024**2, memory_bytes - reserve_memory) if memory_bytes else None,
        pids=None,
    )


def cpus_for(limits: Limits, slot: int, available: list[int]) -> list[int]:
    """Return the processors a slot is to run on, so that its job counts the right number."""
    if limits.cpu_cores is None or limits.cpu_cores >= len(available):
        return []
    count = max(1, math.ceil(limits.cpu_cores))
    first = max(0, slot - 1) * count
    return sorted({available[(first + i) % len(available)] for i in range(count)})


def find_control_groups(
    name: str,
    *,
    proc_root: Path = Path("/proc"),
    sysfs_root: Path = Path("/sys"),
    as_root: bool | None = None,
) -> ControlGroups:
    """Make the group ``name`` for all slots wherever this agent may; never raises."""
    as_root = os.geteuid() == 0 if as_root is None else as_root
    root = sysfs_root / "fs/cgroup"
    own = own_groups(proc_root)
    reasons = []
    for tree in (root, root / "unified"):
        if (tree / "cgroup.controllers").exists():
            try:
                bases = make_v2(tree, own.get("", "/"), name, as_root=as_root)
            except OSError as err:
                reasons.append(f"cgroup v2: {err.strerror} ({err.filename})")
                continue
            if bases:
                return ControlGroups(2, bases)
            reasons.append("cgroup v2 has no controllers here, v1 is not to be written to")
    bases = make_v1(root, own, name)
    if bases:
        return ControlGroups(1, bases)
    if not reasons:
        reasons.append("this host shows the agent no control groups it may write to")
    hint = "" if as_root else "; run the agent as root, or under systemd with Delegate=yes"
    return ControlGroups(0, {}, f"{'; '.join(reasons)}{hint}")


def own_groups(proc_root: Path) -> dict[str, str]:
    """Return this process's group of each controller; "" is version 2."""
    found = {}
    with contextlib.suppress(OSError):
        for line in (proc_root / "self/cgroup").read_text("ascii", errors="replace").splitlines():
            _, controllers, path = line.split(":", 2)
            for controller in controllers.split(","):
                found[controller] = path
    return found


def make_v2(tree: Path, own: str, name: str, *, as_root: bool) -> dict[str, Path]:
    """Make the agent's group in the unified tree; return it for each controller it has.

    A group with processes cannot have groups with controllers below it. As root the new group
    lies at the top, where no unit of systemd's is in the way. Without, it lies in the group that
    was delegated to the agent, whose own process moves one down first.
    """
    parent = tree
    if not as_root:
        parent = tree / own.lstrip("/")
        if parent.name == "agent" and os.access(parent.parent, os.W_OK):
            parent = parent.parent
        elif own.strip("/"):
            leaf = parent / "agent"
            leaf.mkdir(exist_ok=True)
            (leaf / "cgroup.procs").write_text("0", "ascii")
    available = (parent / "cgroup.controllers").read_text("ascii").split()
    wanted = [ours for ours, (v2, _) in CONTROLLERS.items() if v2 in available]
    if not wanted:
        return {}
    base = parent / name
    base.mkdir(exist_ok=True)
    enabled: list[str] = []
    for controller in wanted:
        try:
            for group in (parent, base):
                (group / "cgroup.subtree_control").write_text(f"+{controller}", "ascii")
        except OSError:
            if controller == wanted[-1] and not enabled:
                raise
            continue
        enabled.append(controller)
    return dict.fromkeys(enabled, base)


def make_v1(root: Path, own: dict[str, str], name: str) -> dict[str, Path]:
    """Make the agent's group in each version 1 hierarchy; return those that were made."""
    made = {}
    for ours, (_, v1) in CONTROLLERS.items():
        parent = root / v1 / own.get(v1, "/").lstrip("/")
        if not parent.is_dir():  # in a container the path is the host's
            parent = root / v1
        if v1 == "blkio" and not any(
            (parent / file).exists() for file in ("blkio.weight", "blkio.bfq.weight")
        ):
            continue  # nothing to limit it by
        with contextlib.suppress(OSError):
            if parent.is_dir() and os.access(parent, os.W_OK):
                (parent / name).mkdir(exist_ok=True)
                made[ours] = parent / name
    return made


# --- A slot's groups, by the paths noted in its directory ---------------------------------------


def procs_files(groups: Iterable[Path]) -> list[str]:
    """Return the files through which a process joins these groups."""
    return [str(group / "cgroup.procs") for group in groups]


def remove_groups(groups: Iterable[Path]) -> None:
    """End what is left in a slot's groups and delete them; what stays is tried at the next time."""
    for group in groups:
        deadline = time.monotonic() + REMOVE_SECONDS
        while group.is_dir():
            try:
                group.rmdir()
            except OSError:
                if time.monotonic() > deadline:
                    break
                kill_group(group)
                time.sleep(0.02)


def kill_group(group: Path) -> None:
    """Send SIGKILL to everything in a group."""
    with contextlib.suppress(OSError):
        (group / "cgroup.kill").write_text("1", "ascii")
        return
    with contextlib.suppress(OSError):
        for line in (group / "cgroup.procs").read_text("ascii").split():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(int(line), signal.SIGKILL)


def memory_limit(groups: Iterable[Path]) -> int | None:
    """Return the memory limit of a slot in bytes, None where there is none."""
    for group in groups:
        for name in ("memory.max", "memory.limit_in_bytes"):
            with contextlib.suppress(OSError, ValueError):
                value = int((group / name).read_text("ascii"))
                return value if value < 2**60 else None
    return None

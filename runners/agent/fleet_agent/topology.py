"""How the processors are made: cores and their threads, fast and frugal ones, NUMA nodes.

From it comes which processors a slot should keep to: whole cores, the fast ones first, no slot
across two NUMA nodes where it fits in one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .own_limits import read


@dataclass(frozen=True)
class Core:
    """One core: its processors (two with hyper-threads), its NUMA node, whether it is fast."""

    cpus: tuple[int, ...]
    node: int
    fast: bool


@dataclass(frozen=True)
class CpuTopology:
    """All cores, by their lowest processor."""

    cores: tuple[Core, ...]

    @property
    def cpus(self) -> int:
        """How many processors there are."""
        return sum(len(core.cpus) for core in self.cores)

    def words(self) -> str:
        """Return it in one line, "" where nothing is known."""
        if not self.cores:
            return ""
        fast = sum(core.fast for core in self.cores)
        nodes = len({core.node for core in self.cores})
        parts = [f"{len(self.cores)} cores, {self.cpus} threads"]
        if fast < len(self.cores):
            parts.append(f"{fast} performance and {len(self.cores) - fast} efficiency cores")
        if nodes > 1:
            parts.append(f"{nodes} NUMA nodes")
        return ", ".join(parts)

    def suggest(self, slots: int) -> list[list[int]]:
        """Return the processors for each slot; fewer slots than cores share none.

        More slots than cores: each gets one core, in turn.
        """
        if not self.cores or slots < 1:
            return []
        ordered = sorted(self.cores, key=lambda core: (not core.fast, core.node, core.cpus))
        if slots >= len(ordered):
            return [sorted(ordered[slot % len(ordered)].cpus) for slot in range(slots)]
        shares = shared_out(ordered, slots)
        return [sorted(cpu for core in share for cpu in core.cpus) for share in shares]


def shared_out(cores: Sequence[Core], slots: int) -> list[list[Core]]:
    """Give each slot as many cores as the others (one more for the first), node by node.

    A slot whose cores would begin at the end of a node takes them all from the next where it can.
    """
    left = list(cores)
    shares: list[list[Core]] = []
    for slot in range(slots):
        wanted = -(-len(left) // (slots - slot))
        groups: dict[tuple[bool, int], list[Core]] = {}
        for core in left:
            groups.setdefault((core.fast, core.node), []).append(core)
        whole = next((group for group in groups.values() if len(group) >= wanted), left)
        share = whole[:wanted]
        left = [core for core in left if core not in share]
        shares.append(share)
    return shares


def read_topology(sysfs_root: Path = Path("/sys")) -> CpuTopology:
    """Read the kernel's description; no cores where it gives none."""
    root = sysfs_root / "devices/system"
    frugal = set(cpu_list(read(sysfs_root / "devices/cpu_atom/cpus")))
    nodes = {
        cpu: int(node.name.removeprefix("node"))
        for node in (root / "node").glob("node[0-9]*")
        for cpu in cpu_list(read(node / "cpulist"))
    }
    capacities: dict[int, int] = {}
    siblings: dict[tuple[int, ...], int] = {}
    for folder in (root / "cpu").glob("cpu[0-9]*"):
        cpu = int(folder.name.removeprefix("cpu"))
        threads = tuple(cpu_list(read(folder / "topology/thread_siblings_list"))) or (cpu,)
        if read(folder / "online") != "0":
            siblings[threads] = nodes.get(cpu, 0)
        capacity = read(folder / "cpu_capacity")
        if capacity.isdigit():
            capacities[cpu] = int(capacity)
    most = max(capacities.values(), default=0)
    cores = [
        Core(threads, node, is_fast(threads[0], frugal, capacities, most))
        for threads, node in siblings.items()
    ]
    return CpuTopology(tuple(sorted(cores, key=lambda core: core.cpus)))


def is_fast(cpu: int, frugal: set[int], capacities: dict[int, int], most: int) -> bool:
    """Return whether a processor is of the fastest kind (Arm tells each one's capacity)."""
    return cpu not in frugal and capacities.get(cpu, most) * 5 >= most * 4


def cpu_list(text: str) -> Iterable[int]:
    """Yield the numbers of a list such as ``0-3,8``."""
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if first.isdigit() and (last or first).isdigit():
            yield from range(int(first), int(last or first) + 1)

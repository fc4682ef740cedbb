"""Which host takes a runner: architecture, GPU, site, cordon, heartbeat, free slots and room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from heapq import heapify, heappop, heapreplace
from itertools import count as numbers_from

from runners import fleet
from runners.errors import NoCapacity
from runners.fleet import Reserve
from runners.hardware_labels import (
    emulated_architecture,
    no_gpu,
    promises_gpu,
    unproved,
)
from runners.models import Host, Runner
from runners.scaling.policy import GPU_SHARES, NO_SIZE, Size

ARCHITECTURE_LABELS = {"x64": "x64", "arm64": "arm64", "arm": "arm", "riscv64": "riscv64"}
"""Label (lower case) → the host architecture it promises."""
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Need:
    """What a runner asks of its host; "", () and None mean no matter.

    `sites` in order of preference; with `sites_only` others never serve. `size`: what it takes
    besides a slot.
    """

    labels: Sequence[str]
    host_id: int | None = None
    architecture: str = ""
    needs_gpu: bool = False
    sites: tuple[str, ...] = ()
    sites_only: bool = False
    host_labels: tuple[str, ...] = ()
    emulation: bool = False
    size: Size = NO_SIZE


@dataclass(frozen=True, slots=True)
class Room:
    """The hosts in service by name, and what of each is held; by host id.

    One reading for everything that a request asks of it; true for the moment it was taken.
    `taken` is what sized runners hold, `reserve` what every host keeps for itself.
    """

    hosts: Sequence[Host]
    held: Mapping[int, int]
    taken: Mapping[int, Size] = field(default_factory=dict)
    reserve: Reserve = field(default_factory=Reserve)

    def free(self, host: Host) -> int:
        """How many more runners this host has slots for."""
        return max(0, host.slots - self.held.get(host.pk, 0))

    def left(self, host: Host) -> Size:
        """What this host has left for sized runners, its reserve kept."""
        return left_of(host, self.taken.get(host.pk, NO_SIZE), self.reserve)


def room(*, sized: bool = True) -> Room:
    """Read the hosts, their held slots and, for `sized` runners, what those hold of them; five
    queries, or two."""
    return Room(
        hosts=list(Host.objects.for_placement().order_by("name")),
        held=dict(Runner.objects.held_slots()),
        taken=taken() if sized else {},
        reserve=fleet.reserve() if sized else Reserve(),
    )


def taken() -> dict[int, Size]:
    """What runners that hold a slot take of their host, by host id; two queries."""
    found: dict[int, Size] = {}
    for host_id, cpus, memory_gib, disk_gib, number in Runner.objects.held_sizes():
        size = Size(number * cpus, number * memory_gib * GIB, number * disk_gib * GIB)
        found[host_id] = found.get(host_id, NO_SIZE) + size
    for host_id, share, number in Runner.objects.held_gpus():
        size = Size(gpu_shares=number * GPU_SHARES // (share or 1))
        found[host_id] = found.get(host_id, NO_SIZE) + size
    return found


def left_of(host: Host, taken: Size, reserve: Reserve) -> Size:
    """A host's cores, memory, disk and GPUs without its reserve and what is taken; never below 0.

    A host whose facts are not known yet has nothing to give to sized runners.
    """
    cpus, memory, disk = host.cpu_count or 0, host.memory_bytes or 0, host.disk_total_bytes or 0
    return Size(
        cpus=max(0, cpus - reserve.cpus_of(cpus) - taken.cpus),
        memory_bytes=max(0, memory - reserve.memory_of(memory) - taken.memory_bytes),
        disk_bytes=max(0, disk - reserve.disk_gib * GIB - taken.disk_bytes),
        gpu_shares=max(0, host.gpu_count * GPU_SHARES - taken.gpu_shares),
    )


def free_slots(
    need: Need, *, count: int, now: datetime, among: Room | None = None
) -> list[tuple[Host, int]]:
    """Choose `count` free slots, preferred site first, then spread over the emptiest hosts.

    `among` is a reading the caller already has. Raises NoCapacity with the reason of each host that
    was turned down.
    """
    there_is = among or room()
    refused: dict[str, str] = {}
    able: list[Host] = []
    for host in there_is.hosts:
        why = refusal(need, host, now=now)
        if not why and not size_of(need).fits(left_of(host, NO_SIZE, there_is.reserve)):
            why = "too small, its reserve aside"
        if why:
            refused[host.name] = why
        else:
            able.append(host)
    chosen = _emptiest(need, able, there_is, count=count)
    if len(chosen) < count:
        raise NoCapacity(_no_capacity(need, there_is.hosts, able, refused, asked=count))
    return _numbered(chosen)


def _emptiest(need: Need, able: Sequence[Host], there_is: Room, *, count: int) -> list[Host]:
    """The host of each new runner, in the order chosen; fewer than `count` when all are full."""
    hosts = {host.name: host for host in able}
    held = {host.name: there_is.held.get(host.pk, 0) for host in able}
    size = size_of(need)
    left = {host.name: there_is.left(host) for host in able}
    queue = [
        _place(need, host, held[host.name])
        for host in able
        if there_is.free(host) and size.fits(left[host.name])
    ]
    heapify(queue)
    chosen: list[Host] = []
    while queue and len(chosen) < count:
        host = hosts[queue[0][-1]]
        chosen.append(host)
        held[host.name] += 1
        left[host.name] -= size
        if held[host.name] < host.slots and size.fits(left[host.name]):
            heapreplace(queue, _place(need, host, held[host.name]))
        else:
            heappop(queue)
    return chosen


def _place(need: Need, host: Host, held: int) -> tuple[bool, int, float, str]:
    """What orders the hosts: native ones, the wished sites, the share of slots held, the name."""
    sites = [site.lower() for site in need.sites]
    at = sites.index(host.site.lower()) if host.site.lower() in sites else len(sites)
    return host.emulated, at, held / host.slots, host.name


def _numbered(chosen: Sequence[Host]) -> list[tuple[Host, int]]:
    """Give each its host's lowest free slot; one query for all."""
    numbers: dict[int, set[int]] = {host.pk: set() for host in chosen}
    for host_id, slot in Runner.objects.held_slot_numbers(numbers):
        numbers[host_id].add(slot)
    taken: list[tuple[Host, int]] = []
    for host in chosen:
        slot = next(number for number in numbers_from(1) if number not in numbers[host.pk])
        numbers[host.pk].add(slot)
        taken.append((host, slot))
    return taken


def refusal(need: Need, host: Host, *, now: datetime) -> str:
    """Say why this host can't take the runner; "" when it can (free slots aside)."""
    architecture = wanted_architecture(need)
    if need.host_id is not None and host.pk != need.host_id:
        return "not the host asked for"
    if why := closed(host, now=now):
        return why
    if emulated_architecture(need.labels) and not need.emulation:
        return "emulation was not asked for"
    for label in need.labels:
        if why := unproved(label, host):
            return why
    if architecture and host.architecture != architecture:
        return f"{host.architecture or 'unknown architecture'}, not {architecture}"
    if wants_gpu(need) and not host.gpu_devices:
        return no_gpu(host)
    if need.host_labels:
        carried = {label.name.lower() for label in host.labels.all()}
        lacking = [label for label in need.host_labels if label.lower() not in carried]
        if lacking:
            return f"without the host label {lacking[0]}"
    if need.sites_only and host.site.lower() not in {site.lower() for site in need.sites}:
        return f"at {host.site or 'no site'}, where it may not run"
    return ""


def size_of(need: Need) -> Size:
    """What the runner takes besides a slot: one that uses a GPU without saying how much takes it
    whole."""
    if need.size.gpu_shares or not wants_gpu(need):
        return need.size
    return need.size + Size(gpu_shares=GPU_SHARES)


def wants_gpu(need: Need) -> bool:
    """Whether the runner must be on a host with a GPU, by field or by label."""
    return need.needs_gpu or any(promises_gpu(label) for label in need.labels)


def free_gpu(host: Host, *, shares: int) -> tuple[str, int]:
    """Choose the GPU of a new runner and its place there; `shares` runners of its kind may share.

    A GPU already begun by as many sharers comes before one that is free. Raises NoCapacity.
    """
    holders: dict[str, list[tuple[int, int]]] = {}
    for device, place, of in Runner.objects.held_devices(host.pk):
        holders.setdefault(device, []).append((place, of or 1))
    begun: list[tuple[str, int]] = []
    untouched: list[tuple[str, int]] = []
    for device in host.gpu_devices:
        there = holders.get(device, [])
        places = {place for place, _ in there}
        if not there:
            untouched.append((device, 0))
        elif all(of == shares for _, of in there) and len(there) < shares:
            begun.append((device, next(n for n in numbers_from() if n not in places)))
    if not begun + untouched:
        raise NoCapacity(f"Every GPU of {host.name} has its runner. Wait, or add a host with one.")
    return (begun + untouched)[0]


def closed(host: Host, *, now: datetime) -> str:
    """Say why this host takes no runner at all now, whoever asks; "" when it does."""
    if host.emulated:
        return "it runs emulated itself, where GitHub's runner can not"
    if host.cordoned:
        return f"cordoned{f': {host.cordoned_reason}' if host.cordoned_reason else ''}"
    if host.quarantined_at is not None:
        return f"quarantined after {host.consecutive_failures} failures in a row"
    if host.backoff_until is not None and host.backoff_until > now:
        return (
            f"its last {host.consecutive_failures} runners failed, trying again at "
            f"{host.backoff_until:%H:%M:%S} UTC"
        )
    if host.last_seen_at is None:
        return "not connected yet"
    if host.late_after is not None and host.late_after <= now:
        return "its heartbeat is late"
    return ""


def wanted_architecture(need: Need) -> str:
    """The architecture asked for, by field or by label; a host can't carry a label it is not."""
    if need.architecture:
        return need.architecture
    for label in need.labels:
        if label.lower() in ARCHITECTURE_LABELS:
            return ARCHITECTURE_LABELS[label.lower()]
    return ""


def _no_capacity(
    need: Need, hosts: Sequence[Host], able: Sequence[Host], refused: dict[str, str], *, asked: int
) -> str:
    if not hosts:
        return "There is no host yet. Add one under Hosts, then provision."
    if able:
        names = ", ".join(host.name for host in able[:5])
        return (
            f"{names} can serve this but {'has' if len(able) == 1 else 'have'} too few free slots "
            f"for {asked}. Ask for fewer, raise the slots, or add a host."
        )
    wanted = [f"{name} ({why})" for name, why in refused.items() if why != "not the host asked for"]
    if not wanted:
        return "The host asked for is not in service any more."
    return "No host can take this runner: " + ", ".join(wanted[:5]) + "."

"""Which host takes a runner: architecture, GPU, site, cordon, heartbeat and free slots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import heapify, heappop, heapreplace
from itertools import count as numbers_from

from runners.errors import NoCapacity
from runners.models import Host, Runner

ARCHITECTURE_LABELS = {"x64": "x64", "arm64": "arm64", "arm": "arm", "riscv64": "riscv64"}
"""Label (lower case) → the host architecture it promises."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a runner asks of its host; "" and None mean no matter."""

    labels: Sequence[str]
    host_id: int | None = None
    architecture: str = ""
    needs_gpu: bool = False
    site: str = ""


@dataclass(frozen=True, slots=True)
class Room:
    """The hosts in service by name, and how many slots of each are held; by host id.

    One reading for everything that a request asks of it; true for the moment it was taken.
    """

    hosts: Sequence[Host]
    held: Mapping[int, int]

    def free(self, host: Host) -> int:
        """How many more runners this host has slots for."""
        return max(0, host.slots - self.held.get(host.pk, 0))


def room() -> Room:
    """Read the hosts and their held slots; two queries."""
    return Room(
        hosts=list(Host.objects.for_placement().order_by("name")),
        held=dict(Runner.objects.held_slots()),
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
        if why := refusal(need, host, now=now):
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
    queue = [_place(need, host, held[host.name]) for host in able if there_is.free(host)]
    heapify(queue)
    chosen: list[Host] = []
    while queue and len(chosen) < count:
        host = hosts[queue[0][-1]]
        chosen.append(host)
        held[host.name] += 1
        if held[host.name] < host.slots:
            heapreplace(queue, _place(need, host, held[host.name]))
        else:
            heappop(queue)
    return chosen


def _place(need: Need, host: Host, held: int) -> tuple[bool, float, str]:
    """What orders the hosts: the wished site, then the share of slots held, then the name."""
    return bool(need.site) and host.site != need.site, held / host.slots, host.name


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
    if host.emulated:
        return "emulated, and emulation was not asked for"
    if architecture and host.architecture != architecture:
        return f"{host.architecture or 'unknown architecture'}, not {architecture}"
    if (need.needs_gpu or "gpu" in {label.lower() for label in need.labels}) and not host.gpus:
        return "no GPU"
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

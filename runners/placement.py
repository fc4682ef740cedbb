"""Which host takes a runner: architecture, GPU, site, cordon, heartbeat and free slots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

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


def free_slots(need: Need, *, count: int, now: datetime) -> list[tuple[Host, int]]:
    """Choose `count` free slots, preferred site first, then spread over the emptiest hosts.

    Raises NoCapacity with the reason of each host that was turned down.
    """
    hosts = list(Host.objects.for_placement().order_by("name"))
    taken: dict[int, set[int]] = {host.pk: set() for host in hosts}
    holding = Runner.objects.filter(slot__isnull=False).values_list("host_id", "slot")
    for host_id, slot in holding:
        if host_id in taken and slot is not None:
            taken[host_id].add(slot)
    refused = {host.name: why for host in hosts if (why := refusal(need, host, now=now))}
    able = [host for host in hosts if host.name not in refused]
    chosen: list[tuple[Host, int]] = []
    for _ in range(count):
        open_hosts = [host for host in able if len(taken[host.pk]) < host.slots]
        if not open_hosts:
            raise NoCapacity(_no_capacity(need, hosts, able, refused, asked=count))
        host = min(
            open_hosts,
            key=lambda h: (
                bool(need.site) and h.site != need.site,
                len(taken[h.pk]) / h.slots,
                h.name,
            ),
        )
        slot = min(set(range(1, host.slots + 1)) - taken[host.pk])
        taken[host.pk].add(slot)
        chosen.append((host, slot))
    return chosen


def refusal(need: Need, host: Host, *, now: datetime) -> str:
    """Say why this host can't take the runner; "" when it can (free slots aside)."""
    architecture = wanted_architecture(need)
    if need.host_id is not None and host.pk != need.host_id:
        return "not the host asked for"
    if host.cordoned:
        return f"cordoned{f': {host.cordoned_reason}' if host.cordoned_reason else ''}"
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

"""The fleet as a map: a host is a building, a slot a window, a lit window a job at work.

Read only; two queries however many hosts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.urls import reverse

from runners.models import Host, Runner
from runners.states import DisplayState, HostState
from runners.templatetags.fleet import coarse, duration

# A glyph inside the window, where the fill alone does not tell the state.
_SLOT_GLYPH: Final = {
    DisplayState.IDLE: "dot",
    DisplayState.STARTING: "half",
    DisplayState.DRAINING: "drain",
    DisplayState.REMOVING: "drain",
    DisplayState.OFFLINE: "x",
    DisplayState.LOST: "x",
    DisplayState.FAILED: "bang",
    DisplayState.QUARANTINED: "bang",
}


@dataclass(frozen=True, slots=True)
class Slot:
    """One window; `state` is "free" and `url` "" when nobody holds it."""

    state: str
    title: str
    url: str = ""
    percent: int | None = None
    glyph: str = ""


@dataclass(frozen=True, slots=True)
class Rack:
    """One building; `cpu_percent`, `memory_percent`, `disk_percent` are whole numbers."""

    host: Host
    state: HostState
    architecture: str
    slots: list[Slot]
    columns: int
    cpu_percent: int | None
    memory_percent: int | None
    disk_percent: int | None
    note: str
    busy: int


def racks(hosts: Sequence[Host], *, now: datetime) -> list[Rack]:
    """Return the map of these hosts, in their order; one query for their runners."""
    holders: dict[int, dict[int, Runner]] = {host.pk: {} for host in hosts}
    by_pk = {host.pk: host for host in hosts}
    for runner in Runner.objects.for_fleet_map(list(holders)):
        runner.host = by_pk[runner.host_id]
        holders[runner.host_id][runner.slot or 0] = runner
    address = _runner_address()
    return [_rack(host, holders[host.pk], now, address) for host in hosts]


def _runner_address() -> Callable[[int], str]:
    """Return what gives a runner's address; the resolver is asked once, not for every window."""
    before, _, after = reverse("runner-detail", args=[0]).rpartition("0")
    return lambda pk: f"{before}{pk}{after}"


def _rack(
    host: Host, holders: dict[int, Runner], now: datetime, address: Callable[[int], str]
) -> Rack:
    state = host.state_at(now)
    displays = {slot: runner.display_at(now) for slot, runner in holders.items()}
    numbers = sorted({*range(1, host.slots + 1), *holders})
    return Rack(
        host=host,
        state=state,
        architecture="gpu" if host.gpu_count else host.architecture,
        slots=[
            _slot(holders.get(number), displays.get(number), now, address) for number in numbers
        ],
        columns=_columns(len(numbers)),
        cpu_percent=None if host.cpu_percent is None else min(100, round(host.cpu_percent)),
        memory_percent=_share(host.memory_used_bytes, host.memory_bytes),
        disk_percent=_share(host.disk_used_bytes, host.disk_total_bytes),
        note=_note(host, state, now),
        busy=sum(display == DisplayState.BUSY for display in displays.values()),
    )


def _columns(slots: int) -> int:
    """Keep windows wide: two or three beside each other, six from a dozen on."""
    if slots in (1, 2, 4):
        return 2
    return 3 if slots < 12 else 6


def _share(used: int | None, total: int | None) -> int | None:
    if used is None or not total:
        return None
    return min(100, round(used * 100 / total))


def _slot(
    runner: Runner | None,
    display: DisplayState | None,
    now: datetime,
    address: Callable[[int], str],
) -> Slot:
    if runner is None or display is None:
        return Slot(state="free", title="Free slot")
    title = f"{runner.name} — {display.label}"
    if display in (DisplayState.BUSY, DisplayState.DRAINING) and runner.job_name:
        title += f" · {runner.job_name}"
    if display == DisplayState.BUSY and runner.job_started_at:
        title += f", {duration((now - runner.job_started_at).total_seconds())}"
    return Slot(
        state=display.value,
        title=title,
        url=address(runner.pk),
        percent=100 if display == DisplayState.BUSY else None,
        glyph=_SLOT_GLYPH.get(display, ""),
    )


def _note(host: Host, state: HostState, now: datetime) -> str:
    """Say what is wrong, in place of the meters, which would be out of date."""
    if state == HostState.ENROLLING:
        return "Waiting for first heartbeat"
    if state in (HostState.OFFLINE, HostState.LATE) and host.last_seen_at:
        return f"Silent for {coarse(int((now - host.last_seen_at).total_seconds()))}"
    if state == HostState.QUARANTINED:
        return f"Its last {host.consecutive_failures} runners failed"
    if state == HostState.CORDONED:
        return host.cordoned_reason or "Takes no new runners"
    return ""

"""What the pages say of a host: its words, its load, its last heartbeats, and what may be done.

Read only; `host_rows` runs two queries however many hosts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.urls import reverse

from runners.models import Host, Sample
from runners.states import DisplayState, HostState
from runners.templatetags.fleet import size
from runners.views.fleet_map import Rack, Slot, racks
from runners.views.runner_rows import Action

BEATS_IN_ROW: Final = 20
WARN_PERCENT: Final = 80
FULL_PERCENT: Final = 90


@dataclass(frozen=True, slots=True)
class Beats:
    """A strip of heartbeats, oldest first: "" on time, "is-miss" none; `words` says the same."""

    bars: list[str]
    words: str


@dataclass(frozen=True, slots=True)
class Load:
    """One meter: a whole percentage or None, and its tone (ink, warn, bad)."""

    percent: int | None
    tone: str


@dataclass(frozen=True, slots=True)
class HostRow:
    """One host as the list shows it; `site` begins a group when `heads_group`."""

    pk: int
    name: str
    url: str
    about: str
    posing: bool
    state: str
    state_word: str
    state_more: str
    connected: bool
    slots: list[Slot]
    busy: int
    cpu: Load
    memory: Load
    disk: Load
    beats: Beats
    silent: bool
    last_seen_at: datetime | None
    enrolled_at: datetime
    agent_version: str
    actions: list[Action]


def host_rows(hosts: Iterable[Host], *, now: datetime, sample_seconds: int) -> list[HostRow]:
    """Return the rows of these hosts, in their order."""
    loaded = list(hosts)
    heard = heartbeats(loaded, now=now, bars=BEATS_IN_ROW, sample_seconds=sample_seconds)
    return [_row(rack, heard[rack.host.pk]) for rack in racks(loaded, now=now)]


def _row(rack: Rack, beats: Beats) -> HostRow:
    host = rack.host
    state, word, more = state_words(rack)
    known = rack.state not in (HostState.OFFLINE, HostState.ENROLLING, HostState.RETIRED)
    return HostRow(
        pk=host.pk,
        name=host.name,
        url=host.get_absolute_url(),
        about=about(host),
        posing=host.posing,
        state=state,
        state_word=word,
        state_more=more,
        connected=rack.state != HostState.ENROLLING,
        slots=rack.slots,
        busy=rack.busy,
        cpu=load(rack.cpu_percent if known else None),
        memory=load(rack.memory_percent if known else None),
        disk=load(rack.disk_percent if known else None, warn=WARN_PERCENT),
        beats=beats,
        silent=rack.state in (HostState.LATE, HostState.OFFLINE),
        last_seen_at=host.last_seen_at,
        enrolled_at=host.enrolled_at,
        agent_version=host.agent_version,
        actions=actions_for(host, busy=works(rack)),
    )


def about(host: Host) -> str:
    """The machine in a few words: x64 · 8 cores · 34.4 GB · 1 GPU."""
    parts = [host.architecture]
    if host.cpu_count:
        parts.append(f"{host.cpu_count} core{'s' if host.cpu_count != 1 else ''}")
    if host.memory_bytes:
        parts.append(size(host.memory_bytes))
    if host.gpu_count:
        parts.append(f"{host.gpu_count} GPU{'s' if host.gpu_count != 1 else ''}")
    return " · ".join(part for part in parts if part) or "Nothing reported yet"


def state_words(rack: Rack) -> tuple[str, str, str]:
    """Return the state's value, its word, and a smaller line: a cordoned host may be draining."""
    left = sum(slot.state in (DisplayState.DRAINING, DisplayState.REMOVING) for slot in rack.slots)
    if rack.state == HostState.CORDONED and left:
        return "draining", "Draining", f"{left} runner{'s' if left != 1 else ''} left"
    more = rack.host.cordoned_reason if rack.state == HostState.CORDONED else ""
    if rack.state == HostState.QUARANTINED:
        more = f"{rack.host.consecutive_failures} failures in a row"
    word = "Enrolling" if rack.state == HostState.ENROLLING else rack.state.label
    return rack.state.value, word, more


def works(rack: Rack) -> int:
    """How many of its runners may hold a job now: busy ones, and those told to drain."""
    return sum(
        slot.state in (DisplayState.BUSY, DisplayState.DRAINING, DisplayState.LOST)
        for slot in rack.slots
    )


def load(percent: int | None, *, warn: int = FULL_PERCENT) -> Load:
    """A meter that turns to a warning where the machine gets short."""
    return Load(percent, "warn" if percent is not None and percent >= warn else "ink")


def heartbeats(
    hosts: Sequence[Host], *, now: datetime, bars: int, sample_seconds: int
) -> dict[int, Beats]:
    """Return each host's strip, a bar for every `sample_seconds`; one query.

    Samples come with heartbeats, thinned to one a period. A bar also counts a sample of the half
    period before it, because a sample may come up to half a period late without a beat missed.
    """
    period = timedelta(seconds=sample_seconds)
    begin = now - period * bars
    heard: dict[int, list[datetime]] = {host.pk: [] for host in hosts}
    samples = Sample.objects.filter(host_id__in=list(heard), at__gt=begin - period / 2, at__lte=now)
    for host_id, at in samples.order_by().values_list("host_id", "at"):
        heard[host_id].append(at)
    return {
        host.pk: _strip(host, heard[host.pk], begin=begin, period=period, bars=bars)
        for host in hosts
    }


def _strip(
    host: Host, heard: list[datetime], *, begin: datetime, period: timedelta, bars: int
) -> Beats:
    strip: list[str] = []
    for number in range(bars):
        start = begin + period * number
        if start + period <= host.enrolled_at:
            continue
        on_time = any(start - period / 2 < at <= start + period for at in heard)
        strip.append("" if on_time else "is-miss")
    missed = sum(bar != "" for bar in strip)
    if not strip:
        return Beats([], "No heartbeat yet")
    if not missed and len(strip) == 1:
        return Beats(strip, "On time so far")
    if not missed:
        return Beats(strip, f"All of the last {len(strip)} heartbeat periods on time")
    return Beats(strip, f"{missed} of the last {len(strip)} heartbeat periods missed")


def actions_for(host: Host, *, busy: int) -> list[Action]:
    """Return the actions an operator sees, those the state forbids with the reason."""
    if host.retired_at is not None:
        return []
    cordon = (
        Action("uncordon", "Uncordon", "circle-play", _url(host, "uncordon"))
        if host.cordoned
        else Action("cordon", "Cordon", "circle-minus", _url(host, "cordon"))
    )
    held = host.quarantined_at is not None or host.backoff_until is not None
    release = Action("release", "Release", "circle-play", _url(host, "release"))
    actions = [
        release if held else cordon,
        Action("drain", "Drain", "arrow-down-to-line", _url(host, "drain"), asks=True),
        *([cordon] if held else []),
        Action("slots", "Change slots", "layout-grid", _url(host, "slots"), asks=True),
        Action(
            "rotate-token",
            "Rotate agent token",
            "key-round",
            _url(host, "rotate-token"),
            "A new token is on its way." if host.token_rotation_asked_at else "",
            asks=True,
        ),
    ]
    jobs = "a job" if busy == 1 else f"{busy} jobs"
    why_not = f"{jobs.capitalize()} may be running here. Drain it first." if busy else ""
    actions.append(
        Action("retire", "Retire", "trash-2", _url(host, "retire"), why_not, asks=True, danger=True)
    )
    return actions


def _url(host: Host, verb: str) -> str:
    return reverse(f"host-{verb}", args=[host.name])

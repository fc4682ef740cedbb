"""One host's page as ready values: load over time, slots, heartbeats, facts, events.

Read only; `host_page` runs a constant number of queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.urls import reverse

from runners import drift_listing
from runners.countdown_listing import running_out
from runners.countdowns import sort_key as when
from runners.doctor import health
from runners.hardware_labels import host_labels
from runners.models import EnrolmentCode, Event, Host, Job, Runner, Sample
from runners.states import DisplayState, HostState
from runners.surroundings import shipped_agent
from runners.templatetags.fleet import coarse, size
from runners.views.charts import Chart, Point, chart
from runners.views.countdowns import NAMES
from runners.views.event_words import Happening, happening
from runners.views.findings import FindingRow, rows, summary
from runners.views.fleet_map import Slot, racks
from runners.views.host_hardware import Hardware, hardware
from runners.views.host_rows import (
    FULL_PERCENT,
    WARN_PERCENT,
    Beats,
    about,
    actions_for,
    heartbeats,
    state_words,
    works,
)
from runners.views.runner_rows import Action, current_jobs, doing_words

BEATS_ON_PAGE: Final = 60
EVENTS_SHOWN: Final = 8
CLOCK_OFF_SECONDS: Final = 30.0
RANGES: Final = {
    "1h": ("1 h", timedelta(hours=1)),
    "6h": ("6 h", timedelta(hours=6)),
    "24h": ("24 h", timedelta(hours=24)),
    "7d": ("7 d", timedelta(days=7)),
}
DEFAULT_RANGE: Final = "1h"


@dataclass(frozen=True, slots=True)
class Range:
    """One choice of the charts' length."""

    key: str
    word: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Gauge:
    """One chart with its figure: `value` big, `unit` small beside it; `hue` is a CSS class."""

    title: str
    value: str
    unit: str
    hue: str
    caution: bool
    chart: Chart


@dataclass(frozen=True, slots=True)
class SlotLine:
    """One slot of the list: its runner and what it does, or that it is free."""

    state: str
    word: str
    name: str
    url: str
    doing: str
    more: str


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the details: a name and text or a moment; `warn` marks what is amiss."""

    name: str
    text: str = ""
    at: datetime | None = None
    mono: bool = False
    warn: bool = False


@dataclass(frozen=True, slots=True)
class Notice:
    """A callout above the page."""

    state: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class HostPage:
    """Everything the page shows."""

    host: Host
    state: str
    state_word: str
    about: str
    labels: list[str]
    disk_pill: str
    notices: list[Notice]
    drift: int
    drift_url: str
    ranges: list[Range]
    gauges: list[Gauge]
    slots: list[Slot]
    slot_columns: int
    slot_lines: list[SlotLine]
    slots_words: str
    beats: Beats
    beats_words: str
    health: list[FindingRow]
    health_words: str
    facts: list[Fact]
    hardware: Hardware
    events: list[Happening]
    events_url: str
    actions: list[Action]
    can_provision: bool
    announce: str


def host_page(host: Host, *, now: datetime, sample_seconds: int, span: str) -> HostPage:
    """Read what the page of `host` shows; `span` is a key of RANGES, else the default."""
    rack = racks([host], now=now)[0]
    state, word, _ = state_words(rack)
    span = span if span in RANGES else DEFAULT_RANGE
    disk = rack.disk_percent
    in_service = host.retired_at is None
    checks = health.of_host(host, shipped_agent=shipped_agent(), now=now) if in_service else []
    holders = list(
        Runner.objects.filter(host=host, slot__isnull=False).select_related("host").order_by("slot")
    )
    return HostPage(
        host=host,
        state=state,
        state_word=word,
        about=about(host),
        labels=[*host_labels(host), *(label.name for label in host.labels.all())],
        disk_pill=f"Disk {disk}%" if disk is not None and disk >= WARN_PERCENT else "",
        notices=_notices(host, rack.state, disk, now),
        drift=drift_listing.count(drift_listing.Wanted(host=host.name), now=now).ours,
        drift_url=f"{reverse('drift-list')}?host={host.name}",
        ranges=[Range(key, words, key == span) for key, (words, _) in RANGES.items()],
        gauges=_gauges(host, disk, begin=now - RANGES[span][1], end=now),
        slots=rack.slots,
        slot_columns=rack.columns,
        slot_lines=_slot_lines(host, holders, now),
        slots_words=f"{rack.busy} of {host.slots} working",
        beats=heartbeats([host], now=now, bars=BEATS_ON_PAGE, sample_seconds=sample_seconds)[
            host.pk
        ],
        beats_words=f"last {coarse(BEATS_ON_PAGE * sample_seconds)}, a bar for each "
        f"{coarse(sample_seconds)}",
        health=rows(checks),
        health_words=summary(checks),
        facts=[*_facts(host), *_runs_out(host, now)],
        hardware=hardware(host, holders),
        events=[happening(event) for event in Event.objects.filter(host=host)[:EVENTS_SHOWN]],
        events_url=f"{reverse('event-list')}?host={host.name}",
        actions=actions_for(host, busy=works(rack)),
        can_provision=in_service and not host.cordoned,
        announce=f"{host.name}: {word}",
    )


def _notices(host: Host, state: HostState, disk: int | None, now: datetime) -> list[Notice]:
    notices = []
    if state == HostState.RETIRED:
        notices.append(
            Notice(
                "info", f"{host.name} is retired.", "Its history stays. Enrol it to bring it back."
            )
        )
    if state in (HostState.LATE, HostState.OFFLINE) and host.last_seen_at:
        silence = coarse(int((now - host.last_seen_at).total_seconds()))
        notices.append(
            Notice(
                "failure" if state == HostState.OFFLINE else "warning",
                f"{host.name} has been silent for {silence}.",
                "What runs on it is unknown; jobs there may still be working. "
                "Check power and network, then the fleet-agent service.",
            )
        )
    if host.quarantined_at is not None and state != HostState.RETIRED:
        notices.append(
            Notice(
                "failure",
                f"Quarantined: its last {host.consecutive_failures} runners failed.",
                "It is given no more until somebody releases it. The failed runners say why.",
            )
        )
    elif host.backoff_until is not None and host.backoff_until > now:
        notices.append(
            Notice(
                "warning",
                f"Its last {host.consecutive_failures} runners failed.",
                f"New ones go elsewhere until {host.backoff_until:%H:%M:%S} UTC.",
            )
        )
    if host.cordoned and state != HostState.RETIRED:
        why = f" Reason: {host.cordoned_reason}." if host.cordoned_reason else ""
        notices.append(
            Notice("warning", "Cordoned: it takes no new runners.", f"Runners go on.{why}")
        )
    if disk is not None and disk >= FULL_PERCENT:
        free = size((host.disk_total_bytes or 0) - (host.disk_used_bytes or 0))
        notices.append(
            Notice("warning", f"Disk is {disk}% full.", f"{free} are left for jobs and packages.")
        )
    if host.isolation.get("jobs_run_as") == "root":
        notices.append(
            Notice(
                "warning",
                "Jobs run as root on this host.",
                "Its operator allowed that. Whoever may change a workflow owns this machine.",
            )
        )
    if host.posing:
        notices.append(
            Notice(
                "info",
                "This host is posing.",
                "Its agent was told what to report, for a demo or a test; the facts are not "
                "measured.",
            )
        )
    return notices


def _gauges(host: Host, disk: int | None, *, begin: datetime, end: datetime) -> list[Gauge]:
    rows = list(
        Sample.objects.filter(host=host, at__gte=begin, at__lte=end)
        .order_by("at")
        .values_list("at", "cpu_percent", "memory_used_bytes", "disk_used_bytes", "load1")
    )
    cores_count = host.cpu_count or 0
    cores = f"of {cores_count} cores" if cores_count else ""
    memory, space = host.memory_bytes or 0, host.disk_total_bytes or 0
    return [
        Gauge(
            "CPU",
            "—" if host.cpu_percent is None else f"{host.cpu_percent:.0f}%",
            cores,
            "",
            False,
            chart([Point(row[0], row[1]) for row in rows], begin=begin, end=end),
        ),
        Gauge(
            "Memory",
            size(host.memory_used_bytes),
            f"of {size(memory)}" if memory else "",
            "hue-start",
            False,
            chart(_shares([(row[0], row[2]) for row in rows], memory), begin=begin, end=end),
        ),
        Gauge(
            "Disk",
            size(host.disk_used_bytes),
            f"of {size(space)}" if space else "",
            "hue-warn" if (disk or 0) >= WARN_PERCENT else "hue-ink",
            (disk or 0) >= WARN_PERCENT,
            chart(_shares([(row[0], row[3]) for row in rows], space), begin=begin, end=end),
        ),
        Gauge(
            "Load",
            "—" if host.load1 is None else f"{host.load1:.1f}",
            f"for {cores_count} cores, last minute" if cores_count else "last minute",
            "hue-ok",
            False,
            chart(
                _shares([(row[0], row[4]) for row in rows if row[4] is not None], cores_count),
                begin=begin,
                end=end,
            ),
        ),
    ]


def _shares(rows: Sequence[tuple[datetime, float]], total: int) -> list[Point]:
    return [Point(at, used * 100 / total) for at, used in rows] if total else []


def _slot_lines(host: Host, holders: Sequence[Runner], now: datetime) -> list[SlotLine]:
    runners = {runner.slot or 0: runner for runner in holders}
    jobs = current_jobs(runner.pk for runner in runners.values())
    return [
        _slot_line(number, runners.get(number), jobs, now)
        for number in sorted({*range(1, host.slots + 1), *runners})
    ]


def _slot_line(number: int, runner: Runner | None, jobs: dict[int, Job], now: datetime) -> SlotLine:
    if runner is None:
        return SlotLine("free", "", f"Slot {number} is free", "", "", "")
    state: DisplayState = runner.display_at(now)
    doing, more = doing_words(runner, state, jobs.get(runner.pk), now)
    return SlotLine(state.value, state.label, runner.name, runner.get_absolute_url(), doing, more)


def _runs_out(host: Host, now: datetime) -> list[Fact]:
    """The next thing that runs out for a runner here; the countdown page has them all."""
    found = sorted(
        running_out(Runner.objects.filter(host=host), now), key=lambda each: when(each[1])
    )
    return [
        Fact("Next to run out", f"{NAMES[countdown.kind]} for {runner.name}", countdown.at)
        for runner, countdown in found[:1]
    ]


def _facts(host: Host) -> list[Fact]:
    signals = [host.architecture or "—", host.kernel_architecture]
    facts = [
        Fact("Agent", host.agent_version or "—", mono=True),
        Fact("System", host.os_version or host.os or "—"),
        Fact("Kernel", host.kernel or "—", mono=True),
        Fact("Architecture", ", kernel says ".join(part for part in signals if part)),
        Fact("Host name", host.hostname or "—", mono=True),
        Fact("Site", host.site or "—"),
        Fact("Slots", _slots_words(host)),
        *_isolation_facts(host),
        _gpu_fact(host),
        Fact("Enrolled", at=host.enrolled_at),
        Fact("Agent token", "rotation under way", warn=True)
        if host.token_rotation_asked_at
        else Fact("Agent token", at=host.token_rotated_at),
    ]
    if host.emulated:
        facts.insert(4, Fact("Emulated", "the agent runs emulated: no runner can", warn=True))
    if host.cpu_topology:
        facts.insert(4, Fact("Processors", host.cpu_topology))
    facts += [
        Fact(f"Emulates {one['architecture']}", _slowdown(one["slowdown"]))
        for one in host.emulations
    ]
    if host.github_p95_ms is not None or host.github_verdict == "poor":
        words = "can't be reached" if host.github_p95_ms is None else f"{host.github_p95_ms:.0f} ms"
        facts.append(Fact("To GitHub", words, warn=host.github_verdict in ("fair", "poor")))
    if host.owner:
        facts.append(Fact("Owner", host.owner))
    if abs(host.clock_skew_seconds or 0) > CLOCK_OFF_SECONDS:
        skew = f"{host.clock_skew_seconds:+.0f} s against this server"
        facts.append(Fact("Clock", skew, warn=True))
    if host.temperature_celsius is not None:
        facts.append(Fact("Temperature", f"{host.temperature_celsius:.0f} °C"))
    code = EnrolmentCode.objects.filter(host=host).select_related("created_by").first()
    if code is not None and code.created_by is not None:
        facts.append(Fact("Code made by", code.created_by.get_username()))
    return facts


def _slowdown(slowdown: float | None) -> str:
    return "not measured" if slowdown is None else f"about {slowdown:g} times slower than native"


def _slots_words(host: Host) -> str:
    each = []
    if host.slot_cpu_cores is not None:
        each.append(f"{host.slot_cpu_cores:g} cores")
    if host.slot_memory_bytes is not None:
        each.append(size(host.slot_memory_bytes))
    return f"{host.slots}, each at most {' and '.join(each)}" if each else str(host.slots)


_RUN_AS: Final = {
    "slot-user": "a user of each slot's own",
    "agent-user": "the agent's user",
    "root": "root",
}


def _isolation_facts(host: Host) -> list[Fact]:
    """How jobs are kept apart here, in the agent's own words where something is not possible."""
    said = host.isolation
    if not said:
        return []
    limits = ", ".join(said.get("limits") or [])
    facts = [
        Fact("Limits", f"{limits} by {said.get('limits_by')}")
        if limits
        else Fact("Limits", f"none possible: {said.get('limits_reason')}", warn=True),
        Fact(
            "Jobs run as",
            _RUN_AS.get(said.get("jobs_run_as", ""), "—"),
            warn=said.get("jobs_run_as") == "root",
        ),
        Fact("Jobs see", "their own processes, files and temp only")
        if said.get("view") == "private"
        else Fact("Jobs see", f"all their user may: {said.get('view_reason')}", warn=True),
        Fact("Credentials", "in memory only")
        if said.get("credentials") == "memory"
        else Fact("Credentials", "on the disk for persistent runners", warn=True),
    ]
    if said.get("shared"):
        facts.append(Fact("Shared with jobs", ", ".join(said["shared"]), mono=True))
    return facts


def _gpu_fact(host: Host) -> Fact:
    if not host.gpus:
        return Fact("GPU", host.gpu_source or "none")
    models = [str(gpu.get("model", "GPU")) for gpu in host.gpus if isinstance(gpu, dict)]
    counted = {model: models.count(model) for model in models}
    words = [
        f"{number} \N{MULTIPLICATION SIGN} {model}" if number > 1 else model
        for model, number in counted.items()
    ]
    return Fact("GPU", ", ".join(words))

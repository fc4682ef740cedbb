"""The overview: whether CI is healthy, told in a sentence, a few figures and a map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Case, Count, F, Min, Q, QuerySet, Sum, Value, When
from django.http import HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from runners import manual
from runners.models import Host, Job, Runner
from runners.states import DisplayState, HostState
from runners.templatetags.fleet import coarse
from runners.views import versions
from runners.views.attention import Concern, concerns
from runners.views.fleet_map import Rack, racks
from runners.views.guard import role_required
from runners.views.job_rows import JobRow, waiting_rows
from runners.views.runner_rows import RunnerRow, runner_rows
from runners.views.shared import Context, FleetRequest, page, polled

# A map of more hosts than this is no longer seen at a glance; those in trouble come first then.
RACKS_SHOWN: Final = 60
RUNNING_SHOWN: Final = 8
WAITING_SHOWN: Final = 5
CONCERNS_SHOWN: Final = 5
_ONLINE: Final = (DisplayState.BUSY, DisplayState.IDLE, DisplayState.DRAINING)
_TAKES_JOBS: Final = (HostState.ONLINE, HostState.LATE)


@dataclass(frozen=True, slots=True)
class Figures:
    """The numbers on top; counts of runners, hosts, slots and jobs now, and what was done by hand
    in the last `manual.DAYS` days."""

    runners: int
    online: int
    idle: int
    starting: int
    hosts: int
    hosts_online: int
    slots: int
    slots_in_service: int
    slots_out: int
    busy: int
    busy_percent: int
    waiting: int
    oldest_seconds: int | None
    manual_actions: int
    manual_url: str


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the status sentence with its spaces; `url` "" for words, `tone` warn or bad."""

    words: str
    url: str = ""
    tone: str = ""
    strong: bool = False


@dataclass(frozen=True, slots=True)
class StateCount:
    """One entry of the map's legend."""

    state: str
    word: str
    count: int
    url: str


@dataclass(frozen=True, slots=True)
class HostCounts:
    """Hosts in service and their slots, by the word a person sees."""

    hosts: Counter[str]
    slots: Counter[str]


@polled(versions.fleet_version)
@role_required("viewer")
@require_GET
def overview(request: FleetRequest) -> HttpResponse:
    now = timezone.now()
    hosts = _host_counts(now)
    displays = _displays(now)
    figures = _figures(hosts, displays, now)
    found = concerns(now=now)
    context: Context = {
        "now": now,
        "version": versions.fleet_version(request),
        "figures": figures,
        "sentence": _sentence(figures, hosts.hosts[HostState.OFFLINE], now),
        "legend": _legend(displays),
        "racks": _racks(figures.hosts, now),
        "hosts_hidden": max(0, figures.hosts - RACKS_SHOWN),
        "concerns": found[:CONCERNS_SHOWN],
        "more_concerns": found[CONCERNS_SHOWN:],
        "concern_count": len(found),
        "waiting": _waiting(now),
        "running": _running(now),
        "announce": _announce(found),
    }
    return page(request, "runners/overview.html", "runners/_overview.html", context)


def _host_counts(now: datetime) -> HostCounts:
    """Count hosts and slots by state; one query."""
    rows = Host.objects.in_service().with_state(now).order_by().values_list(F("state"))
    counted = list(rows.annotate(number=Count("pk"), room=Sum("slots")))
    return HostCounts(
        hosts=Counter({state: number for state, number, _ in counted}),
        slots=Counter({state: room for state, _, room in counted}),
    )


def _displays(now: datetime) -> Counter[str]:
    """Count the current runners by the word a person sees; one query."""
    displays: Counter[str] = Counter()
    for _, _, display, number in Runner.objects.counted(now):
        displays[display] += number
    return displays


def _figures(hosts: HostCounts, displays: Counter[str], now: datetime) -> Figures:
    slots = hosts.slots.total()
    in_service = sum(hosts.slots[state] for state in _TAKES_JOBS)
    busy = displays[DisplayState.BUSY] + displays[DisplayState.DRAINING]
    queue = _queued().aggregate(number=Count("pk"), oldest=Min("queued_at"))
    oldest = queue["oldest"]
    first = now - timedelta(days=manual.DAYS)
    return Figures(
        runners=displays.total(),
        online=sum(displays[word] for word in _ONLINE),
        idle=displays[DisplayState.IDLE],
        starting=displays[DisplayState.STARTING],
        hosts=hosts.hosts.total(),
        hosts_online=sum(hosts.hosts[state] for state in _TAKES_JOBS),
        slots=slots,
        slots_in_service=in_service,
        slots_out=slots - in_service,
        busy=busy,
        busy_percent=min(100, round(busy * 100 / in_service)) if in_service else 0,
        waiting=queue["number"],
        oldest_seconds=int((now - oldest).total_seconds()) if oldest else None,
        manual_actions=manual.actions(now=now).count(),
        manual_url=f"{reverse('event-list')}?people=1&from={first:%Y-%m-%d}",
    )


def _queued() -> QuerySet[Job]:
    """The jobs that wait; both conditions, so that the index of open jobs is used."""
    return Job.objects.exclude(status=Job.Status.COMPLETED).filter(status=Job.Status.QUEUED)


def _sentence(figures: Figures, silent: int, now: datetime) -> list[Part]:
    """Tell the state of the fleet in one sentence, the worst last, where the eye stays."""
    runners = "runner is" if figures.runners == 1 else "runners are"
    parts = [Part(f"{figures.online} of {figures.runners} {runners} online.", strong=True)]
    if not figures.waiting and not silent:
        return [*parts, Part(" Nothing waits, and every host reports.")]
    parts.append(Part(" "))
    if figures.waiting:
        jobs = "job is" if figures.waiting == 1 else "jobs are"
        parts.append(Part(f"{figures.waiting} {jobs} waiting", reverse("job-list"), "warn"))
        parts.append(Part(f", the oldest for {coarse(figures.oldest_seconds or 0)}"))
    if silent:
        if figures.waiting:
            parts.append(Part(", and "))
        parts.append(_silence(silent, now))
    return [*parts, Part(".")]


def _silence(silent: int, now: datetime) -> Part:
    host = Host.objects.in_service().filter(offline_after__lte=now).first()
    if silent == 1 and host is not None:
        return Part(f"{host.name} is offline", host.get_absolute_url(), "bad")
    return Part(f"{silent} hosts are offline", f"{reverse('host-list')}?state=offline", "bad")


def _legend(displays: Counter[str]) -> list[StateCount]:
    order = reversed(DisplayState)
    url = reverse("runner-list")
    return [
        StateCount(word.value, word.label, displays[word], f"{url}?state={word.value}")
        for word in order
        if displays[word]
    ]


def _racks(hosts: int, now: datetime) -> list[Rack]:
    """The map, by name; of more hosts than it shows, those in trouble come first."""
    rows = Host.objects.for_placement().with_state(now)
    if hosts > RACKS_SHOWN:
        calm = Case(When(Q(state=HostState.ONLINE), then=Value(1)), default=Value(0))
        rows = rows.order_by(calm, "name")
    return racks(list(rows[:RACKS_SHOWN]), now=now)


def _waiting(now: datetime) -> list[JobRow]:
    """The jobs that wait longest, each with its reason."""
    return waiting_rows(_queued().order_by("queued_at")[:WAITING_SHOWN], now=now)


def _running(now: datetime) -> list[RunnerRow]:
    """The runners at work longest."""
    at_work = (
        Runner.objects.perhaps_busy().with_display_state(now).filter(Q(display=DisplayState.BUSY))
    )
    longest = at_work.order_by("job_started_at", "pk").values_list("pk", flat=True)
    return runner_rows(longest[:RUNNING_SHOWN], now=now)


def _announce(found: Sequence[Concern]) -> str:
    """What a screen reader is told once when it changes."""
    return "; ".join(concern.title for concern in found) or "Nothing needs attention"

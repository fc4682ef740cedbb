"""How the targets were kept over some days: availability a pool, starts a label set, builds.

Read only. The arithmetic is `runners.targets`; outages come from `runners.watch`, late starts and
lengths from the days of the job history.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final

from django.db import transaction

from runners import audit, figures, targets
from runners.audit import Actor
from runners.errors import InvalidRequest
from runners.figures import Period
from runners.models import (
    AnnouncedWindow,
    Event,
    Job,
    JobDay,
    LabelTarget,
    Outage,
    Pool,
    PoolTarget,
)
from runners.targets import Availability, Calendar, Span, Starts
from runners.waits import WaitCause

SHOWN_BUILDS: Final = 20


@dataclass(frozen=True, slots=True)
class CountedOutage:
    """One outage and how much of it counts; `budget_percent` of the pool's budget."""

    outage: Outage
    pool: Pool
    seconds: float
    budget_percent: int


@dataclass(frozen=True, slots=True)
class PoolPromise:
    """How one pool kept its availability; None while it is not watched yet."""

    pool: Pool
    target: PoolTarget | None
    calendar: Calendar
    availability: Availability | None
    outages: list[CountedOutage]
    startup_p95: float | None

    @property
    def startup_met(self) -> bool:
        return self.startup_p95 is None or self.startup_p95 <= targets.STARTUP_SECONDS


@dataclass(frozen=True, slots=True)
class QueuePromise:
    """How one label set's jobs started; `causes` of the late ones, most frequent first."""

    label_set: str
    seconds: int
    starts: Starts
    causes: list[tuple[WaitCause, int]]
    fast: Starts
    slow: Starts
    burning: str


@dataclass(frozen=True, slots=True)
class BuildPromise:
    """How long builds of one workflow took on one architecture; seconds."""

    key: str
    count: int
    p50: float | None
    p95: float | None

    @property
    def met(self) -> bool:
        return self.p95 is None or self.p95 <= targets.BUILD_SECONDS


def bounds(period: Period) -> Span:
    """The moments a period begins and ends."""
    return (
        datetime.combine(period.first, time(), tzinfo=UTC),
        datetime.combine(period.last + timedelta(days=1), time(), tzinfo=UTC),
    )


def calendar_of(target: PoolTarget | None) -> Calendar:
    """A pool's business hours; the default ones where none were set."""
    if target is None:
        return Calendar()
    return Calendar(target.zone, frozenset(target.days), target.opens, target.closes)


def pools(period: Period, *, now: datetime) -> list[PoolPromise]:
    """Every pool's availability, up to now; five queries."""
    begin, end = bounds(period)
    end = min(end, now)
    rows = list(Pool.objects.select_related("target").order_by("name"))
    outages: dict[int, list[Outage]] = defaultdict(list)
    touching = Outage.objects.filter(began_at__lt=end).exclude(ended_at__lte=begin)
    for outage in touching.order_by("-began_at"):
        outages[outage.pool_id].append(outage)
    windows = list(AnnouncedWindow.objects.filter(begins_at__lt=end, ends_at__gt=begin))
    startups = figures.lengths(JobDay.Kind.POOL, [pool.name for pool in rows], period)
    return [
        _pool(
            pool,
            outages[pool.pk],
            [w for w in windows if w.pool_id in (None, pool.pk)],
            startups[pool.name].startup.percentile(95),
            (begin, end),
        )
        for pool in rows
    ]


def _pool(
    pool: Pool,
    outages: Sequence[Outage],
    windows: Iterable[AnnouncedWindow],
    startup: float | None,
    span: Span,
) -> PoolPromise:
    target: PoolTarget | None = getattr(pool, "target", None)
    calendar = calendar_of(target)
    if target is None:
        return PoolPromise(pool, None, calendar, None, [], startup)
    begin, end = max(span[0], target.watched_since), span[1]
    counted = calendar.spans(begin, end)
    announced = [(window.begins_at, window.ends_at) for window in windows]
    spans = {outage.pk: (outage.began_at, outage.ended_at or end) for outage in outages}
    kept = targets.availability(
        counted, spans.values(), announced, target_percent=float(target.availability_percent)
    )
    return PoolPromise(
        pool,
        target,
        calendar,
        kept,
        [
            CountedOutage(outage, pool, seconds, _share(seconds, kept.budget_seconds))
            for outage in outages
            if (seconds := targets.counted_seconds(spans[outage.pk], counted, announced))
        ],
        startup,
    )


def _share(seconds: float, budget: float) -> int:
    return round(seconds * 100 / budget) if budget else 100


def queues(period: Period, *, queue_seconds: int, now: datetime) -> list[QueuePromise]:
    """Every label set's starts, the worst kept first; five queries."""
    own = {row.label_set: row for row in LabelTarget.objects.all()}
    rows = [row for row in figures.totals(JobDay.Kind.LABELS, period) if row.started]
    causes = figures.late_causes(JobDay.Kind.LABELS, period)
    recent = _recent(own, queue_seconds, now)
    found = []
    for row in rows:
        target = own.get(row.key)
        percent = float(target.percent) if target else targets.DEFAULT_QUEUE_PERCENT
        burns = {
            length: Starts(*recent[length][row.key], percent)
            for window in (targets.FAST, targets.SLOW)
            for length in (window.long, window.short)
        }
        found.append(
            QueuePromise(
                label_set=row.key,
                seconds=target.seconds if target else queue_seconds,
                starts=Starts(row.started, row.late, percent),
                causes=[(WaitCause(name), count) for name, count in causes[row.key].most_common()],
                fast=burns[targets.FAST.long],
                slow=burns[targets.SLOW.long],
                burning=_burning(burns),
            )
        )
    return sorted(found, key=lambda each: (-each.starts.burn, each.label_set))


def _burning(burns: dict[timedelta, Starts]) -> str:
    for window in (targets.FAST, targets.SLOW):
        if targets.burning(window, long=burns[window.long], short=burns[window.short]):
            return window.name
    return ""


def _recent(
    own: dict[str, LabelTarget], queue_seconds: int, now: datetime
) -> dict[timedelta, dict[str, tuple[int, int]]]:
    """(started, late) by window length and label set; a job that waits too long already is late."""
    lengths = [w for each in (targets.FAST, targets.SLOW) for w in (each.long, each.short)]
    started = {length: Counter[str]() for length in lengths}
    late = {length: Counter[str]() for length in lengths}
    jobs = Job.objects.filter(started_at__gte=now - max(lengths)).order_by()
    waiting = Job.objects.unfinished().filter(status=Job.Status.QUEUED)
    columns = ("label_set", "queued_at", "started_at")
    for label_set, queued_at, began in (
        *jobs.values_list(*columns),
        *waiting.order_by().values_list(*columns),
    ):
        target = own.get(label_set)
        allowed = target.seconds if target else queue_seconds
        at = began or now
        is_late = (at - queued_at).total_seconds() > allowed
        if began is None and not is_late:
            continue
        for length in lengths:
            if at >= now - length:
                started[length][label_set] += 1
                late[length][label_set] += is_late
    return {
        length: defaultdict(
            lambda: (0, 0), {key: (count, late[length][key]) for key, count in counts.items()}
        )
        for length, counts in started.items()
    }


def builds(period: Period) -> list[BuildPromise]:
    """How long builds took, those with the most first; two queries and the trend's."""
    rows = sorted(figures.totals(JobDay.Kind.BUILD, period), key=lambda row: (-row.jobs, row.key))[
        :SHOWN_BUILDS
    ]
    measured = figures.lengths(JobDay.Kind.BUILD, [row.key for row in rows], period)
    return [
        BuildPromise(
            row.key,
            row.jobs,
            measured[row.key].total.percentile(50),
            measured[row.key].total.percentile(95),
        )
        for row in rows
        if row.jobs
    ]


@dataclass(frozen=True, slots=True)
class Promise:
    """What an admin sets for one pool."""

    availability_percent: float
    calendar: Calendar


@transaction.atomic
def set_target(pool: Pool, promise: Promise, *, by: Actor, now: datetime) -> Event:
    """Change what a pool promises; told by whom in the audit log."""
    calendar = promise.calendar
    row, _ = PoolTarget.objects.get_or_create(
        pool=pool, defaults={"watched_since": now, "watched_at": now}
    )
    was = words_of(float(row.availability_percent), calendar_of(row))
    PoolTarget.objects.filter(pk=row.pk).update(
        availability_percent=promise.availability_percent,
        zone=calendar.zone,
        days=sorted(calendar.days),
        opens=calendar.opens,
        closes=calendar.closes,
    )
    became = words_of(promise.availability_percent, calendar)
    return audit.record(pool, "pool.target", by=by, at=now, was=was, became=became)


DAY_NAMES: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def words_of(percent: float, calendar: Calendar) -> str:
    """A promise as a sentence's worth: 99.5% Mon to Fri 08:00 to 18:00 Europe/Berlin."""
    return f"{percent:g}% {calendar_words(calendar)}"


def calendar_words(calendar: Calendar) -> str:
    """Business hours in words."""
    days = sorted(calendar.days)
    run = len(days) > 2 and days == list(range(days[0], days[-1] + 1))
    names = (
        f"{DAY_NAMES[days[0]]} to {DAY_NAMES[days[-1]]}"
        if run
        else ", ".join(DAY_NAMES[day] for day in days)
    )
    return f"{names} {calendar.opens:%H:%M} to {calendar.closes:%H:%M} {calendar.zone}"


@transaction.atomic
def announce(
    *,
    pool: Pool | None,
    begins_at: datetime,
    ends_at: datetime,
    reason: str,
    by: Actor,
    now: datetime,
) -> AnnouncedWindow:
    """Announce maintenance that has not begun. Raises InvalidRequest."""
    if begins_at < now:
        raise InvalidRequest("Maintenance is announced before it begins: give a later begin.")
    if ends_at <= begins_at:
        raise InvalidRequest("It must end after it begins.")
    window = AnnouncedWindow.objects.create(
        pool=pool,
        begins_at=begins_at,
        ends_at=ends_at,
        reason=reason,
        announced_at=now,
        announced_by=by.name,
    )
    audit.record(
        window,
        "window.announce",
        by=by,
        at=now,
        became=f"{begins_at:%Y-%m-%d %H:%M} to {ends_at:%Y-%m-%d %H:%M} UTC",
        reason=reason,
    )
    return window


@transaction.atomic
def call_off(window: AnnouncedWindow, *, by: Actor, now: datetime) -> Event:
    """Take an announcement back while it has not begun. Raises InvalidRequest."""
    if window.begins_at <= now:
        raise InvalidRequest("It has begun: what it covers stays covered.")
    event = audit.record(window, "window.call-off", by=by, at=now, reason=window.reason)
    window.delete()
    return event


@transaction.atomic
def set_label_target(
    label_set: str, *, percent: float, seconds: int, by: Actor, now: datetime
) -> LabelTarget:
    """Give a label set a queue target of its own; it counts for jobs that end from now on."""
    row, _ = LabelTarget.objects.update_or_create(
        label_set=label_set, defaults={"percent": percent, "seconds": seconds}
    )
    audit.record(row, "label.target", by=by, at=now, became=f"{percent:g}% within {seconds} s")
    return row

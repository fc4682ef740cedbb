"""The figures of the reports, read from the days: sums by subject, and lengths as percentiles."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final

from django.db.models import QuerySet, Sum

from runners.failure import FailureClass
from runners.histograms import Histogram, Trend, trend
from runners.jobs import label_set_of
from runners.models import Job, JobDay

TREND_NOW: Final = timedelta(days=7)
TREND_BEFORE: Final = timedelta(days=28)
SUMS: Final = (
    "jobs",
    "succeeded",
    "failed",
    "cancelled",
    "failed_product",
    "failed_runner",
    "failed_environment",
    "failed_infrastructure",
    "billed_minutes",
    "run_seconds",
    "started",
    "late",
)
LENGTHS: Final = ("queue", "setup", "run", "total", "startup")


@dataclass(frozen=True, slots=True)
class Period:
    """Days from `first` to `last`, both counted, in UTC."""

    first: date
    last: date

    @classmethod
    def of_days(cls, days: int, today: date) -> Period:
        """The last so many days, today included."""
        return cls(today - timedelta(days=days - 1), today)

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1


@dataclass(slots=True)
class Totals:
    """One subject's sums over a period."""

    key: str
    jobs: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    failed_product: int = 0
    failed_runner: int = 0
    failed_environment: int = 0
    failed_infrastructure: int = 0
    billed_minutes: int = 0
    run_seconds: float = 0.0
    started: int = 0
    late: int = 0

    @property
    def failed_percent(self) -> int:
        """Failures among those that ended in success or failure."""
        ended = self.succeeded + self.failed
        return round(self.failed * 100 / ended) if ended else 0

    @property
    def classes(self) -> list[tuple[FailureClass, int]]:
        """How many failures were whose; those whose class nobody knows are in none."""
        counts = (
            (FailureClass.PRODUCT, self.failed_product),
            (FailureClass.RUNNER, self.failed_runner),
            (FailureClass.ENVIRONMENT, self.failed_environment),
            (FailureClass.INFRASTRUCTURE, self.failed_infrastructure),
        )
        return [(kind, count) for kind, count in counts if count]


@dataclass(slots=True)
class Lengths:
    """One subject's lengths over a period, and how its total goes."""

    queue: Histogram = field(default_factory=Histogram)
    setup: Histogram = field(default_factory=Histogram)
    run: Histogram = field(default_factory=Histogram)
    total: Histogram = field(default_factory=Histogram)
    startup: Histogram = field(default_factory=Histogram)
    late_causes: Counter[str] = field(default_factory=Counter)
    trend: Trend = field(default_factory=lambda: Trend(None, None, None, rose=False))


def totals(kind: str, period: Period) -> list[Totals]:
    """The sums of every subject of a kind, by key; one query."""
    rows = _days(kind, period).order_by("key").values("key")
    sums = rows.annotate(**{f"sum_{name}": Sum(name) for name in SUMS})
    return [Totals(*row) for row in sums.values_list("key", *(f"sum_{name}" for name in SUMS))]


def machine_seconds(kind: str, period: Period) -> dict[str, float]:
    """How long jobs ran, by subject; one query, which the index answers alone."""
    rows = _days(kind, period).order_by("key").values_list("key")
    return dict(rows.annotate(Sum("run_seconds")))


def whole(period: Period) -> Totals:
    """The sums of the whole fleet."""
    return next(iter(totals(JobDay.Kind.FLEET, period)), Totals(""))


def lengths(kind: str, keys: Sequence[str], period: Period) -> dict[str, Lengths]:
    """The lengths of these subjects, with the trend of the period's last week; two queries."""
    found: dict[str, Lengths] = {key: Lengths() for key in keys}
    columns = ("key", "late_causes", *LENGTHS)
    for row in _days(kind, period).filter(key__in=found).order_by().values(*columns):
        subject = found[row["key"]]
        subject.late_causes.update(row["late_causes"])
        for name in LENGTHS:
            _merge(getattr(subject, name), row[name])
    week = period.last - TREND_NOW
    before: dict[str, Histogram] = defaultdict(Histogram)
    now: dict[str, Histogram] = defaultdict(Histogram)
    compared = Period(week - TREND_BEFORE + timedelta(days=1), period.last)
    rows = _days(kind, compared).filter(key__in=found).order_by()
    for key, day, total in rows.values_list("key", "day", "total"):
        _merge((now if day > week else before)[key], total)
    for key, subject in found.items():
        subject.trend = trend(before[key], now[key])
    return found


def late_causes(kind: str, period: Period) -> dict[str, Counter[str]]:
    """Why starts were late, by subject; one query."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    rows = _days(kind, period).filter(late__gt=0).order_by()
    for key, causes in rows.values_list("key", "late_causes"):
        found[key].update(causes)
    return found


def _days(kind: str, period: Period) -> QuerySet[JobDay]:
    return JobDay.objects.filter(kind=kind, day__gte=period.first, day__lte=period.last)


def _merge(into: Histogram, stored: Mapping[str, int]) -> None:
    for bucket, count in stored.items():
        into.counts[int(bucket)] += count


def oldest_waiting() -> dict[tuple[str, str], datetime]:
    """When the oldest waiting job of each subject was queued; the whole fleet's is ("fleet", "").

    One query over what waits, which is little.
    """
    waiting = Job.objects.unfinished().filter(status=Job.Status.QUEUED)
    found: dict[tuple[str, str], datetime] = {}
    rows = waiting.order_by("queued_at")
    for labels, repository, workflow, at in rows.values_list(
        "labels", "repository", "workflow_name", "queued_at"
    ):
        for subject in _subjects(labels, repository, workflow):
            found.setdefault(subject, at)
    return found


def _subjects(labels: Iterable[object], repository: str, workflow: str) -> list[tuple[str, str]]:
    return [
        (JobDay.Kind.FLEET, ""),
        (JobDay.Kind.LABELS, label_set_of(labels)),
        (JobDay.Kind.REPOSITORY, repository),
        (JobDay.Kind.WORKFLOW, f"{repository}/{workflow}"),
    ]

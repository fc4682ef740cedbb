"""What is kept of finished jobs: each job's history, and what each day of them adds up to.

The only writer of a job's history columns and of `JobDay`. A day is always added up anew from its
jobs, never counted on, so that adding it up twice, late or after a change gives the same row. See
docs/adr/0016-job-history.md.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple

from django.db import transaction
from django.db.models import QuerySet

from runners import late_starts, loop
from runners.failure import FailureClass
from runners.histograms import Histogram
from runners.jobs import label_set_of
from runners.models import Job, JobDay, LabelTarget, Runner

BEAT: Final = "history"
BATCH: Final = 500
BATCHES_A_PASS: Final = 6
PRUNE_BATCH: Final = 1000
PRUNE_BATCHES_A_PASS: Final = 5
# Jobs of one run that end further apart than this count as two builds
BUILD_SPAN: Final = timedelta(hours=6)
FAILED: Final = frozenset({"failure", "timed_out", "startup_failure"})
ARCHITECTURES: Final = ("x64", "arm64", "riscv64", "arm", "x86")

Kind = JobDay.Kind


@dataclass(frozen=True, slots=True)
class Passed:
    """What one pass did."""

    settled: int
    days: int
    deleted: int

    def __str__(self) -> str:
        return f"{self.settled} jobs settled, {self.days} days added up, {self.deleted} deleted"


@dataclass(frozen=True, slots=True)
class Policy:
    """How long jobs and days are kept, and from which wait on a start is late; from settings."""

    keep_jobs: timedelta
    keep_days: timedelta
    queue_seconds: int


def keep(*, policy: Policy, now: datetime) -> Passed:
    """Settle what finished, add its days up, and throw away what is past its time, in batches.

    May be run again at any moment, and be cut off at any: a day is written in one transaction
    before its jobs count as settled.
    """
    settled, days = 0, set[date]()
    for _ in range(BATCHES_A_PASS):
        batch = _unsettled()
        if not batch:
            break
        _write_history(batch, queue_seconds=policy.queue_seconds, now=now)
        touched = _touched(batch)
        for day in sorted(touched):
            if _is_whole(day, policy.keep_jobs, now):
                add_up(day)
        settled += _mark(batch, now)
        days |= touched
    deleted = prune(policy=policy, now=now)
    if settled or deleted:
        loop.touch(BEAT, now)
    return Passed(settled, len(days), deleted)


def _unsettled() -> list[Job]:
    rows = Job.objects.filter(
        status=Job.Status.COMPLETED, settled_at__isnull=True, completed_at__isnull=False
    )
    return list(
        rows.select_related("runner__host", "runner__pool").order_by("completed_at")[:BATCH]
    )


def _touched(batch: Sequence[Job]) -> set[date]:
    """The days these jobs count on, and the day before where a build of theirs seemed to end."""
    ended = [(job.run_id, job.completed_at) for job in batch if job.completed_at is not None]
    days = {at.date() for _, at in ended}
    for day in sorted(days):
        begin = _bounds(day)[0]
        early = {run for run, at in ended if begin <= at < begin + BUILD_SPAN}
        before = Job.objects.filter(completed_at__gte=begin - BUILD_SPAN, completed_at__lt=begin)
        if early and before.filter(run_id__in=early).exists():
            days.add(day - timedelta(days=1))
    return days


def _mark(batch: Sequence[Job], now: datetime) -> int:
    """Call settled what is still as it was added up; what changed meanwhile is added up again."""
    was = {job.pk: _told(job) for job in batch}
    with transaction.atomic():
        rows = Job.objects.select_for_update().filter(pk__in=was).only(*_TOLD)
        same = [job.pk for job in rows if _told(job) == was[job.pk]]
        return Job.objects.filter(pk__in=same).update(settled_at=now)


_TOLD: Final = ("conclusion", "failure_class", "started_at", "completed_at", "setup_seconds")


def _told(job: Job) -> tuple[object, ...]:
    return tuple(getattr(job, name) for name in _TOLD)


def _is_whole(day: date, keep_jobs: timedelta, now: datetime) -> bool:
    """Whether no job of the day can have been thrown away: a day in part adds up to too little."""
    return _bounds(day)[0] > now - keep_jobs


def _bounds(day: date) -> tuple[datetime, datetime]:
    begin = datetime.combine(day, time(), tzinfo=UTC)
    return begin, begin + timedelta(days=1)


def _write_history(jobs: Sequence[Job], *, queue_seconds: int, now: datetime) -> None:
    own = dict(LabelTarget.objects.values_list("label_set", "seconds"))
    for job in jobs:
        job.label_set = label_set_of(job.labels)
    late = [job for job in jobs if _wait(job) > own.get(job.label_set, queue_seconds)]
    causes = late_starts.causes_of(late, now=now)
    for job in jobs:
        runner = job.runner
        job.wait_cause = causes.get(job.pk, "")
        if runner is not None:
            job.pool_name = runner.pool.name if runner.pool else ""
            job.host_name, job.site = runner.host.name, runner.host.site
            if runner.ephemeral or _was_last_on(job, runner):
                job.peak_cpu_percent = runner.job_peak_cpu_percent
                job.peak_memory_bytes = runner.job_peak_memory_bytes
        job.architecture = (runner.host.architecture if runner else "") or _asked_for(job.label_set)
    Job.objects.bulk_update(
        jobs,
        (
            "label_set",
            "wait_cause",
            "pool_name",
            "host_name",
            "site",
            "peak_cpu_percent",
            "peak_memory_bytes",
            "architecture",
        ),
        batch_size=100,
    )


def _wait(job: Job) -> float:
    return (job.started_at - job.queued_at).total_seconds() if job.started_at else 0.0


def _was_last_on(job: Job, runner: Runner) -> bool:
    """Whether a persistent runner has not begun another job since."""
    begun = runner.job_started_at
    return begun is None or job.completed_at is None or begun <= job.completed_at


def _asked_for(label_set: str) -> str:
    labels = label_set.split(",")
    return next((name for name in ARCHITECTURES if name in labels), "")


class Row(NamedTuple):
    """What a day needs of one job."""

    run: tuple[int, int, int]
    repository: str
    workflow_name: str
    conclusion: str
    failure_class: str
    label_set: str
    pool_name: str
    host_name: str
    site: str
    architecture: str
    wait_cause: str
    queued_at: datetime
    started_at: datetime | None
    completed_at: datetime
    setup_seconds: float | None


def _rows(jobs: QuerySet[Job]) -> Iterator[Row]:
    columns = ("scope_id", "run_id", "run_attempt", *Row._fields[1:])
    for scope, run, attempt, *rest in jobs.order_by().values_list(*columns).iterator(5000):
        yield Row((scope, run, attempt), *rest)


@dataclass
class Tally:
    """One subject's day while it is added up."""

    jobs: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    billed_minutes: int = 0
    run_seconds: float = 0.0
    started: int = 0
    late_causes: Counter[str] = field(default_factory=Counter)
    queue: Histogram = field(default_factory=Histogram)
    setup: Histogram = field(default_factory=Histogram)
    run: Histogram = field(default_factory=Histogram)
    total: Histogram = field(default_factory=Histogram)
    startup: Histogram = field(default_factory=Histogram)

    def count(self, row: Row) -> None:
        """Take one job in."""
        self.jobs += 1
        if row.conclusion == "success":
            self.succeeded += 1
        elif row.conclusion in FAILED or row.failure_class:
            self.failed += 1
            self.classes[row.failure_class] += 1
        else:
            self.cancelled += 1
        if row.started_at is None:
            return
        self.started += 1
        ran = max(0.0, (row.completed_at - row.started_at).total_seconds())
        self.billed_minutes += billed_minutes(ran)
        self.run_seconds += ran
        self.queue.add(max(0.0, (row.started_at - row.queued_at).total_seconds()))
        self.run.add(ran)
        self.total.add(max(0.0, (row.completed_at - row.queued_at).total_seconds()))
        if row.setup_seconds is not None:
            self.setup.add(row.setup_seconds)
        if row.wait_cause:
            self.late_causes[row.wait_cause] += 1


def billed_minutes(seconds: float) -> int:
    """A job's run as hosted runners are billed: begun minutes, at least one."""
    return max(1, math.ceil(seconds / 60))


def add_up(day: date) -> int:
    """Write the rows of one day anew from its jobs and runners; returns how many there are."""
    begin, end = _bounds(day)
    completed = Job.objects.filter(status=Job.Status.COMPLETED)
    tallies: dict[tuple[str, str], Tally] = defaultdict(Tally)
    builds: dict[tuple[str, str, tuple[int, int, int]], list[tuple[datetime, datetime]]] = {}
    around = completed.filter(
        completed_at__gte=begin - BUILD_SPAN, completed_at__lt=end + BUILD_SPAN
    )
    for row in _rows(around):
        if row.started_at is not None:
            key = (f"{row.repository}/{row.workflow_name}", row.architecture, row.run)
            builds.setdefault(key, []).append((row.queued_at, row.completed_at))
        if not begin <= row.completed_at < end:
            continue
        for subject in _subjects(row):
            tallies[subject].count(row)
    for (workflow, architecture, _), spans in builds.items():
        first, last = min(span[0] for span in spans), max(span[1] for span in spans)
        if begin <= last < end:
            build = tallies[(Kind.BUILD, f"{workflow} · {architecture or 'unknown'}")]
            build.jobs += 1
            build.total.add(max(0.0, (last - first).total_seconds()))
    _count_startups(tallies, begin, end)
    _write_day(day, tallies)
    return len(tallies)


def _subjects(row: Row) -> Iterator[tuple[str, str]]:
    yield Kind.FLEET, ""
    yield Kind.REPOSITORY, row.repository
    yield Kind.WORKFLOW, f"{row.repository}/{row.workflow_name}"
    yield Kind.SHARE, f"{row.architecture}|{row.pool_name}|{row.repository}"
    for kind, key in (
        (Kind.LABELS, row.label_set),
        (Kind.POOL, row.pool_name),
        (Kind.HOST, row.host_name),
        (Kind.SITE, row.site),
    ):
        if key:
            yield kind, key


def _count_startups(tallies: dict[tuple[str, str], Tally], begin: datetime, end: datetime) -> None:
    """How long runners took from being decided on to online at GitHub, on the day they came
    online."""
    rows = Runner.objects.filter(online_at__gte=begin, online_at__lt=end).order_by()
    columns = ("created_at", "online_at", "pool__name", "host__name", "host__site")
    for created, online, pool, host, site in rows.values_list(*columns).iterator(5000):
        if online is None:
            continue
        took = max(0.0, (online - created).total_seconds())
        for kind, key in ((Kind.POOL, pool), (Kind.HOST, host), (Kind.SITE, site)):
            if key:
                tallies[(kind, key)].startup.add(took)
        tallies[(Kind.FLEET, "")].startup.add(took)


_COLUMNS: Final = tuple(
    each.name
    for each in JobDay._meta.concrete_fields
    if each.name not in ("id", "kind", "key", "day")
)


def _write_day(day: date, tallies: Mapping[tuple[str, str], Tally]) -> None:
    rows = [_row(day, kind, key, tally) for (kind, key), tally in tallies.items()]
    with transaction.atomic():
        there = JobDay.objects.filter(day=day).values_list("pk", "kind", "key")
        gone = [pk for pk, kind, key in there if (kind, key) not in tallies]
        JobDay.objects.filter(pk__in=gone).delete()
        JobDay.objects.bulk_create(
            rows,
            batch_size=200,
            update_conflicts=True,
            unique_fields=["kind", "key", "day"],
            update_fields=_COLUMNS,
        )


def _row(day: date, kind: str, key: str, tally: Tally) -> JobDay:
    return JobDay(
        kind=kind,
        key=key[:520],
        day=day,
        jobs=tally.jobs,
        succeeded=tally.succeeded,
        failed=tally.failed,
        cancelled=tally.cancelled,
        failed_product=tally.classes[FailureClass.PRODUCT],
        failed_runner=tally.classes[FailureClass.RUNNER],
        failed_environment=tally.classes[FailureClass.ENVIRONMENT],
        failed_infrastructure=tally.classes[FailureClass.INFRASTRUCTURE],
        billed_minutes=tally.billed_minutes,
        run_seconds=tally.run_seconds,
        started=tally.started,
        late=tally.late_causes.total(),
        late_causes=dict(tally.late_causes),
        queue=tally.queue.stored(),
        setup=tally.setup.stored(),
        run=tally.run.stored(),
        total=tally.total.stored(),
        startup=tally.startup.stored(),
    )


def prune(*, policy: Policy, now: datetime) -> int:
    """Delete settled jobs and days past their time, a small transaction a batch; how many jobs.

    The pass leaves the rest for the next, so that nobody ever waits for a long one.
    """
    old = Job.objects.filter(
        status=Job.Status.COMPLETED,
        settled_at__isnull=False,
        completed_at__lt=now - policy.keep_jobs,
    )
    deleted = 0
    for _ in range(PRUNE_BATCHES_A_PASS):
        batch = list(old.order_by("completed_at").values_list("pk", flat=True)[:PRUNE_BATCH])
        if not batch:
            break
        Job.objects.filter(pk__in=batch).delete()
        deleted += len(batch)
    old_days = JobDay.objects.filter(day__lt=(now - policy.keep_days).date()).order_by()
    JobDay.objects.filter(pk__in=list(old_days.values_list("pk", flat=True)[:PRUNE_BATCH])).delete()
    return deleted

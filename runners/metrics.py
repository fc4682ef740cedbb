"""What a Prometheus server is told: every family with its name, type, unit and words, as data.

Read from the tables at each scrape, a fixed number of queries whatever the fleet's size. Labels
are only pools, states, sites and the like, of which there are few: no runner, host, job or
repository has series of its own, and past `SUBJECTS` pools or credentials the rest is left out and
counted. docs/guide/metrics.md lists every family; a test keeps the two equal.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import Count, F, Min, Sum
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from runners.histograms import Histogram
from runners.models import (
    Beat,
    Credential,
    Drift,
    Host,
    Job,
    JobDay,
    Outage,
    Pool,
    Runner,
    Scope,
)
from runners.states import DisplayState, HostState

SUBJECTS: Final = 200
BOUNDS_SECONDS: Final = (5, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600)


@dataclass(frozen=True, slots=True)
class Family:
    """One metric family: its name without the suffix of its type, and what it says."""

    name: str
    kind: str
    words: str
    labels: tuple[str, ...] = ()

    def gauge(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(self.name, self.words, labels=self.labels)

    def counter(self) -> CounterMetricFamily:
        return CounterMetricFamily(self.name, self.words, labels=self.labels)

    def histogram(self) -> HistogramMetricFamily:
        return HistogramMetricFamily(self.name, self.words, labels=self.labels)


BUILD: Final = Family("fleetui_build_info", "gauge", "The running version.", ("version",))
RUNNERS: Final = Family(
    "fleetui_runners", "gauge", "Runners by pool and the state a person sees.", ("pool", "state")
)
HOSTS: Final = Family("fleetui_hosts", "gauge", "Hosts in service by state.", ("state",))
SLOTS: Final = Family(
    "fleetui_slots", "gauge", "Slots of the hosts in service, held or free.", ("use",)
)
OPEN_JOBS: Final = Family(
    "fleetui_jobs_open", "gauge", "Jobs not completed, by status.", ("status",)
)
OLDEST: Final = Family(
    "fleetui_queue_oldest_seconds", "gauge", "How long the oldest queued job waits; 0 without any."
)
AVAILABLE: Final = Family(
    "fleetui_pool_available", "gauge", "1 while a matching job would start in time.", ("pool",)
)
PAUSED: Final = Family("fleetui_pool_paused", "gauge", "1 while a pool is paused.", ("pool",))
MAXIMUM: Final = Family(
    "fleetui_pool_max_runners", "gauge", "How many runners a pool may have.", ("pool",)
)
JOBS: Final = Family("fleetui_jobs", "counter", "Completed jobs by result.", ("result",))
POOL_JOBS: Final = Family(
    "fleetui_pool_jobs",
    "counter",
    "Completed jobs that ran in a pool, by result.",
    ("pool", "result"),
)
FAILURES: Final = Family(
    "fleetui_job_failures", "counter", "Failed jobs by whose the failure was.", ("class",)
)
LATE: Final = Family("fleetui_jobs_late", "counter", "Jobs that started later than their target.")
BILLED: Final = Family(
    "fleetui_job_billed_seconds", "counter", "Runs of jobs, each rounded up to a whole minute."
)
QUEUE: Final = Family("fleetui_job_queue_seconds", "histogram", "From queued to started, by job.")
RUN: Final = Family("fleetui_job_run_seconds", "histogram", "From started to completed, by job.")
STARTUP: Final = Family(
    "fleetui_runner_startup_seconds", "histogram", "From the decision to online, by runner."
)
BUDGET: Final = Family(
    "fleetui_github_budget_remaining",
    "gauge",
    "GitHub API calls left of this hour, as last told.",
    ("credential",),
)
BUDGET_LIMIT: Final = Family(
    "fleetui_github_budget_limit", "gauge", "GitHub API calls an hour.", ("credential",)
)
UNKNOWN: Final = Family(
    "fleetui_scopes_unknown", "gauge", "Scopes for which GitHub does not answer."
)
DRIFT: Final = Family("fleetui_drift", "gauge", "Differences by kind.", ("kind",))
SEEN: Final = Family(
    "fleetui_process_seen_timestamp_seconds",
    "gauge",
    "When a process was last known to work.",
    ("process",),
)
LEFT_OUT: Final = Family(
    "fleetui_metrics_left_out", "gauge", "Pools and credentials past the bound, without series."
)

FAMILIES: Final = (
    BUILD,
    RUNNERS,
    HOSTS,
    SLOTS,
    OPEN_JOBS,
    OLDEST,
    AVAILABLE,
    PAUSED,
    MAXIMUM,
    JOBS,
    POOL_JOBS,
    FAILURES,
    LATE,
    BILLED,
    QUEUE,
    RUN,
    STARTUP,
    BUDGET,
    BUDGET_LIMIT,
    UNKNOWN,
    DRIFT,
    SEEN,
    LEFT_OUT,
)
PROCESSES: Final = ("loop", "worker")
_RESULTS: Final = ("succeeded", "failed", "cancelled")
_CLASSES: Final = ("product", "runner", "environment", "infrastructure")


@dataclass(frozen=True, slots=True)
class Collector:
    """A collector for one scrape; the clock and the version are its caller's."""

    now: datetime
    version: str

    def collect(self) -> Iterator[Metric]:
        """Yield every family, in the order of `FAMILIES`."""
        build = BUILD.gauge()
        build.add_metric([self.version], 1)
        yield build
        pools = list(Pool.objects.order_by("pk"))
        shown = pools[:SUBJECTS]
        credentials = list(Credential.objects.filter(budget_limit__isnull=False).order_by("pk"))
        yield self._runners(shown)
        yield from self._hosts()
        yield from self._open_jobs()
        yield from _pools(shown)
        yield from _days(shown)
        yield from _budgets(credentials[:SUBJECTS])
        yield from _disorder()
        left = GaugeMetricFamily(LEFT_OUT.name, LEFT_OUT.words)
        left.add_metric([], max(0, len(pools) - SUBJECTS) + max(0, len(credentials) - SUBJECTS))
        yield left

    def _runners(self, pools: Sequence[Pool]) -> Metric:
        counts: Counter[tuple[int | None, str]] = Counter()
        for pool_id, _, display, number in Runner.objects.counted(self.now):
            counts[(pool_id, display)] += number
        family = RUNNERS.gauge()
        names: list[tuple[int | None, str]] = [(pool.pk, pool.name) for pool in pools]
        for pk, name in [*names, (None, "")]:
            for state in DisplayState:
                family.add_metric([name, state.value], counts[(pk, state.value)])
        return family

    def _hosts(self) -> Iterator[Metric]:
        rows = Host.objects.in_service().with_state(self.now).order_by().values_list(F("state"))
        family, counts, slots = HOSTS.gauge(), Counter[str](), 0
        for state, number, offered in rows.annotate(Count("pk"), Sum("slots")):
            counts[state] += number
            slots += offered
        for each in HostState:
            if each != HostState.RETIRED:
                family.add_metric([each.value], counts[each.value])
        yield family
        held = Runner.objects.filter(slot__isnull=False).count()
        use = SLOTS.gauge()
        use.add_metric(["held"], held)
        use.add_metric(["free"], max(0, slots - held))
        yield use

    def _open_jobs(self) -> Iterator[Metric]:
        rows = Job.objects.unfinished().order_by().values_list("status")
        found = {
            status: (number, oldest)
            for status, number, oldest in rows.annotate(Count("pk"), Min("queued_at"))
        }
        family = OPEN_JOBS.gauge()
        for status in Job.Status.values:
            if status != Job.Status.COMPLETED:
                family.add_metric([status], found.get(status, (0, None))[0])
        yield family
        oldest = found.get(Job.Status.QUEUED.value, (0, None))[1]
        waits = OLDEST.gauge()
        waits.add_metric([], (self.now - oldest).total_seconds() if oldest else 0)
        yield waits


def _pools(pools: Sequence[Pool]) -> Iterator[Metric]:
    down = set(Outage.objects.filter(ended_at__isnull=True).values_list("pool_id", flat=True))
    available, paused, maximum = AVAILABLE.gauge(), PAUSED.gauge(), MAXIMUM.gauge()
    for pool in pools:
        available.add_metric([pool.name], pool.pk not in down)
        paused.add_metric([pool.name], pool.paused_at is not None)
        maximum.add_metric([pool.name], pool.max_runners)
    yield from (available, paused, maximum)


def _days(pools: Sequence[Pool]) -> Iterator[Metric]:
    """Everything counted since the first day that is kept; two queries."""
    sums = ("succeeded", "failed", "cancelled")
    by_pool: dict[str, tuple[int, ...]] = {
        row[0]: row[1:]
        for row in JobDay.objects.filter(kind=JobDay.Kind.POOL)
        .order_by()
        .values_list("key")
        .annotate(*map(Sum, sums))
    }
    total: Counter[str] = Counter()
    lengths: dict[str, Histogram] = defaultdict(Histogram)
    columns = (
        *sums,
        *(f"failed_{name}" for name in _CLASSES),
        "late",
        "billed_minutes",
        "run_seconds",
        "queue",
        "run",
        "startup",
    )
    for row in JobDay.objects.filter(kind=JobDay.Kind.FLEET).order_by().values(*columns):
        for name in columns[:-3]:
            total[name] += row[name]
        for name in columns[-3:]:
            for bucket, count in row[name].items():
                lengths[name].counts[int(bucket)] += count
    yield _counted(JOBS, {(name,): total[name] for name in _RESULTS})
    yield _counted(
        POOL_JOBS,
        {
            (pool.name, name): by_pool.get(pool.name, (0, 0, 0))[number]
            for pool in pools
            for number, name in enumerate(_RESULTS)
        },
    )
    yield _counted(FAILURES, {(name,): total[f"failed_{name}"] for name in _CLASSES})
    yield _counted(LATE, {(): total["late"]})
    yield _counted(BILLED, {(): total["billed_minutes"] * 60})
    for family, name in ((QUEUE, "queue"), (RUN, "run"), (STARTUP, "startup")):
        # Only the sum of runs is kept to the second; that of the others is not told
        yield _histogram(family, lengths[name], total["run_seconds"] if name == "run" else None)


def _counted(family: Family, values: Mapping[tuple[str, ...], float]) -> Metric:
    metric = family.counter()
    for labels, value in values.items():
        metric.add_metric(labels, value)
    return metric


def _histogram(family: Family, lengths: Histogram, seconds: float | None) -> Metric:
    buckets = [(str(float(bound)), count) for bound, count in lengths.cumulative(BOUNDS_SECONDS)]
    metric = family.histogram()
    metric.add_metric([], [*buckets, ("+Inf", lengths.count)], sum_value=seconds)
    return metric


def _budgets(credentials: Iterable[Credential]) -> Iterator[Metric]:
    remaining, limit = BUDGET.gauge(), BUDGET_LIMIT.gauge()
    for credential in credentials:
        if credential.budget_remaining is not None:
            remaining.add_metric([credential.name], credential.budget_remaining)
        limit.add_metric([credential.name], credential.budget_limit or 0)
    yield from (remaining, limit)


def _disorder() -> Iterator[Metric]:
    unknown = UNKNOWN.gauge()
    unknown.add_metric([], Scope.objects.filter(github_unknown_since__isnull=False).count())
    yield unknown
    drift = DRIFT.gauge()
    kinds = Drift.objects.order_by("kind").values_list("kind").annotate(Count("pk"))
    for kind, number in kinds:
        drift.add_metric([kind], number)
    yield drift
    seen = SEEN.gauge()
    for name, at in Beat.objects.filter(name__in=PROCESSES).values_list("name", "at"):
        seen.add_metric([name], at.timestamp())
    yield seen

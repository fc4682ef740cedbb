"""The history of jobs: where the time went and what failed, by subject, over the last days."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from runners import figures
from runners.figures import Lengths, Period, Totals
from runners.histograms import Histogram
from runners.models import JobDay
from runners.views import versions
from runners.views.csv_export import csv_response
from runners.views.guard import role_required
from runners.views.links import Column, changed, sort_column
from runners.views.shared import Context, FleetRequest, page, polled

PAGE_SIZE: Final = 25
PERIODS: Final = (1, 7, 30, 90)
DEFAULT_DAYS: Final = 30
_TABLE: Final = "reports/_history.html"
_PERCENTILES: Final = (50, 95, 99)
# The whole fleet is the line above; shares are for costs
KINDS: Final = [kind for kind in JobDay.Kind if kind not in (JobDay.Kind.FLEET, JobDay.Kind.SHARE)]
SORTS: Final[dict[str, tuple[str, Callable[[Totals], float]]]] = {
    "time": ("Machine time", lambda row: row.run_seconds),
    "jobs": ("Jobs", lambda row: row.jobs),
    "failed": ("Failed", lambda row: row.failed),
    "late": ("Started late", lambda row: row.late),
}


@dataclass(frozen=True, slots=True)
class Percentiles:
    """p50, p95 and p99 in seconds; None where nothing was measured."""

    p50: float | None
    p95: float | None
    p99: float | None

    @classmethod
    def of(cls, histogram: Histogram) -> Percentiles:
        return cls(*(histogram.percentile(percent) for percent in _PERCENTILES))


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One subject; lengths in seconds, `share` its percent of all machine time."""

    totals: Totals
    url: str
    queue: Percentiles
    setup: Percentiles
    run: Percentiles
    total: Percentiles
    lengths: Lengths
    share: int
    oldest_at: datetime | None


def _version(request: HttpRequest) -> str:
    return versions.history_version(request)


@polled(_version)
@role_required("viewer")
@require_GET
def report_history(request: FleetRequest) -> HttpResponseBase:
    if request.GET.get("format") == "csv":
        return _csv(request)
    return page(request, "reports/history.html", _TABLE, _context(request))


def _asked(request: FleetRequest) -> tuple[JobDay.Kind, Period]:
    wanted = request.GET.get("by", "")
    kind = JobDay.Kind(wanted) if wanted in KINDS else JobDay.Kind.LABELS
    days = request.GET.get("days", "")
    length = int(days) if days in map(str, PERIODS) else DEFAULT_DAYS
    return kind, Period.of_days(length, timezone.now().date())


def _sorted(request: FleetRequest, kind: str, period: Period) -> tuple[str, list[Totals]]:
    sort = request.GET.get("sort", "").removeprefix("-")
    sort = sort if sort in SORTS else "time"
    rows = figures.totals(kind, period)
    return sort, sorted(rows, key=lambda row: (-SORTS[sort][1](row), row.key))


def _context(request: FleetRequest) -> Context:
    kind, period = _asked(request)
    sort, found = _sorted(request, kind, period)
    shown = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    oldest = figures.oldest_waiting()
    whole = figures.whole(period)
    url = reverse("report-history")
    fleet = figures.lengths(JobDay.Kind.FLEET, [""], period)[""]
    return {
        "now": timezone.now(),
        "version": versions.history_version(request),
        "kind": kind,
        "kinds": [(each, changed(url, request.GET, by=each), each == kind) for each in KINDS],
        "periods": [
            (days, changed(url, request.GET, days=str(days)), days == period.days)
            for days in PERIODS
        ],
        "period": period,
        "fleet": _row(whole, fleet, whole, kind, oldest.get((JobDay.Kind.FLEET, ""))),
        "rows": _rows(list(shown.object_list), kind, period, whole, oldest),
        "page": shown,
        "columns": _columns(url, request, sort),
        "list_url": changed(url, request.GET, page=request.GET.get("page", "")),
        "csv_url": changed(url, request.GET, format="csv"),
    }


def _rows(
    found: list[Totals],
    kind: str,
    period: Period,
    whole: Totals,
    oldest: dict[tuple[str, str], datetime],
) -> list[HistoryRow]:
    measured = figures.lengths(kind, [row.key for row in found], period)
    return [_row(row, measured[row.key], whole, kind, oldest.get((kind, row.key))) for row in found]


def _row(
    row: Totals, lengths: Lengths, whole: Totals, kind: str, oldest: datetime | None
) -> HistoryRow:
    return HistoryRow(
        totals=row,
        url=_url(kind, row.key),
        queue=Percentiles.of(lengths.queue),
        setup=Percentiles.of(lengths.setup),
        run=Percentiles.of(lengths.run),
        total=Percentiles.of(lengths.total),
        lengths=lengths,
        share=round(row.run_seconds * 100 / whole.run_seconds) if whole.run_seconds else 0,
        oldest_at=oldest,
    )


def _url(kind: str, key: str) -> str:
    names = {JobDay.Kind.POOL: "pool-detail", JobDay.Kind.HOST: "host-detail"}
    name = names.get(JobDay.Kind(kind))
    return reverse(name, args=[key]) if name and key else ""


def _columns(url: str, request: FleetRequest, sort: str) -> list[Column]:
    heads = [
        sort_column(url, request.GET, f"-{key}", words, chosen=f"-{sort}", css_class="num")
        for key, (words, _) in SORTS.items()
    ]
    return heads


_CSV_HEAD: Final = (
    "subject",
    *figures.SUMS,
    *(f"{name}_p{percent}_seconds" for name in figures.LENGTHS for percent in _PERCENTILES),
)


def _csv(request: FleetRequest) -> HttpResponseBase:
    kind, period = _asked(request)
    _, found = _sorted(request, kind, period)
    name = f"jobs-by-{kind}-{period.first}-{period.last}.csv"
    return csv_response(name, _CSV_HEAD, _csv_rows(found, kind, period))


def _csv_rows(found: list[Totals], kind: str, period: Period) -> Iterator[list[str]]:
    for start in range(0, len(found), 200):
        part = found[start : start + 200]
        measured = figures.lengths(kind, [row.key for row in part], period)
        for row in part:
            lengths = (getattr(measured[row.key], name) for name in figures.LENGTHS)
            values = [each.percentile(percent) for each in lengths for percent in _PERCENTILES]
            yield [
                row.key,
                *(f"{getattr(row, name):g}" for name in figures.SUMS),
                *("" if value is None else f"{value:.1f}" for value in values),
            ]

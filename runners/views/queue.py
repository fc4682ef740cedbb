"""The queue by label set: how many wait, since when, why, and what is on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.core.paginator import Paginator
from django.http import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from runners import queue_picture, waiting
from runners.queue_picture import Group
from runners.scaling import Code
from runners.views import versions
from runners.views.csv_export import csv_response
from runners.views.guard import role_required
from runners.views.job_rows import wait_tone
from runners.views.links import changed, list_query
from runners.views.shared import Context, FleetRequest, page, polled
from runners.waiting import Reason

PAGE_SIZE: Final = 25
REASONS_SHOWN: Final = 3
REPOSITORIES_NAMED: Final = 3
_LIST: Final = "jobs/_queue.html"
_COMING: Final = (Code.READY, Code.STARTING, Code.PLANNED, Code.RUNNING)
# Worst first: what is said of a set of jobs that do not all fare alike
_ORDER: Final = ("failed", "queued", "late", "cordoned", "starting", "running", "info")


@dataclass(frozen=True, slots=True)
class Chip:
    """One choice of the filter: `key` "" for all of them."""

    key: str
    word: str
    state: str
    count: int
    url: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Said:
    """One reason and how many jobs of the set share it."""

    jobs: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class QueueRow:
    """The jobs that ask for one set of labels; `waited_seconds` of the oldest.

    `said` the worst first, `more` reasons are left out; `cancelled_at` as in `JobRow`.
    """

    key: str
    labels: tuple[str, ...]
    kind: str
    jobs: int
    waited_seconds: float
    tone: str
    where: str
    on_the_way: str
    said: list[Said]
    more: int
    cancelled_at: datetime | None


# Kind of row → its word and the glyph of its chip
KINDS: Final = {
    "unroutable": ("Can't run", "failed"),
    "waits": ("Waits", "queued"),
    "coming": ("Runner on the way", "starting"),
    "not-ours": ("Not ours", "info"),
}


@polled(versions.fleet_version)
@role_required("viewer")
@require_GET
def job_queue(request: FleetRequest) -> HttpResponseBase:
    now = timezone.now()
    if request.GET.get("format") == "csv":
        return _csv(_wanted(request, _rows(queue_picture.read().groups, now)))
    return page(request, "jobs/queue.html", _LIST, _context(request, now))


def _context(request: FleetRequest, now: datetime) -> Context:
    picture = queue_picture.read()
    query = list_query(request, "job-queue")
    every = _rows(picture.groups, now)
    wanted = _wanted(request, every)
    shown = Paginator(wanted, PAGE_SIZE).get_page(query.get("page"))
    path, kind = reverse("job-queue"), query.get("state", "")
    counts = Counter({row.kind: 0 for row in every})
    for row in every:
        counts[row.kind] += row.jobs
    chips = [Chip("", "All", "", counts.total(), changed(path, query, state=""), kind not in KINDS)]
    chips += [
        Chip(key, word, state, counts[key], changed(path, query, state=key), key == kind)
        for key, (word, state) in KINDS.items()
    ]
    return {
        "now": now,
        "version": versions.fleet_version(request),
        "at": picture.at,
        "old": waiting.picture_is_old(picture.at) if picture.is_old(now) else None,
        "chips": chips,
        "kind": kind if kind in KINDS else "",
        "search": query.get("q", "").strip(),
        "page": shown,
        "rows": shown.object_list,
        "narrowed": len(wanted) != len(every),
        "filters": query,
        "list_url": changed(path, query, page=query.get("page", "")),
        "csv_url": changed(path, query, format="csv"),
        "announce": _announce(every),
    }


def _wanted(request: FleetRequest, rows: Sequence[QueueRow]) -> list[QueueRow]:
    """The rows that fit the filters of the address; unknown ones are ignored."""
    query = list_query(request, "job-queue")
    kind, words = query.get("state", ""), query.get("q", "").strip().lower()
    return [
        row
        for row in rows
        if (kind not in KINDS or row.kind == kind)
        and (not words or words in f"{' '.join(row.labels)} {row.where}".lower())
    ]


def _rows(groups: Iterable[Group], now: datetime) -> list[QueueRow]:
    """One row a label set, the oldest waiting first; those that are not ours last."""
    sets: dict[tuple[str, ...], list[Group]] = {}
    for group in groups:
        sets.setdefault(group.labels, []).append(group)
    rows = [_row(labels, there, now) for labels, there in sets.items()]
    return sorted(rows, key=lambda row: (row.kind == "not-ours", -row.waited_seconds, row.labels))


def _row(labels: tuple[str, ...], groups: Sequence[Group], now: datetime) -> QueueRow:
    oldest_at = min(group.oldest_at for group in groups)
    waited = max(0.0, (now - oldest_at).total_seconds())
    said = _said(groups)
    kind = _kind(groups)
    cancelled_at = waiting.cancelled_at(oldest_at)
    near = cancelled_at - now <= waiting.CANCEL_IS_NEAR
    return QueueRow(
        key="-".join(labels) or "none",
        labels=labels,
        kind=kind,
        jobs=sum(group.jobs for group in groups),
        waited_seconds=waited,
        tone=wait_tone(waited) if kind != "not-ours" else "muted",
        where=_where(groups),
        on_the_way=_on_the_way(groups),
        said=said[:REASONS_SHOWN],
        more=max(0, len(said) - REASONS_SHOWN),
        cancelled_at=cancelled_at if kind == "unroutable" or near else None,
    )


def _said(groups: Sequence[Group]) -> list[Said]:
    sums: Counter[Reason] = Counter()
    for group in groups:
        for share in group.shares:
            sums[share.reason] += share.jobs
    return [
        Said(jobs, reason)
        for reason, jobs in sorted(
            sums.items(), key=lambda each: (_ORDER.index(each[0].state), -each[1], each[0].cause)
        )
    ]


def _kind(groups: Sequence[Group]) -> str:
    """What the set is listed under: the worst that befalls any of its jobs."""
    if any(group.unroutable for group in groups):
        return "unroutable"
    if not any(group.ours for group in groups):
        return "not-ours"
    coming = sum(group.count(*_COMING) for group in groups)
    return "coming" if coming == sum(group.jobs for group in groups) else "waits"


def _where(groups: Sequence[Group]) -> str:
    """The repositories that ask, those with the most jobs first."""
    counts: Counter[str] = Counter()
    for group in groups:
        counts[group.repository] += group.jobs
    named = [
        f"{repository} ({number})" if number > 1 else repository
        for repository, number in counts.most_common(REPOSITORIES_NAMED)
    ]
    more = len(counts) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _on_the_way(groups: Sequence[Group]) -> str:
    words = (
        (Code.RUNNING, "at work"),
        (Code.READY, "idle"),
        (Code.STARTING, "starting"),
        (Code.PLANNED, "asked for"),
    )
    found = [(sum(group.count(code) for group in groups), word) for code, word in words]
    return ", ".join(f"{number} {word}" for number, word in found if number)


def _announce(rows: Sequence[QueueRow]) -> str:
    stuck = sum(row.jobs for row in rows if row.kind == "unroutable")
    jobs = "1 job" if stuck == 1 else f"{stuck} jobs"
    return f"{jobs} can't run on any pool" if stuck else "Every waiting job has a pool"


def _csv(rows: Sequence[QueueRow]) -> HttpResponseBase:
    head = [
        "labels",
        "jobs",
        "oldest waits seconds",
        "state",
        "cause",
        "fix",
        "on the way",
        "where",
    ]
    lines = [
        [
            ", ".join(row.labels),
            str(row.jobs),
            f"{row.waited_seconds:.0f}",
            row.kind,
            row.said[0].reason.cause,
            row.said[0].reason.fix,
            row.on_the_way,
            row.where,
        ]
        for row in rows
    ]
    return csv_response("queue.csv", head, lines)

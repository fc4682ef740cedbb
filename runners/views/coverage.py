"""Label coverage: what jobs ask for beside what can serve it, the weak points first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from runners import coverage, queue_picture
from runners.coverage import DAYS, Cover, Covered, Server
from runners.views import versions
from runners.views.guard import role_required
from runners.views.links import changed
from runners.views.queue import Chip
from runners.views.shared import Context, FleetRequest, page, polled

PAGE_SIZE: Final = 50
HOSTS_NAMED: Final = 4
_LIST: Final = "jobs/_coverage.html"
# Cover → its glyph, its word, and what helps
WORDS: Final = {
    Cover.NONE: (
        "failed",
        "Nothing serves it",
        "Make a pool with these labels, or change runs-on.",
    ),
    Cover.NO_HOST: ("failed", "No host can carry it", "Add a host that fits the pool."),
    Cover.ALL_CLOSED: (
        "critical",
        "Every host is out",
        "Uncordon or bring back one of them, or add a host.",
    ),
    Cover.HELD: ("warning", "Its pool starts nothing now", "Resume or release the pool."),
    Cover.ONE_HOST: (
        "warning",
        "Single point of failure",
        "Add a second host that fits: without this one nothing serves it.",
    ),
    Cover.ONE_OPEN: (
        "warning",
        "One host left",
        "Bring another back: without this one nothing serves it now.",
    ),
    Cover.GOOD: ("ok", "Served", ""),
    Cover.NOT_OURS: ("info", "Not ours", "GitHub's own runners serve it."),
}


@dataclass(frozen=True, slots=True)
class PoolLink:
    """A pool that serves, and on how many hosts; `url` "" for runners without a pool."""

    name: str
    url: str
    hosts: int
    held: str


@dataclass(frozen=True, slots=True)
class CoverageRow:
    """One set of labels on the page."""

    labels: tuple[str, ...]
    jobs: int
    waiting: int
    last_day: date | None
    state: str
    word: str
    fix: str
    pools: list[PoolLink]
    hosts: str


@polled(versions.fleet_version)
@role_required("viewer")
@require_GET
def label_coverage(request: FleetRequest) -> HttpResponse:
    return page(request, "jobs/coverage.html", _LIST, _context(request))


def _context(request: FleetRequest) -> Context:
    now = timezone.now()
    found = coverage.coverage(queue_picture.read().groups, now=now)
    kind, words = request.GET.get("cover", ""), request.GET.get("q", "").strip().lower()
    wanted = [
        row
        for row in found.rows
        if (kind not in set(Cover) or row.cover == kind)
        and (not words or words in " ".join(row.asked.labels))
    ]
    shown = Paginator(wanted, PAGE_SIZE).get_page(request.GET.get("page"))
    path = reverse("label-coverage")
    counts = Counter(row.cover for row in found.rows)
    every = Chip("", "All", "", len(found.rows), changed(path, request.GET, cover=""), not kind)
    chips = [
        Chip(
            cover.value,
            WORDS[cover][1],
            WORDS[cover][0],
            counts[cover],
            changed(path, request.GET, cover=cover.value),
            cover == kind,
        )
        for cover in Cover
        if counts[cover]
    ]
    return {
        "now": now,
        "version": versions.fleet_version(request),
        "days": DAYS,
        "chips": [every, *chips],
        "search": request.GET.get("q", "").strip(),
        "kind": kind,
        "page": shown,
        "rows": [_row(row) for row in shown.object_list],
        "narrowed": len(wanted) != len(found.rows),
        "unused": found.unused,
        "list_url": changed(path, request.GET, page=request.GET.get("page", "")),
    }


def _row(row: Covered) -> CoverageRow:
    state, word, fix = WORDS[row.cover]
    return CoverageRow(
        labels=row.asked.labels,
        jobs=row.asked.jobs,
        waiting=row.asked.waiting,
        last_day=row.asked.last_day,
        state=state,
        word=word,
        fix=fix,
        pools=_pools(row.servers),
        hosts=_hosts(row),
    )


def _pools(servers: Sequence[Server]) -> list[PoolLink]:
    pools = [
        PoolLink(
            server.pool,
            reverse("pool-detail", args=[server.pool]),
            len(server.open_hosts),
            server.held,
        )
        for server in servers
        if server.pool
    ]
    alone = frozenset[str]().union(*(server.open_hosts for server in servers if not server.pool))
    if any(not server.pool for server in servers):
        pools.append(PoolLink("runners without a pool", "", len(alone), ""))
    return pools


def _hosts(row: Covered) -> str:
    """The hosts by name, those that are closed said to be."""
    closed = [name for name in row.hosts if name not in row.open_hosts]
    parts = []
    for names, words in ((row.open_hosts, ""), (closed, " closed")):
        if names:
            more = f" and {len(names) - HOSTS_NAMED} more" if len(names) > HOSTS_NAMED else ""
            parts.append(f"{', '.join(names[:HOSTS_NAMED])}{more}{words}")
    return "; ".join(parts)

"""The scaler's decision log: what each look found, what it started and let go, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from django.conf import settings
from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from runners.models import Decision, Pool
from runners.views import versions
from runners.views.guard import role_required
from runners.views.links import changed
from runners.views.shared import Context, FleetRequest, page, polled

PAGE_SIZE: Final = 25
# Records read for one page of one pool's decisions; those it took no part in are passed over
RECORDS_READ: Final = 500
WAITING_SHOWN: Final = 10
_LIST: Final = "pools/_decisions.html"


@dataclass(frozen=True, slots=True)
class PoolLine:
    """One pool in one look: what was done for it, and the sentence to check it by."""

    name: str
    url: str
    state: str
    act: str
    why: str
    runners: str


@dataclass(frozen=True, slots=True)
class WaitingLine:
    """One group of waiting jobs as the look saw it."""

    labels: Sequence[str]
    repository: str
    jobs: int
    code: str


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """One look: the pools it did something for or could not, then the others."""

    decision: Decision
    acted: list[PoolLine]
    quiet: list[PoolLine]
    waiting: list[WaitingLine]
    more_waiting: int


@polled(versions.fleet_version)
@role_required("viewer")
@require_GET
def decision_list(request: FleetRequest) -> HttpResponse:
    return page(request, "pools/decision_list.html", _LIST, _context(request))


def _context(request: FleetRequest) -> Context:
    query, path = request.GET, reverse("decision-list")
    pool, every = query.get("pool", ""), query.get("all") == "1"
    names = list(Pool.objects.order_by("name").values_list("name", flat=True))
    records = Decision.objects.order_by("-pk")
    before = query.get("before", "")
    if before.isdecimal():
        records = records.filter(pk__lt=int(before))
    rows, older = _page(records if every else records.filter(acting()), pool, every=every)
    return {
        "now": timezone.now(),
        "version": versions.fleet_version(request),
        "rows": rows,
        "pool": pool,
        "pools": names,
        "every": every,
        "kept_days": settings.FLEET_DECISION_DAYS,
        "newest_url": changed(path, query, before="") if before else "",
        "older_url": changed(path, query, before=older) if older else "",
        "list_url": changed(path, query, before=before),
        "narrowed": bool(pool or not every),
    }


def acting() -> Q:
    """Looks that did something or failed to."""
    return Q(started__gt=0) | Q(stopped__gt=0) | Q(failed__gt=0)


def recent_of(pool: Pool, *, limit: int) -> list[tuple[Decision, PoolLine]]:
    """The latest looks that started or let go runners of one pool; one query."""
    found = []
    records = Decision.objects.filter(acting()).order_by("-pk").defer("waiting", "words")
    # Read as far as is needed: a pool that acts often has its own among the first
    for decision in records[:RECORDS_READ].iterator(chunk_size=PAGE_SIZE):
        for line in decision.pools:
            if line["pool_id"] == pool.pk and _did(line):
                found.append((decision, _line(line)))
        if len(found) >= limit:
            break
    return found


def _page(records: QuerySet[Decision], pool: str, *, every: bool) -> tuple[list[DecisionRow], str]:
    """One page of rows, and from which record the older ones go on ("" when none are left)."""
    rows: list[DecisionRow] = []
    last = 0
    read = list(records[: RECORDS_READ if pool else PAGE_SIZE + 1])
    for decision in read:
        if len(rows) == PAGE_SIZE:
            return rows, str(last)
        last = decision.pk
        row = _row(decision, pool)
        if not pool or (row.quiet + row.acted if every else row.acted):
            rows.append(row)
    return rows, str(last) if pool and len(read) == RECORDS_READ else ""


def _row(decision: Decision, pool: str) -> DecisionRow:
    lines = [line for line in decision.pools if not pool or line["name"] == pool]
    waiting = [] if pool else [_waiting(line) for line in decision.waiting]
    return DecisionRow(
        decision=decision,
        acted=[_line(line) for line in lines if _did(line) or line["short"]],
        quiet=[_line(line) for line in lines if not _did(line) and not line["short"]],
        waiting=waiting[:WAITING_SHOWN],
        more_waiting=max(0, len(waiting) - WAITING_SHOWN),
    )


def _did(line: Mapping[str, object]) -> bool:
    return bool(line["start"] or line["stop"])


def _line(line: Mapping[str, object]) -> PoolLine:
    state, act = _act(line)
    name = str(line["name"])
    prefix = f"{name}: "
    why = str(line["why"])
    there = sum(int(str(line[key])) for key in ("idle", "starting", "busy"))
    after = there + int(str(line["start"])) - int(str(line["stop"]))
    return PoolLine(
        name=name,
        url=reverse("pool-detail", args=[name]),
        state=state,
        act=act,
        why=why.removeprefix(prefix),
        runners=f"{there} to {after}" if after != there else str(there),
    )


def _act(line: Mapping[str, object]) -> tuple[str, str]:
    """The glyph and the words of what was done."""
    words = []
    if line["start"]:
        words.append(f"Start {line['start']}")
    if line["stop"]:
        words.append(f"Let go {line['stop']}")
    if words:
        return "starting" if line["start"] else "removed", ", ".join(words)
    return ("warning", "Hold") if line["short"] else ("ok", "Nothing to do")


def _waiting(line: Mapping[str, object]) -> WaitingLine:
    labels = line["labels"]
    return WaitingLine(
        labels=[str(label) for label in labels] if isinstance(labels, Iterable) else [],
        repository=str(line["repository"]),
        jobs=int(str(line["jobs"])),
        code=str(line["code"]).replace("-", " "),
    )

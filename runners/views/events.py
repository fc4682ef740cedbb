"""The audit log: everything that was ever done, by day, newest first; nothing here can change it.

Pages are cut by the entry's number, not counted: a log of millions opens as fast as one of ten.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby
from typing import Final

from django.db.models import QuerySet
from django.http import HttpResponseBase, QueryDict
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from runners.event_filters import event_filter, filtered_events
from runners.models import Event
from runners.views.csv_export import csv_response
from runners.views.event_words import WORDS, is_person, words_of
from runners.views.guard import role_required
from runners.views.links import changed
from runners.views.shared import Context, FleetRequest, page

_KINDS: Final = {"enrolmentcode": "code", "user": "member", "beat": "process"}
PAGE_SIZE: Final = 50
CSV_CHUNK: Final = 2000
CSV_HEAD: Final = (
    "entry",
    "at",
    "actor_kind",
    "actor",
    "action",
    "object_kind",
    "object",
    "host",
    "was",
    "became",
    "reason",
)


@dataclass(frozen=True, slots=True)
class EventRow:
    """One entry as the log shows it; `detail` is what else was kept of it, in words."""

    event: Event
    person: bool
    words: str
    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class Day:
    """The entries of one day in UTC."""

    day: date
    rows: list[EventRow]


@role_required("viewer")
@require_GET
def event_list(request: FleetRequest) -> HttpResponseBase:
    if request.GET.get("format") == "csv":
        return _csv(request)
    return page(request, "audit/event_list.html", "audit/_events.html", _context(request))


def _context(request: FleetRequest) -> Context:
    path, query = reverse("event-list"), request.GET
    wanted = event_filter(query)
    shown, newer, older = _cut(filtered_events(wanted), query)
    return {
        "now": timezone.now(),
        "wanted": wanted,
        "actions": sorted((action, words) for action, (_, words) in WORDS.items()),
        "days": _by_day(shown),
        "newer_url": changed(path, query, before="", after=newer) if newer else "",
        "older_url": changed(path, query, after="", before=older) if older else "",
        "csv_url": changed(path, query, before="", after="", format="csv"),
        "printed_by": request.user.get_username(),
    }


def _cut(events: QuerySet[Event], query: QueryDict) -> tuple[list[Event], str, str]:
    """Return one page and the numbers from which the newer and the older page go on."""
    before, after = query.get("before", ""), query.get("after", "")
    if after.isdecimal():
        rows = list(events.filter(pk__gt=int(after)).order_by("pk")[: PAGE_SIZE + 1])
        more_newer = len(rows) > PAGE_SIZE
        shown = rows[:PAGE_SIZE][::-1]
        more_older = bool(shown)
    else:
        if before.isdecimal():
            events = events.filter(pk__lt=int(before))
        rows = list(events[: PAGE_SIZE + 1])
        shown = rows[:PAGE_SIZE]
        more_older = len(rows) > PAGE_SIZE
        more_newer = before.isdecimal() and bool(shown)
    return (
        shown,
        str(shown[0].pk) if shown and more_newer else "",
        str(shown[-1].pk) if shown and more_older else "",
    )


def _by_day(events: Sequence[Event]) -> list[Day]:
    rows = [_row(event) for event in events]
    return [
        Day(day, list(group))
        for day, group in groupby(rows, key=lambda row: row.event.at.astimezone(UTC).date())
    ]


def _row(event: Event) -> EventRow:
    _, words = words_of(event.action)
    details = event.detail if isinstance(event.detail, dict) else {}
    return EventRow(
        event=event,
        person=is_person(event),
        words=words,
        kind=_KINDS.get(event.object_kind, event.object_kind),
        detail=", ".join(
            f"{name.replace('_', ' ')} {_spelled(value)}"
            for name, value in details.items()
            if value not in ("", None, [])
        ),
    )


def _spelled(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "+".join(str(part) for part in value) if isinstance(value, list) else str(value)


def _csv(request: FleetRequest) -> HttpResponseBase:
    events = filtered_events(event_filter(request.GET)).select_related("host")
    stamp = timezone.now().astimezone(UTC)
    return csv_response(f"fleetui-audit-{stamp:%Y%m%dT%H%M%SZ}.csv", CSV_HEAD, _cells(events))


def _cells(events: QuerySet[Event]) -> Iterator[Sequence[str]]:
    for event in events.iterator(chunk_size=CSV_CHUNK):
        yield (
            str(event.pk),
            _iso(event.at),
            event.actor_kind,
            event.actor_name,
            event.action,
            event.object_kind,
            event.object_name,
            event.host.name if event.host else "",
            event.was,
            event.became,
            event.reason,
        )


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

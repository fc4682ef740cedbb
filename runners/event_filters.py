"""The query string of the audit log: what narrows it. Unknown values narrow nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.db.models import Q, QuerySet
from django.http import QueryDict
from django.utils.dateparse import parse_date

from runners.manual import PEOPLE
from runners.models import Event


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What was asked for, cleaned: empty and None narrow nothing. Days are whole days in UTC."""

    search: str
    actor: str
    action: str
    object_name: str
    host: str
    people: bool
    first: date | None
    last: date | None

    @property
    def narrowed(self) -> bool:
        wanted = (self.search, self.actor, self.action, self.object_name, self.host, self.people)
        return any(wanted) or self.first is not None or self.last is not None


def event_filter(query: QueryDict) -> EventFilter:
    """Read the address."""
    return EventFilter(
        search=query.get("q", "").strip(),
        actor=query.get("actor", "").strip(),
        action=query.get("action", "").strip(),
        object_name=query.get("object", "").strip(),
        host=query.get("host", "").strip(),
        people=query.get("people") == "1",
        first=_day(query.get("from", "")),
        last=_day(query.get("to", "")),
    )


def filtered_events(wanted: EventFilter) -> QuerySet[Event]:
    """Return the events that fit, newest first."""
    events = Event.objects.all()
    if wanted.search:
        events = events.filter(
            Q(object_name__icontains=wanted.search)
            | Q(reason__icontains=wanted.search)
            | Q(actor_name__icontains=wanted.search)
            | Q(action__icontains=wanted.search)
        )
    if wanted.actor:
        events = events.filter(actor_name=wanted.actor)
    if wanted.action:
        events = events.filter(action=wanted.action)
    if wanted.object_name:
        events = events.filter(object_name__icontains=wanted.object_name)
    if wanted.host:
        events = events.filter(host__name=wanted.host)
    if wanted.people:
        events = events.filter(actor_kind__in=PEOPLE)
    if wanted.first is not None:
        events = events.filter(at__gte=_start(wanted.first))
    if wanted.last is not None:
        events = events.filter(at__lt=_start(wanted.last) + timedelta(days=1))
    return events.order_by("-pk")


def _day(text: str) -> date | None:
    try:
        return parse_date(text)
    except ValueError:  # well formed, but no such day
        return None


def _start(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=UTC)

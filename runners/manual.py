"""How much of the fleet's work is done by hand: every change that a person made, counted.

Commands are people too, wherever they were typed; what a timer runs every day is not.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db.models import QuerySet

from runners.models import Event

DAYS: Final = 30
PEOPLE: Final = (Event.ActorKind.USER, Event.ActorKind.COMMAND)
# Meant to be run by cron or a timer: a copy changes nothing in the fleet.
BY_TIMER: Final = ("fleet.backup",)


def actions(*, now: datetime) -> QuerySet[Event]:
    """What people changed in the last `DAYS` days, newest first."""
    since = now - timedelta(days=DAYS)
    return Event.objects.filter(actor_kind__in=PEOPLE, at__gte=since).exclude(action__in=BY_TIMER)

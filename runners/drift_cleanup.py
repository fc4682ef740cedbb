"""Clean-up of many offline ghosts at once: exactly those that were previewed, and still are ones.

Ghosts are registrations that carry our mark, or that a person adopted; one that is online or has a
job is never among them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from django.db.models import Q, QuerySet

from runners import drift
from runners.audit import Actor
from runners.drift_kinds import DriftKind
from runners.errors import InvalidRequest
from runners.models import Drift

AT_ONCE = 500
NEWS = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Ghosts:
    """Which ghosts: a pattern of their names such as `ci-*`, a scope's key, for how long known."""

    pattern: str = ""
    scope_id: int | None = None
    minimum_age: timedelta = NEWS


def preview(wanted: Ghosts, *, now: datetime) -> list[Drift]:
    """The offline ghosts that fit and nobody asked to delete yet, oldest first."""
    age = max(wanted.minimum_age, NEWS)
    rows = _offline().filter(fix_wanted_at__isnull=True, since__lte=now - age)
    if wanted.scope_id is not None:
        rows = rows.filter(scope_id=wanted.scope_id)
    pattern = wanted.pattern.strip().lower() or "*"
    return [row for row in rows if fnmatchcase(row.name.lower(), pattern)]


def clean_up(
    keys: Collection[int], *, by: Actor, reason: str, now: datetime
) -> tuple[list[Drift], int]:
    """Have these deleted at GitHub by the next pass.

    Returns the rows asked for and how many were left alone, because they are gone, online or busy
    since they were looked at. Raises InvalidRequest for none or for more than `AT_ONCE`.
    """
    if not keys:
        raise InvalidRequest("There is no ghost to delete: choose another filter.")
    if len(keys) > AT_ONCE:
        raise InvalidRequest(f"At most {AT_ONCE} ghosts at once.")
    rows = list(_offline().filter(pk__in=keys))
    if rows:
        drift.ask_to_fix(rows, by=by, reason=reason, now=now)
    return rows, len(keys) - len(rows)


def _offline() -> QuerySet[Drift]:
    adopted = Q(kind=DriftKind.FOREIGN, adopted_at__isnull=False)
    return (
        Drift.objects.filter(Q(kind=DriftKind.GHOST) | adopted)
        .filter(detail__online=False, detail__busy=False)
        .select_related("scope")
        .order_by("since", "pk")
    )

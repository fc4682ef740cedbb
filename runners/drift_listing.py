"""Which drift somebody wants to see: narrowed, counted by kind, settled or not. Reads only.

The page and the command ask here, so that both show the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q, QuerySet

from runners import drift
from runners.drift_kinds import DriftKind
from runners.models import Drift


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to narrow by; "" narrows nothing. `scope` is a slug, `host` a name.

    Without a kind, somebody else's runners are left out unless adopted. `under_way`: also what has
    not lasted long enough to be shown.
    """

    kind: DriftKind | None = None
    scope: str = ""
    host: str = ""
    search: str = ""
    under_way: bool = False


@dataclass(frozen=True, slots=True)
class Counts:
    """How many there are under the filters besides the kind; `ours` leaves out `foreign`.

    `under_way` are the ones not settled yet, somebody else's left out.
    """

    by_kind: dict[DriftKind, int]
    ours: int
    foreign: int
    under_way: int


def find(wanted: Wanted, *, now: datetime) -> QuerySet[Drift]:
    """The rows, by kind in its own order of names, the oldest first."""
    rows = _narrowed(wanted)
    if not wanted.under_way:
        rows = rows.filter(drift.settled(now))
    rows = rows.filter(drift.ours()) if wanted.kind is None else rows.filter(kind=wanted.kind)
    return rows.order_by("kind", "since", "pk")


def count(wanted: Wanted, *, now: datetime) -> Counts:
    """Count by kind; one query."""
    settled = drift.settled(now)
    shown = Q(pk__isnull=False) if wanted.under_way else settled
    groups = (
        _narrowed(wanted)
        .order_by()
        .values("kind")
        .annotate(
            shown=Count("pk", filter=shown),
            ours=Count("pk", filter=shown & drift.ours()),
            under_way=Count("pk", filter=~settled & drift.ours()),
        )
        .values_list("kind", "shown", "ours", "under_way")
    )
    found = list(groups)
    return Counts(
        by_kind={DriftKind(kind): shown for kind, shown, _, _ in found},
        ours=sum(ours for _, _, ours, _ in found),
        foreign=sum(shown - ours for _, shown, ours, _ in found),
        under_way=sum(under_way for _, _, _, under_way in found),
    )


def _narrowed(wanted: Wanted) -> QuerySet[Drift]:
    rows = Drift.objects.all()
    if wanted.scope:
        rows = rows.filter(scope__slug=wanted.scope)
    if wanted.host:
        rows = rows.filter(host__name=wanted.host)
    if wanted.search:
        rows = rows.filter(
            Q(name__icontains=wanted.search)
            | Q(host__name__icontains=wanted.search)
            | Q(wanted__icontains=wanted.search)
            | Q(observed__icontains=wanted.search)
            | Q(github__icontains=wanted.search)
        )
    return rows

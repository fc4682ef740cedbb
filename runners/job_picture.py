"""How old the picture of each scope's jobs is, and where it comes from. Reads only; one query."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import OuterRef, Subquery

from runners.job_sources import JobSource
from runners.models import Delivery, Scope

OLD_AFTER = timedelta(minutes=10)
_WORDS = {
    JobSource.BOTH: "webhook and polling",
    JobSource.WEBHOOK: "webhook alone",
    JobSource.POLLING: "polling alone",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """One scope's jobs: complete as of `as_of` (None: never yet), by `source`.

    `delivered_at` is the last delivery, `swept_at` the oldest look at one of its repositories,
    `problem` what keeps the picture from being newer or whole.
    """

    scope: Scope
    source: JobSource
    delivered_at: datetime | None
    swept_at: datetime | None
    as_of: datetime | None
    problem: str
    old: bool

    @property
    def words(self) -> str:
        """The source, as a person says it."""
        return _WORDS[self.source]


def pictures(*, source_of: Callable[[Scope], JobSource], now: datetime) -> list[Picture]:
    """Every scope's picture, the oldest first."""
    last = Delivery.objects.filter(scope=OuterRef("pk")).order_by("-received_at")
    rows = Scope.objects.annotate(delivered_at=Subquery(last.values("received_at")[:1]))
    found = [_picture(row, row.delivered_at, source_of(row), now) for row in rows]
    return sorted(found, key=lambda each: (each.as_of is not None, each.as_of or now))


def _picture(
    scope: Scope, delivered_at: datetime | None, source: JobSource, now: datetime
) -> Picture:
    known: list[datetime] = []
    problem = ""
    if source.asks_for_runs:
        known += [scope.jobs_swept_at] if scope.jobs_swept_at else []
        problem = scope.jobs_problem
    if source.takes_deliveries and scope.webhook_secret_encrypted:
        # With a look for lost ones behind it, a silent webhook says that nothing happened
        checked = None if scope.deliveries_problem else scope.deliveries_checked_at
        known += [each for each in (delivered_at, checked) if each is not None]
        problem = webhook_trouble(scope, now) or problem
    elif source is JobSource.WEBHOOK:
        problem = "No webhook is set up, and polling is switched off: nothing tells of jobs."
    as_of = max(known, default=None)
    old = as_of is None or now - as_of > OLD_AFTER
    return Picture(scope, source, delivered_at, scope.jobs_swept_at, as_of, problem, old)


def webhook_trouble(scope: Scope, now: datetime) -> str:
    """What is wrong with a scope's webhook, with its fix; "" when nothing is known."""
    if scope.webhook_deleted_at is not None:
        return "The webhook was deleted at GitHub: add it again there."
    if scope.webhook_problem:
        return scope.webhook_problem
    refused = scope.webhook_refused_at
    if refused is not None and now - refused < timedelta(hours=1):
        return (
            "Deliveries are refused: their signature is not made with this scope's secret. Enter "
            "the same one at GitHub and here."
        )
    return ""

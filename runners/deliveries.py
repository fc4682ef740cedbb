"""Webhook deliveries: kept as they come, taken in by the worker in batches.

Keeping one is two or three statements, so that GitHub has its answer at once. Taking in may happen
twice, late and in any order; what it does then is the same. A batch is one transaction: a worker
that dies in it leaves every delivery of it as it was.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction
from django.db.models import Q
from django_q.tasks import async_task

from runners import jobs, lifecycle
from runners.delivery_content import (
    ACTIONS_BY_EVENT,
    INSTALLATION_EVENTS,
    JOB_EVENT,
    RUN_EVENT,
    essence,
    hook_problem,
    job_facts,
)
from runners.github.webhooks import WebhookEvent
from runners.jobs import JobFacts
from runners.models import Delivery, Repository, Scope

logger = logging.getLogger(__name__)

BATCH = 200
BATCHES_A_TASK = 20
TASK = "runners.tasks.take_in_deliveries"
# Longer than GitHub lists a delivery (3 days, GHES 7): one that is redelivered is known still.
KEPT = timedelta(days=8)
# A statement at a time, so that nobody waits long for the table
FORGOTTEN_AT_ONCE = 500
FORGOTTEN_AT_MOST = 200_000
ACTIVE_AGAIN_AFTER = timedelta(seconds=60)

CANNOT = (DatabaseError, ValueError, TypeError, LookupError)

Result = Delivery.Result


@dataclass
class _Work:
    """What a batch asks for beside the jobs' own rows."""

    results: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    active: set[str] = field(default_factory=set)
    wake_reconcile: bool = False
    wake_scaling: bool = False
    check_credential: bool = False
    list_repositories: bool = False

    def note(self, delivery: Delivery, result: str, outcome: str) -> None:
        """Remember what came of a delivery."""
        self.results[(result, outcome[:200])].append(delivery.pk)


def keep(scope: Scope, event: WebhookEvent, *, now: datetime, replayed: bool = False) -> bool:
    """Keep a signed delivery and see that it is taken in; False for one that is known already.

    Not to be called within a transaction, which a known one would break.
    """
    kept = essence(event.event, event.payload)
    try:
        # One statement, no transaction around it: the hottest write next to a heartbeat
        Delivery.objects.create(
            scope=scope,
            hook_id=str(event.hook_id or ""),
            guid=event.guid[:64],
            event=event.event[:60],
            action=event.action[:60],
            repository=kept.repository,
            subject_id=kept.subject_id,
            payload=kept.payload,
            received_at=now,
            replayed=replayed,
        )
    except IntegrityError:
        return False
    # After the commit: whoever clears the wish before it would not have seen the row
    wake(scope.pk)
    return True


def wake(scope_id: int) -> None:
    """Queue taking in what was delivered; asked often, it is queued once.

    Killed between the two statements, the task is missing: `wake_forgotten` sees to that.
    """
    if Scope.objects.filter(pk=scope_id, deliveries_wanted=False).update(deliveries_wanted=True):
        async_task(TASK, scope_id)


def wake_forgotten(*, now: datetime, older_than: timedelta) -> int:
    """Queue scopes whose deliveries wait for longer than a worker needs; returns how many."""
    pending = Delivery.objects.filter(processed_at__isnull=True, received_at__lt=now - older_than)
    pks = list(pending.order_by().values_list("scope_id", flat=True).distinct())
    for pk in pks:
        async_task(TASK, pk)
    return len(pks)


def take_in(scope: Scope, *, now: datetime) -> int:
    """Take in what was delivered for a scope, oldest first; returns how many deliveries.

    Leaves the rest to another task after `BATCHES_A_TASK`, so that none runs for minutes.
    """
    # From here on a delivery asks for another task: this one may have read past it
    Scope.objects.filter(pk=scope.pk).update(deliveries_wanted=False)
    count = 0
    for _ in range(BATCHES_A_TASK):
        taken = _take_batch(scope, now)
        count += taken
        if taken < BATCH:
            return count
    wake(scope.pk)
    return count


def _take_batch(scope: Scope, now: datetime) -> int:
    pending = Delivery.objects.filter(scope=scope, processed_at__isnull=True).order_by("pk")
    if connection.features.has_select_for_update_skip_locked:
        # Two workers share the work instead of doing it twice
        pending = pending.select_for_update(skip_locked=True)
    rows: list[Delivery] = []
    try:
        with transaction.atomic():
            rows = list(pending[:BATCH])
            _process(scope, rows, now)
    except CANNOT:
        if not rows:
            raise
        logger.exception("A batch of deliveries of scope %s failed: one by one now", scope.pk)
        _take_one_by_one(scope, rows, now)
    return len(rows)


def _take_one_by_one(scope: Scope, rows: Sequence[Delivery], now: datetime) -> None:
    """The slow way, in which one delivery that cannot be taken in holds up no other.

    Where the database was busy, locked or in a deadlock, it is left to a later task.
    """
    for row in rows:
        try:
            with transaction.atomic():
                _process(scope, [row], now)
        except OperationalError:
            logger.exception("Delivery %s could not be taken in yet", row.pk)
        except CANNOT as error:
            logger.exception("Delivery %s could not be taken in", row.pk)
            Delivery.objects.filter(pk=row.pk).update(
                processed_at=now, result=Result.FAILED, outcome=type(error).__name__
            )


def _process(scope: Scope, rows: Sequence[Delivery], now: datetime) -> None:
    """Take these deliveries in, within the caller's transaction."""
    work = _Work()
    told: list[tuple[Delivery, JobFacts]] = []
    for row in rows:
        facts = _facts_or_note(scope, row, work)
        if facts is not None:
            told.append((row, facts))
        elif row.event != JOB_EVENT:
            _take_other(scope, row, work)
    changed = jobs.record_many(scope, [facts for _, facts in told], now=now)
    for (row, facts), has_changed in zip(told, changed, strict=True):
        work.active.add(facts.repository)
        if has_changed:
            work.note(row, Result.CHANGED, f"Job is {facts.status}")
            work.wake_reconcile |= row.action in ("in_progress", "completed")
            work.wake_scaling |= facts.status in ("queued", "completed")
        else:
            work.note(row, Result.NOTHING_NEW, "Nothing new: known already, or overtaken")
    for (result, outcome), pks in work.results.items():
        Delivery.objects.filter(pk__in=pks).update(processed_at=now, result=result, outcome=outcome)
    _follow_up(scope, work, now)


def _facts_or_note(scope: Scope, row: Delivery, work: _Work) -> JobFacts | None:
    if row.event != JOB_EVENT:
        return None
    if row.action not in ACTIONS_BY_EVENT[JOB_EVENT]:
        work.note(row, Result.IGNORED, f"Unknown action {row.action}: kept, nothing done")
        return None
    facts = job_facts(row.payload if isinstance(row.payload, dict) else {})
    if facts is None:
        work.note(row, Result.IGNORED, "Not a job we can read: kept, nothing done")
    elif not _is_of(scope, facts.repository):
        work.note(row, Result.IGNORED, f"{facts.repository} is not of {scope.slug}")
        return None
    return facts


def _is_of(scope: Scope, repository: str) -> bool:
    """An App's hook tells of every organization it is installed in, to one address."""
    if scope.kind != Scope.Kind.ORGANIZATION:
        return True
    return repository.partition("/")[0].lower() == scope.slug.lower()


def _take_other(scope: Scope, row: Delivery, work: _Work) -> None:
    """What a delivery does that is not about a job."""
    payload = row.payload if isinstance(row.payload, dict) else {}
    known = ACTIONS_BY_EVENT.get(row.event)
    if known is not None and row.action not in known:
        work.note(row, Result.IGNORED, f"Unknown action {row.action}: kept, nothing done")
    elif row.event == "ping":
        problem = hook_problem(payload)
        Scope.objects.filter(pk=scope.pk).update(
            webhook_pinged_at=row.received_at,
            webhook_hook_id=row.hook_id,
            webhook_deleted_at=None,
            webhook_problem=problem,
        )
        work.note(row, Result.CHANGED, problem or "The webhook is set up and reaches us")
    elif row.event == "meta":
        # The end of an older hook says nothing of the one that was pinged since
        ours = Q(webhook_hook_id__in=["", row.hook_id])
        gone = Scope.objects.filter(ours, pk=scope.pk).update(webhook_deleted_at=row.received_at)
        said = "The webhook was deleted at GitHub" if gone else "Another webhook was deleted"
        work.note(row, Result.CHANGED if gone else Result.NOTHING_NEW, said)
    elif row.event == RUN_EVENT:
        if row.repository and _is_of(scope, row.repository):
            work.active.add(row.repository)
        work.note(row, Result.CHANGED, "Its repository is looked at next")
    elif row.event in INSTALLATION_EVENTS:
        work.check_credential = work.list_repositories = True
        work.note(row, Result.CHANGED, "Credential and repositories are looked at again")
    elif row.event == "repository":
        work.list_repositories = True
        work.note(row, Result.CHANGED, "Repositories are listed again")
    else:
        work.note(row, Result.NOTHING_NEW, "We have no use for this event")


def _follow_up(scope: Scope, work: _Work, now: datetime) -> None:
    note_active(scope, work.active, now=now)
    if work.list_repositories:
        Scope.objects.filter(pk=scope.pk).update(repositories_listed_at=None)
    if work.check_credential:
        async_task("runners.tasks.check_credential_by_id", scope.credential_id)
    if work.wake_reconcile:
        lifecycle.wake_reconcile(scope.pk)
    if work.wake_scaling:
        lifecycle.wake_scaling()


def note_active(scope: Scope, names: set[str], *, now: datetime) -> None:
    """Remember that something goes on in these repositories; ones we never heard of are added."""
    if not names:
        return
    ours = Repository.objects.filter(scope=scope, full_name__in=names)
    known = dict(ours.values_list("full_name", "active_at"))
    Repository.objects.bulk_create(
        [
            Repository(scope=scope, full_name=name, active_at=now)
            for name in names
            if name not in known
        ],
        ignore_conflicts=True,
    )
    stale = [at is None or at < now - ACTIVE_AGAIN_AFTER for at in known.values()]
    if any(stale):
        ours.update(active_at=now)


def forget_old(*, now: datetime) -> int:
    """Delete deliveries that GitHub can't send again any more; returns how many."""
    old = Delivery.objects.filter(received_at__lt=now - KEPT).order_by("received_at")
    count = 0
    while count < FORGOTTEN_AT_MOST:
        pks = list(old.values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE])
        Delivery.objects.filter(pk__in=pks).delete()
        count += len(pks)
        if len(pks) < FORGOTTEN_AT_ONCE:
            break
    return count

"""One pass over a scope: GitHub's list against what we want and what hosts say.

The only writer of what GitHub says of a runner. A pass is planned first (`reconcile_plan`, pure),
then carried out: facts, drift, moves, repairs. It is safe to repeat after a kill at any point,
because every step is decided from the rows afresh; whoever runs it must make sure that a scope has
one pass at a time (`tasks.reconcile_scope` holds a lease). Whatever GitHub did not say is unknown:
it deletes nothing, stops nothing and frees no slot.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from runners import audit, drift, fleet, lifecycle
from runners.audit import Actor
from runners.errors import IllegalTransition, StaleState
from runners.github.errors import (
    GitHubError,
    GitHubUnavailable,
    NotFound,
    PartialResult,
    RateLimited,
    RunnerBusy,
)
from runners.github.types import Runner as GitHubRunner
from runners.models import Pool, Runner, RunnerPackage, Scope
from runners.reconcile_plan import Deletion, Move, Step, plan
from runners.reconcile_view import Conditions, Deadlines, OurRunner
from runners.registry import RunnerRegistry, path_of
from runners.states import SERVING, GitHubStatus, Phase, RunnerState

BY = Actor.system("reconcile")
LEASE_SECONDS = 60
ROWS_A_STATEMENT = 500


@dataclass(frozen=True, slots=True)
class Summary:
    """What one pass saw and did."""

    listed: int = 0
    complete: bool = True
    foreign: int = 0
    moved: int = 0
    deleted: int = 0
    drifts: int = 0
    mended: int = 0
    error: str = ""

    def __str__(self) -> str:
        if self.error:
            return self.error
        part = "" if self.complete else " (in part)"
        return (
            f"{self.listed} listed{part}, {self.foreign} not ours, {self.moved} moved, "
            f"{self.deleted} deleted, {self.drifts} drifts, {self.mended} mended"
        )


def lease_name(scope_id: int) -> str:
    """The lease whoever runs a pass over this scope must hold (`runners.leases`)."""
    return f"reconcile:{scope_id}"


def reconcile_scope(
    scope: Scope, *, github: RunnerRegistry, deadlines: Deadlines, now: datetime
) -> Summary:
    """Run one pass over a scope. GitHub's errors end up in the scope's row and the summary."""
    cut_off: PartialResult | None = None
    try:
        listing = github.list_self_hosted_runners(path_of(scope))
        listed: tuple[GitHubRunner, ...] = tuple(listing)
        complete = listing.complete
    except PartialResult as error:
        listed = tuple(item for item in error.items if isinstance(item, GitHubRunner))
        complete, cut_off = False, error
    except GitHubError as error:
        _note_unknown(scope, error, now)
        return Summary(error=error.user_message, complete=False)
    rows = _rows(scope)
    seen = _conditions(scope, deadlines, complete=complete, now=now)
    planned = plan(_views(scope, list(rows.values())), listed, seen)
    _write_facts(rows, planned.facts)
    if cut_off is None:
        _note_seen(scope, planned.foreign, now)
    else:
        _note_unknown(scope, cut_off, now)
    drift.note(scope, planned.mismatches, complete=complete, now=now)
    moved, deleted = _carry_out(planned.moves, rows, scope, github, now)
    mended = drift.mend(
        scope, github=github, auto=seen.auto, online_ghost=deadlines.online_ghost, now=now
    )
    return Summary(
        len(listed), complete, planned.foreign, moved, deleted, len(planned.mismatches), mended
    )


def _rows(scope: Scope) -> dict[int, Runner]:
    ours = Runner.objects.maybe_at_github().filter(scope=scope).select_related("host")
    return {runner.pk: runner for runner in ours.order_by("pk")}


def _conditions(scope: Scope, deadlines: Deadlines, *, complete: bool, now: datetime) -> Conditions:
    whole = fleet.get()
    offered = RunnerPackage.objects.filter(scope=scope).values_list("os", "architecture", "version")
    # The first answer after an outage: whatever should have happened meanwhile begins to count now
    back_at = now if scope.github_unknown_since is not None else scope.github_back_at
    return Conditions(
        now=now,
        complete=complete,
        deadlines=deadlines,
        owner_mark=whole.owner_mark,
        back_at=back_at,
        quiesced=whole.quiesced_at is not None,
        offered={(os, architecture): version for os, architecture, version in offered},
        auto=drift.auto_kinds(whole),
    )


def _views(scope: Scope, rows: Sequence[Runner]) -> list[OurRunner]:
    """The rows as the plan looks at them; the labels of all in one query."""
    labels: dict[int, set[str]] = defaultdict(set)
    pairs = Runner.labels.through.objects.filter(
        runner__scope=scope, runner__state__in=SERVING
    ).values_list("runner_id", "label__name")
    for runner_id, label in pairs:
        labels[runner_id].add(label)
    own = Pool.objects.filter(scope=scope, start_deadline_seconds__isnull=False)
    deadlines: dict[int | None, timedelta] = {
        pool_id: timedelta(seconds=seconds or 0)
        for pool_id, seconds in own.values_list("pk", "start_deadline_seconds")
    }
    return [
        OurRunner(
            pk=row.pk,
            name=row.name,
            state=RunnerState(row.state),
            state_changed_at=row.state_changed_at,
            ephemeral=row.ephemeral,
            force=row.force,
            labels=frozenset(labels.get(row.pk, ())),
            phase=Phase(row.phase),
            observed_at=row.observed_at,
            runner_version=row.runner_version,
            drain_deadline_at=row.drain_deadline_at,
            registered_at=row.registered_at,
            github_id=row.github_id,
            github_status=GitHubStatus(row.github_status),
            github_busy=row.github_busy,
            github_labels=tuple(row.github_labels),
            github_seen_at=row.github_seen_at,
            github_offline_since=row.github_offline_since,
            github_deleted=row.github_deleted_at is not None,
            holds_slot=row.slot is not None,
            host_id=row.host_id,
            host_name=row.host.name,
            host_os=row.host.os,
            host_architecture=row.host.architecture,
            host_silent_at=row.host.offline_after,
            host_retired=row.host.retired_at is not None,
            start_deadline=deadlines.get(row.pool_id),
        )
        for row in rows
    ]


def _write_facts(rows: dict[int, Runner], facts: Sequence[OurRunner]) -> None:
    """Write what GitHub says into our rows; runners of which it says the same in one statement."""
    if not facts:
        return
    numbered = []
    alike: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for fact in facts:
        row = rows[fact.pk]
        if row.github_id != fact.github_id:
            row.github_id = fact.github_id
            numbered.append(row)
        row.github_status = fact.github_status
        row.github_busy = fact.github_busy
        row.github_labels = list(fact.github_labels)
        row.github_seen_at = fact.github_seen_at
        row.github_offline_since = fact.github_offline_since
        if not fact.github_deleted:
            row.github_deleted_at = None
        alike[
            fact.github_status,
            fact.github_busy,
            fact.github_labels,
            fact.github_seen_at,
            fact.github_offline_since,
            row.github_deleted_at,
        ].append(fact.pk)
    with transaction.atomic():
        Runner.objects.bulk_update(numbered, ["github_id"], batch_size=200)
        for same in alike.values():
            for begin in range(0, len(same), ROWS_A_STATEMENT):
                pks = same[begin : begin + ROWS_A_STATEMENT]
                told = rows[pks[0]]
                Runner.objects.filter(pk__in=pks).update(
                    github_status=told.github_status,
                    github_busy=told.github_busy,
                    github_labels=told.github_labels,
                    github_seen_at=told.github_seen_at,
                    github_offline_since=told.github_offline_since,
                    github_deleted_at=told.github_deleted_at,
                )


def _carry_out(
    moves: Sequence[Move],
    rows: dict[int, Runner],
    scope: Scope,
    github: RunnerRegistry,
    now: datetime,
) -> tuple[int, int]:
    """Make the planned moves; returns how many runners moved and how many GitHub forgot."""
    moved = deleted = 0
    for move in moves:
        runner = rows[move.pk]
        was_deleted = runner.github_deleted_at is not None
        try:
            moved += _make(move, runner, scope, github, now)
        except (StaleState, IllegalTransition):
            continue  # another writer moved it first; the next pass sees where it is
        except RateLimited as error:
            _note_error(scope, error)
            break  # the rest would only be refused too
        except GitHubUnavailable as error:
            _note_error(scope, error)
            if error.status is None:
                break  # no answer at all: the rest would only wait for one too
        except GitHubError as error:
            _note_error(scope, error)
        deleted += not was_deleted and runner.github_deleted_at is not None
    return moved, deleted


def _make(move: Move, runner: Runner, scope: Scope, github: RunnerRegistry, now: datetime) -> int:
    """Make one move; returns 1 when the runner moved."""
    if move.step is Step.ACTIVATE:
        lifecycle.activate(runner, now=now, by=BY)
        return 1
    if move.step is Step.FAIL:
        lifecycle.fail(runner, cause=move.cause, reason=move.reason, now=now, by=BY)
        return 1
    if move.step is Step.FORCE:
        lifecycle.deregister(runner, by=BY, reason=move.reason, now=now, force=True)
        return 0
    if move.step in (Step.RELEASE, Step.DELETE_AND_RELEASE):
        lifecycle.release_slot(runner)
        if move.step is Step.DELETE_AND_RELEASE:
            _gone_at_github(move, runner, scope, github, now)
        return 1
    if not _gone_at_github(move, runner, scope, github, now):
        if move.overdue:
            lifecycle.deregister(runner, by=BY, reason=move.overdue, now=now, force=True)
        return int(bool(move.overdue))
    if move.step is Step.DELETE_AND_FAIL:
        lifecycle.fail(runner, cause=move.cause, reason=move.reason, now=now, by=BY)
    elif move.step is Step.RETIRE:
        reason = move.reason or runner.state_reason or "Drained"
        lifecycle.retire_registration(runner, reason=reason, now=now, by=BY)
    elif move.step is Step.FINISH:
        # The host may have reported since we read the row
        runner.refresh_from_db(fields=["phase", "state"])
        if runner.phase != Phase.GONE and runner.host.retired_at is None:
            return 0
        lifecycle.finish(runner, reason=runner.state_reason, now=now, by=BY)
    return 1


def _gone_at_github(
    move: Move, runner: Runner, scope: Scope, github: RunnerRegistry, now: datetime
) -> bool:
    """Make sure GitHub does not have the runner; False while a job is on it, or while it may
    come."""
    if move.deletion is Deletion.WAIT:
        return False
    if runner.github_id is None and move.step is Step.RETIRE:
        return True  # never registered: there was nothing to delete
    if move.deletion is Deletion.ASK and runner.github_id is not None:
        try:
            github.delete_self_hosted_runner(path_of(scope), runner.github_id)
        except NotFound:
            pass  # already gone, which is what we want
        except RunnerBusy:
            return False
    _note_deleted(runner, now)
    return True


def _note_deleted(runner: Runner, now: datetime) -> None:
    with transaction.atomic():
        moved = Runner.objects.filter(pk=runner.pk, github_deleted_at__isnull=True).update(
            github_deleted_at=now,
            github_status=GitHubStatus.ABSENT,
            github_busy=False,
        )
        if moved and runner.github_id is not None:
            audit.record(runner, "runner.deregister", by=BY, at=now, became="not registered")
    runner.github_deleted_at = now
    runner.github_status, runner.github_busy = GitHubStatus.ABSENT, False


def _note_seen(scope: Scope, foreign: int, now: datetime) -> None:
    back = {} if scope.github_unknown_since is None else {"github_back_at": now}
    Scope.objects.filter(pk=scope.pk).update(
        github_seen_at=now,
        github_unknown_since=None,
        github_error="",
        foreign_runners=foreign,
        **back,
    )
    scope.github_unknown_since = None
    scope.github_back_at = back.get("github_back_at", scope.github_back_at)


def _note_unknown(scope: Scope, error: GitHubError, now: datetime) -> None:
    Scope.objects.filter(pk=scope.pk, github_unknown_since__isnull=True).update(
        github_unknown_since=now
    )
    scope.github_unknown_since = scope.github_unknown_since or now
    _note_error(scope, error)


def _note_error(scope: Scope, error: GitHubError) -> None:
    Scope.objects.filter(pk=scope.pk).update(github_error=error.user_message[:500])

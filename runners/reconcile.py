"""GitHub's list against ours: facts written down, then each runner moved one step towards what is
wanted.

One pass a scope, safe to run again, one at a time by lease. Calls to GitHub happen outside
transactions: decide, call, record the answer; a crash in between is repaired by the next pass. A
list that came only in part proves presence, never absence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from runners import audit, lifecycle
from runners.audit import Actor
from runners.errors import IllegalTransition, StaleState
from runners.failure import Cause
from runners.github.errors import (
    GitHubError,
    NotFound,
    PartialResult,
    RateLimited,
    RunnerBusy,
)
from runners.github.types import Runner as GitHubRunner
from runners.models import Runner, RunnerPackage, Scope
from runners.registry import RunnerRegistry, path_of
from runners.states import PROCESS_ENDED, SERVING, GitHubStatus, Phase, RunnerState

BY = Actor.system("reconcile")
GONE_AT_GITHUB_GRACE = timedelta(seconds=90)
REGISTRATION_IN_FLIGHT = timedelta(seconds=60)
RELEASES_KNOWN_FOR = timedelta(hours=1)
LEASE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long things may take before they count as failed."""

    start: timedelta


@dataclass(frozen=True, slots=True)
class Summary:
    """What one pass saw and did."""

    listed: int = 0
    complete: bool = True
    foreign: int = 0
    moved: int = 0
    deleted: int = 0
    error: str = ""

    def __str__(self) -> str:
        if self.error:
            return self.error
        part = "" if self.complete else " (in part)"
        return (
            f"{self.listed} listed{part}, {self.foreign} not ours, "
            f"{self.moved} moved, {self.deleted} deleted"
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
    ours = list(
        Runner.objects.maybe_at_github().filter(scope=scope).select_related("host").order_by("pk")
    )
    # Moves that need no call come first: a spent API budget must not keep them back
    ours.sort(key=lambda runner: runner.state not in SERVING)
    foreign = _write_facts(ours, listed, complete=complete, now=now)
    if cut_off is None:
        _note_seen(scope, foreign, now)
    else:
        _note_unknown(scope, cut_off, now)
    moved = deleted = 0
    for runner in ours:
        try:
            was_deleted = runner.github_deleted_at is not None
            moved += _step(runner, scope, github, deadlines, complete=complete, now=now)
        except (StaleState, IllegalTransition):
            continue  # another writer moved it first; the next pass sees where it is
        except RateLimited as error:
            _note_error(scope, error)
            break  # the rest would only be refused too
        except GitHubError as error:
            _note_error(scope, error)
        deleted += not was_deleted and runner.github_deleted_at is not None
    return Summary(len(listed), complete, foreign, moved, deleted)


def push_labels(runner: Runner, *, github: RunnerRegistry, now: datetime) -> list[str]:
    """Give a persistent runner at GitHub the custom labels we want; returns its labels then."""
    if runner.github_id is None or runner.github_deleted_at is not None:
        return []
    builtin = {"self-hosted", runner.host.os, runner.host.architecture}
    wanted = [label.name for label in runner.labels.all() if label.name.lower() not in builtin]
    labels = github.set_custom_labels_for_self_hosted_runner(
        path_of(runner.scope), runner.github_id, wanted
    )
    names = [label.name for label in labels]
    Runner.objects.filter(pk=runner.pk).update(github_labels=names, github_seen_at=now)
    return names


def refresh_packages(scope: Scope, *, github: RunnerRegistry, now: datetime) -> int:
    """Learn, at most once an hour, which runner packages GitHub offers; returns how many."""
    if RunnerPackage.objects.filter(scope=scope, seen_at__gt=now - RELEASES_KNOWN_FOR).exists():
        return 0
    offered = 0
    for package in github.list_runner_applications(path_of(scope)):
        version = package.filename.removesuffix(".tar.gz").removesuffix(".zip").rpartition("-")[2]
        if not package.sha256_checksum:
            continue  # nothing to check a download against: never offered to a host
        RunnerPackage.objects.update_or_create(
            scope=scope,
            os=package.os,
            architecture=package.architecture,
            defaults={
                "version": version,
                "filename": package.filename,
                "download_url": package.download_url,
                "sha256": package.sha256_checksum.lower(),
                "seen_at": now,
            },
        )
        offered += 1
    return offered


def _write_facts(
    ours: list[Runner], listed: Iterable[GitHubRunner], *, complete: bool, now: datetime
) -> int:
    """Write what GitHub says into our rows; returns how many runners there are not ours."""
    by_id = {runner.github_id: runner for runner in ours if runner.github_id is not None}
    # Names are unique in a scope: the same name with another id is ours, from a lost answer
    by_name = {r.name.lower(): r for r in ours if r.state != RunnerState.REMOVED}
    seen: set[int] = set()
    changed: list[Runner] = []
    foreign = 0
    for there in listed:
        runner = by_id.get(there.id) or by_name.get(there.name.lower())
        if runner is None:
            foreign += 1
            continue
        seen.add(runner.pk)
        if _take(runner, there, now):
            changed.append(runner)
    if complete:
        for runner in ours:
            missing = runner.pk not in seen and runner.github_id is not None
            if runner.registered_at and runner.registered_at > now - REGISTRATION_IN_FLIGHT:
                continue  # it may have registered after GitHub had made the list
            if missing and runner.github_status != GitHubStatus.ABSENT:
                runner.github_status, runner.github_busy = GitHubStatus.ABSENT, False
                runner.github_seen_at = now
                changed.append(runner)
    if changed:
        Runner.objects.bulk_update(
            changed,
            [
                "github_id",
                "github_status",
                "github_busy",
                "github_labels",
                "github_seen_at",
                "github_deleted_at",
            ],
            batch_size=200,
        )
    return foreign


def _take(runner: Runner, there: GitHubRunner, now: datetime) -> bool:
    """Copy GitHub's facts; True when something changed. Seen-at is written with a change only."""
    status = GitHubStatus.ONLINE if there.online else GitHubStatus.OFFLINE
    labels = list(there.label_names)
    said = (there.id, status, there.busy, labels)
    if (runner.github_id, runner.github_status, runner.github_busy, runner.github_labels) == said:
        return False
    runner.github_id, runner.github_status, runner.github_busy, runner.github_labels = said
    runner.github_seen_at = now
    runner.github_deleted_at = None  # it registered after all, or again
    return True


def _step(
    runner: Runner,
    scope: Scope,
    github: RunnerRegistry,
    deadlines: Deadlines,
    *,
    complete: bool,
    now: datetime,
) -> int:
    """Move one runner one step; returns 1 when it moved."""
    if runner.state == RunnerState.PROVISIONING:
        return _step_provisioning(runner, scope, deadlines, now=now)
    if runner.state == RunnerState.ACTIVE:
        return _step_active(runner, complete=complete, now=now)
    if runner.state == RunnerState.DRAINING:
        return _step_draining(runner, scope, github, complete=complete, now=now)
    if runner.state == RunnerState.REMOVING:
        return _step_removing(runner, scope, github, complete=complete, now=now)
    if runner.state == RunnerState.REMOVED:
        return int(_deleted_at_github(runner, scope, github, complete=complete, now=now))
    return _step_failed(runner, scope, github, complete=complete, now=now)


def _step_provisioning(runner: Runner, scope: Scope, deadlines: Deadlines, *, now: datetime) -> int:
    if runner.github_status == GitHubStatus.ONLINE:
        lifecycle.activate(runner, now=now, by=BY)
        return 1
    if runner.phase == Phase.UNSEEN and (reason := _no_package(runner, scope)):
        lifecycle.fail(runner, cause=Cause.NO_PACKAGE, reason=reason, now=now, by=BY)
        return 1
    host_silent = runner.host.offline_after is None or runner.host.offline_after <= now
    late = now >= runner.state_changed_at + deadlines.start
    if late and not host_silent and runner.phase != Phase.BUSY:
        seconds = int(deadlines.start.total_seconds())
        doing = runner.get_phase_display().lower()
        lifecycle.fail(
            runner,
            cause=Cause.START_DEADLINE,
            reason=f"Not online at GitHub within {seconds} s; the host last said: {doing}.",
            now=now,
            by=BY,
        )
        return 1
    return 0


def _no_package(runner: Runner, scope: Scope) -> str:
    """Why GitHub has no runner application for this host; "" while one is there or unknown."""
    host = runner.host
    offered = list(RunnerPackage.objects.filter(scope=scope).values_list("os", "architecture"))
    if not offered or (host.os, host.architecture) in offered:
        return ""
    return (
        f"GitHub offers no runner application for {host.os} {host.architecture}, so {host.name} "
        "can't run one."
    )


def _step_active(runner: Runner, *, complete: bool, now: datetime) -> int:
    """An ephemeral runner that GitHub no longer has and whose process ended is done."""
    gone = complete and runner.github_status == GitHubStatus.ABSENT
    ended = runner.phase in PROCESS_ENDED
    if runner.ephemeral and gone and ended:
        _note_deleted(runner, now)
        lifecycle.retire_registration(runner, reason="Finished its job", now=now, by=BY)
        return 1
    grace_over = runner.github_seen_at is not None and (
        now - runner.github_seen_at >= GONE_AT_GITHUB_GRACE
    )
    if gone and grace_over and runner.phase == Phase.LISTENING:
        # GitHub took the registration away and no job is on it: its process serves nobody
        _note_deleted(runner, now)
        lifecycle.retire_registration(
            runner, reason="GitHub removed its registration", now=now, by=BY
        )
        return 1
    return 0


def _step_draining(
    runner: Runner, scope: Scope, github: RunnerRegistry, *, complete: bool, now: datetime
) -> int:
    unregistered = runner.github_id is None and complete and runner.phase != Phase.BUSY
    if unregistered or _deleted_at_github(runner, scope, github, complete=complete, now=now):
        lifecycle.retire_registration(
            runner, reason=runner.state_reason or "Drained", now=now, by=BY
        )
        return 1
    deadline = runner.drain_deadline_at
    if deadline is not None and deadline <= now:
        lifecycle.deregister(
            runner,
            by=BY,
            reason=f"Drain deadline {deadline:%Y-%m-%d %H:%M:%S} UTC passed while a job ran",
            now=now,
            force=True,
        )
        return 1
    return 0


def _step_removing(
    runner: Runner, scope: Scope, github: RunnerRegistry, *, complete: bool, now: datetime
) -> int:
    """Gone at GitHub and gone on the host, in either order, closes the row."""
    if not _deleted_at_github(runner, scope, github, complete=complete, now=now):
        return 0
    # The host may have reported since we read the row
    runner.refresh_from_db(fields=["phase", "state"])
    if _host_let_go(runner):
        lifecycle.finish(runner, reason=runner.state_reason, now=now, by=BY)
        return 1
    return 0


def _step_failed(
    runner: Runner, scope: Scope, github: RunnerRegistry, *, complete: bool, now: datetime
) -> int:
    """A failed runner keeps its row and its reason; its slot and registration are given back."""
    released = runner.slot is not None and _host_let_go(runner)
    if released:
        lifecycle.release_slot(runner)
    _deleted_at_github(runner, scope, github, complete=complete, now=now)
    return int(released)


def _host_let_go(runner: Runner) -> bool:
    """Whether nothing of the runner is left on its host, so that it can't register any more."""
    return runner.phase == Phase.GONE or runner.host.retired_at is not None


def _deleted_at_github(
    runner: Runner, scope: Scope, github: RunnerRegistry, *, complete: bool, now: datetime
) -> bool:
    """Make sure GitHub does not have the runner; False while a job is on it, or while it may come.

    A runner whose id we do not know may still register, or have done so in an answer that was lost:
    it is not there once a whole list without its name was read after its host had let go of it.
    """
    if runner.github_deleted_at is not None:
        return True
    if runner.github_id is None:
        before = runner.observed_at is None or runner.observed_at <= now
        if not (complete and before and _host_let_go(runner)):
            return False
    elif runner.github_status != GitHubStatus.ABSENT:
        if runner.phase == Phase.BUSY and not runner.force:
            return False  # the host says a job runs: do not even ask
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
    Scope.objects.filter(pk=scope.pk).update(
        github_seen_at=now, github_unknown_since=None, github_error="", foreign_runners=foreign
    )


def _note_unknown(scope: Scope, error: GitHubError, now: datetime) -> None:
    Scope.objects.filter(pk=scope.pk, github_unknown_since__isnull=True).update(
        github_unknown_since=now
    )
    _note_error(scope, error)


def _note_error(scope: Scope, error: GitHubError) -> None:
    Scope.objects.filter(pk=scope.pk).update(github_error=error.user_message[:500])

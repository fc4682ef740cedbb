"""What one pass over a scope should write, move and report: pure, from three columns and a clock.

`reconcile` reads the rows and GitHub's list, asks here, and carries the answer out. Nothing here
queries, calls or waits, so a pass can be planned twice and tested without either.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from runners.drift_kinds import DriftKind
from runners.failure import Cause
from runners.github.types import Runner as GitHubRunner
from runners.mismatches import Mismatch, of_runner, of_stranger
from runners.reconcile_view import Conditions, OurRunner
from runners.states import PROCESS_ENDED, GitHubStatus, Phase, RunnerState

GONE_AT_GITHUB_GRACE = timedelta(seconds=90)
REGISTRATION_IN_FLIGHT = timedelta(seconds=60)


class Step(StrEnum):
    """What to do with one runner. The last five need GitHub to be without it first."""

    ACTIVATE = "activate"
    FAIL = "fail"
    FORCE = "force"
    RELEASE = "release"
    DELETE = "delete"
    RETIRE = "retire"
    FINISH = "finish"
    DELETE_AND_RELEASE = "delete-and-release"
    DELETE_AND_FAIL = "delete-and-fail"


class Deletion(StrEnum):
    """Whether GitHub is without a runner, or must be asked, or must not be asked yet."""

    DONE = "done"
    ASK = "ask"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Move:
    """One step of one runner. `overdue`: what to force it with when GitHub still says no."""

    pk: int
    step: Step
    deletion: Deletion = Deletion.DONE
    reason: str = ""
    cause: Cause = Cause.OTHER
    overdue: str = ""

    @property
    def calls(self) -> bool:
        """Whether it costs a call to GitHub."""
        return self.deletion is Deletion.ASK


@dataclass(frozen=True, slots=True)
class Plan:
    """One pass: what GitHub says of ours (`facts`), what to do, what does not agree."""

    facts: tuple[OurRunner, ...]
    moves: tuple[Move, ...]
    mismatches: tuple[Mismatch, ...]
    foreign: int


def plan(ours: Sequence[OurRunner], listed: Sequence[GitHubRunner], seen: Conditions) -> Plan:
    """Plan one pass. Moves that need no call come first: a spent budget must not keep them back."""
    matched, strangers = _match(ours, listed)
    after = [_with_facts(runner, matched.get(runner.pk), seen) for runner in ours]
    facts = tuple(now for was, now in zip(ours, after, strict=True) if now != was)
    moves = [move for runner in after if (move := next_move(runner, seen)) is not None]
    moves.sort(key=lambda move: move.calls)
    found = [each for runner in after for each in of_runner(runner, seen)]
    names = {runner.name.lower() for runner in ours if runner.state != RunnerState.REMOVED}
    found += [of_stranger(there, names, seen) for there in strangers]
    foreign = sum(each.kind == DriftKind.FOREIGN for each in found)
    return Plan(facts, tuple(moves), tuple(found), foreign)


def _match(
    ours: Iterable[OurRunner], listed: Iterable[GitHubRunner]
) -> tuple[dict[int, GitHubRunner], list[GitHubRunner]]:
    """GitHub's runners by our key, and those that are none of ours.

    Names are unique in a scope: the same name with another id is ours, from a lost answer.
    """
    ours = list(ours)
    by_id = {runner.github_id: runner for runner in ours if runner.github_id is not None}
    by_name = {r.name.lower(): r for r in ours if r.state != RunnerState.REMOVED}
    matched: dict[int, GitHubRunner] = {}
    unclaimed: list[GitHubRunner] = []
    for there in listed:
        runner = by_id.get(there.id)
        if runner is None:
            unclaimed.append(there)
        else:
            matched[runner.pk] = there
    strangers: list[GitHubRunner] = []
    for there in unclaimed:
        runner = by_name.get(there.name.lower())
        if runner is None or runner.pk in matched:
            strangers.append(there)
        else:
            matched[runner.pk] = there
    return matched, strangers


def _with_facts(runner: OurRunner, there: GitHubRunner | None, seen: Conditions) -> OurRunner:
    """The runner with what GitHub says of it now; the same object's equal when nothing changed."""
    if there is None:
        return _missing(runner, seen)
    status = GitHubStatus.ONLINE if there.online else GitHubStatus.OFFLINE
    labels = tuple(there.label_names)
    offline_since = runner.github_offline_since
    if there.online:
        offline_since = None
    elif offline_since is None:
        offline_since = seen.now
    told = replace(
        runner,
        github_id=there.id,
        github_status=status,
        github_busy=there.busy,
        github_labels=labels,
        github_offline_since=offline_since,
        github_deleted=False,  # it registered after all, or again
    )
    # Seen-at is written with a change only: ten thousand quiet runners cost no write
    return runner if told == runner else replace(told, github_seen_at=seen.now)


def _missing(runner: OurRunner, seen: Conditions) -> OurRunner:
    if not seen.complete or runner.github_id is None:
        return runner
    if runner.github_status == GitHubStatus.ABSENT:
        return runner
    if runner.registered_at and runner.registered_at > seen.now - REGISTRATION_IN_FLIGHT:
        return runner  # it may have registered after GitHub had made the list
    return replace(
        runner,
        github_status=GitHubStatus.ABSENT,
        github_busy=False,
        github_seen_at=seen.now,
    )


def next_move(runner: OurRunner, seen: Conditions) -> Move | None:
    """The one step this runner is due for now, if any."""
    if runner.state == RunnerState.PROVISIONING:
        return _of_provisioning(runner, seen)
    if runner.state == RunnerState.ACTIVE:
        return _of_active(runner, seen)
    if runner.state == RunnerState.DRAINING:
        return _of_draining(runner, seen)
    deletion = may_delete(runner, seen)
    if runner.state == RunnerState.REMOVING:
        overdue = _overdue(runner, seen)
        if overdue and runner.phase == Phase.BUSY and not runner.force:
            return Move(runner.pk, Step.FORCE, reason=overdue)
        return _unless_waiting(Move(runner.pk, Step.FINISH, deletion))
    if runner.state == RunnerState.FAILED and runner.holds_slot and runner.host_let_go:
        # A failed runner keeps its row and its reason; its slot and registration are given back
        if deletion is Deletion.WAIT:
            return Move(runner.pk, Step.RELEASE)
        return Move(runner.pk, Step.DELETE_AND_RELEASE, deletion)
    if runner.github_deleted:
        return None
    return _unless_waiting(Move(runner.pk, Step.DELETE, deletion))


def may_delete(runner: OurRunner, seen: Conditions) -> Deletion:
    """Whether GitHub may be asked to forget the runner now.

    A runner whose id we do not know may still register, or have done so in an answer that was lost:
    it is not there once a whole list without its name was read after its host had let go of it.
    """
    if runner.github_deleted:
        return Deletion.DONE
    if runner.github_id is None:
        before = runner.observed_at is None or runner.observed_at <= seen.now
        sure = seen.complete and before and runner.host_let_go
        return Deletion.DONE if sure else Deletion.WAIT
    if runner.github_status == GitHubStatus.ABSENT:
        return Deletion.DONE
    if runner.phase == Phase.BUSY and not runner.force:
        return Deletion.WAIT  # the host says a job runs: do not even ask
    return Deletion.ASK


def _unless_waiting(move: Move) -> Move | None:
    return None if move.deletion is Deletion.WAIT else move


def _of_provisioning(runner: OurRunner, seen: Conditions) -> Move | None:
    if runner.github_status == GitHubStatus.ONLINE:
        return Move(runner.pk, Step.ACTIVATE)
    platform = (runner.host_os, runner.host_architecture)
    if runner.phase == Phase.UNSEEN and seen.offered and platform not in seen.offered:
        words = " ".join(platform)
        return Move(
            runner.pk,
            Step.FAIL,
            reason=f"GitHub offers no runner application for {words}, so {runner.host_name} "
            "can't run one.",
            cause=Cause.NO_PACKAGE,
        )
    if runner.host_silent(seen.now):
        return _of_lost_host(runner, seen)
    if runner.phase == Phase.BUSY or (seen.quiesced and runner.phase == Phase.UNSEEN):
        return None
    begun_at = max(filter(None, (runner.state_changed_at, seen.back_at)))
    allowed = runner.start_deadline or seen.deadlines.start
    if seen.now < begun_at + allowed:
        return None
    return Move(
        runner.pk,
        Step.FAIL,
        reason=f"Not online at GitHub within {int(allowed.total_seconds())} s; the "
        f"host last said: {runner.phase.label.lower()}.",
        cause=Cause.START_DEADLINE,
    )


def _of_active(runner: OurRunner, seen: Conditions) -> Move | None:
    gone = seen.complete and runner.github_status == GitHubStatus.ABSENT
    ended = runner.phase in PROCESS_ENDED
    if runner.ephemeral and gone and ended:
        return Move(runner.pk, Step.RETIRE, reason="Finished its job")
    grace_over = runner.github_seen_at is not None and (
        seen.now - runner.github_seen_at >= GONE_AT_GITHUB_GRACE
    )
    mend = DriftKind.REMOVED_AT_GITHUB in seen.auto
    if gone and grace_over and mend and (ended or runner.phase == Phase.LISTENING):
        # GitHub took the registration away and no job is on it: its process serves nobody
        return Move(runner.pk, Step.RETIRE, reason="GitHub removed its registration")
    if runner.host_silent(seen.now):
        return _of_lost_host(runner, seen)
    return None


def _of_lost_host(runner: OurRunner, seen: Conditions) -> Move | None:
    """Replace a silent host's runner, past the deadline and only if GitHub agrees it does nothing.

    One that GitHub calls online works for somebody although its host does not reach us: it stays.
    """
    silent_at = runner.host_silent_at
    if silent_at is None or seen.now < silent_at + seen.deadlines.host_lost or not seen.complete:
        return None
    if runner.github_busy or runner.github_status == GitHubStatus.ONLINE:
        return None
    there = runner.github_id is not None and runner.github_status != GitHubStatus.ABSENT
    return Move(
        runner.pk,
        # The host's last word may have been "busy": GitHub, asked to delete, knows better
        Step.DELETE_AND_FAIL if there else Step.FAIL,
        Deletion.ASK if there and not runner.github_deleted else Deletion.DONE,
        reason=f"{runner.host_name} has been silent since {silent_at:%H:%M:%S} UTC and GitHub has "
        "no job on the runner.",
        cause=Cause.HOST_LOST,
    )


def _of_draining(runner: OurRunner, seen: Conditions) -> Move | None:
    deletion = may_delete(runner, seen)
    if runner.github_id is None and seen.complete and runner.phase != Phase.BUSY:
        deletion = Deletion.DONE
    overdue = _overdue(runner, seen)
    if deletion is Deletion.WAIT and not overdue:
        return None
    return Move(runner.pk, Step.RETIRE, deletion, overdue=overdue)


def _overdue(runner: OurRunner, seen: Conditions) -> str:
    """Why its job may be ended now; "" while its drain may wait."""
    deadline = runner.drain_deadline_at
    if deadline is None or seen.now < deadline:
        return ""
    return f"Drain deadline {deadline:%Y-%m-%d %H:%M:%S} UTC passed while a job ran"

"""The plan of a pass: pure, cheap moves first, and exact about names and deadlines."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from runners.drift_kinds import DriftKind
from runners.github.types import Runner as GitHubRunner
from runners.github.types import RunnerLabel
from runners.mismatches import OFFLINE_GRACE
from runners.reconcile_plan import Step, plan
from runners.reconcile_view import Conditions, Deadlines, OurRunner
from runners.states import GitHubStatus, Phase, RunnerState
from tests.factories import NOW

MARK = "fleetui-0a1b2c3d"
SEEN = Conditions(
    now=NOW, complete=True, deadlines=Deadlines(start=timedelta(seconds=120)), owner_mark=MARK
)
SECOND = timedelta(seconds=1)


def ours(pk=1, **facts):
    """An idle runner that GitHub calls online."""
    runner = OurRunner(
        pk=pk,
        name=f"linux-{pk}",
        state=RunnerState.ACTIVE,
        state_changed_at=NOW - timedelta(hours=1),
        ephemeral=True,
        force=False,
        labels=frozenset({"linux"}),
        phase=Phase.LISTENING,
        observed_at=NOW,
        runner_version="2.336.0",
        drain_deadline_at=None,
        registered_at=NOW - timedelta(hours=1),
        github_id=100 + pk,
        github_status=GitHubStatus.ONLINE,
        github_busy=False,
        github_labels=("self-hosted", "linux", MARK),
        github_seen_at=NOW - timedelta(minutes=5),
        github_offline_since=None,
        github_deleted=False,
        holds_slot=True,
        host_id=1,
        host_name="forge-01",
        host_os="linux",
        host_architecture="x64",
        host_silent_at=NOW + timedelta(minutes=1),
        host_retired=False,
    )
    return replace(runner, **facts)


def theirs(github_id, name, *, status="online", labels=("self-hosted", "linux", MARK)):
    """A runner as GitHub lists it."""
    named = tuple(RunnerLabel(label) for label in labels)
    return GitHubRunner(github_id, name, "linux", status, busy=False, labels=named)


def starting(**facts):
    known = {
        "state": RunnerState.PROVISIONING,
        "phase": Phase.UNSEEN,
        "github_id": None,
        "github_status": GitHubStatus.UNKNOWN,
        "registered_at": None,
    }
    return ours(**{**known, **facts})


def kinds(planned):
    return sorted(each.kind.value for each in planned.mismatches)


def steps(planned):
    return [move.step for move in planned.moves]


def test_the_same_pass_is_planned_the_same_twice_and_changes_nothing_it_was_given():
    rows = [ours(1), starting(pk=2, name="linux-2"), ours(3, state=RunnerState.DRAINING)]
    listed = [theirs(101, "linux-1", status="offline"), theirs(900, "ghost"), theirs(103, "x")]
    rows_before, listed_before = list(rows), list(listed)

    first = plan(rows, listed, SEEN)

    assert plan(rows, listed, SEEN) == first
    assert (rows, listed) == (rows_before, listed_before)


def test_a_plan_whose_facts_were_written_finds_no_facts_again():
    rows = [ours(1)]
    listed = [theirs(101, "linux-1", status="offline")]

    first = plan(rows, listed, SEEN)

    assert len(first.facts) == 1
    assert plan(list(first.facts), listed, SEEN).facts == ()


def test_moves_without_a_call_come_before_those_that_cost_one():
    draining = [ours(pk, state=RunnerState.DRAINING) for pk in (1, 2)]
    late = starting(pk=3, state_changed_at=NOW - timedelta(seconds=120))
    listed = [theirs(101, "linux-1"), theirs(102, "linux-2")]

    planned = plan([*draining, late], listed, SEEN)

    assert [move.calls for move in planned.moves] == [False, True, True]
    assert steps(planned)[0] is Step.FAIL


def test_moves_of_one_cost_keep_the_order_of_the_rows():
    rows = [ours(pk, state=RunnerState.DRAINING) for pk in (5, 2, 9)]
    listed = [theirs(100 + row.pk, row.name) for row in rows]

    assert [move.pk for move in plan(rows, listed, SEEN).moves] == [5, 2, 9]


def test_a_second_runner_of_our_name_is_a_duplicate_whatever_its_case():
    planned = plan([ours(1)], [theirs(101, "linux-1"), theirs(900, "LINUX-1")], SEEN)

    (found,) = planned.mismatches
    assert (found.kind, found.github_id) == (DriftKind.DUPLICATE_NAME, 900)
    assert planned.foreign == 0


def test_a_runner_of_our_name_with_another_id_is_ours_when_the_first_is_gone():
    planned = plan([ours(1)], [theirs(900, "linux-1")], SEEN)

    assert [(row.pk, row.github_id) for row in planned.facts] == [(1, 900)]
    assert kinds(planned) == []


def test_the_name_of_a_removed_runner_is_nobodys():
    gone = ours(1, state=RunnerState.REMOVED, github_deleted=True, holds_slot=False)

    planned = plan([gone], [theirs(900, "linux-1")], SEEN)

    assert kinds(planned) == ["ghost"]


@pytest.mark.parametrize(
    ("labels", "kind", "foreign"),
    [(("linux", MARK.upper()), "ghost", 0), (("linux",), "foreign", 1)],
)
def test_our_mark_tells_a_ghost_from_somebody_elses_runner(labels, kind, foreign):
    planned = plan([], [theirs(900, "left", labels=labels)], SEEN)

    assert (kinds(planned), planned.foreign) == ([kind], foreign)


@pytest.mark.parametrize(
    ("age", "found"), [(OFFLINE_GRACE - SECOND, []), (OFFLINE_GRACE, ["never-online"])]
)
def test_registered_and_never_online_is_drift_from_the_exact_second(age, found):
    row = starting(
        phase=Phase.STARTING,
        github_id=101,
        github_status=GitHubStatus.OFFLINE,
        github_offline_since=NOW - age,
        registered_at=NOW - age,
    )

    assert kinds(plan([row], [theirs(101, "linux-1", status="offline")], SEEN)) == found


@pytest.mark.parametrize(("seconds", "made"), [(119, []), (120, [Step.FAIL])])
def test_the_start_deadline_ends_at_its_exact_second(seconds, made):
    row = starting(state_changed_at=NOW - timedelta(seconds=seconds))

    assert steps(plan([row], [], SEEN)) == made


@pytest.mark.parametrize(("seconds", "made"), [(119, []), (120, [Step.FAIL])])
def test_the_start_deadline_counts_from_when_github_was_back(seconds, made):
    seen = replace(SEEN, back_at=NOW - timedelta(seconds=seconds))

    assert steps(plan([starting()], [], seen)) == made


def test_a_runner_held_back_while_quiesced_is_not_failed():
    quiesced = replace(SEEN, quiesced=True)

    assert steps(plan([starting()], [], quiesced)) == []


def test_a_runner_begun_before_the_quiesce_still_has_its_deadline():
    quiesced = replace(SEEN, quiesced=True)

    assert steps(plan([starting(phase=Phase.STARTING)], [], quiesced)) == [Step.FAIL]


def test_part_of_a_list_proves_no_absence():
    planned = plan([ours(1)], [], replace(SEEN, complete=False))

    assert (planned.facts, planned.moves, planned.mismatches) == ((), (), ())


@pytest.mark.parametrize(
    ("kind", "made"), [(None, []), (DriftKind.REMOVED_AT_GITHUB, [Step.RETIRE])]
)
def test_a_removed_registration_ends_its_runner_only_where_that_is_automatic(kind, made):
    row = ours(1, github_status=GitHubStatus.ABSENT, github_seen_at=NOW - timedelta(seconds=90))
    seen = replace(SEEN, auto=frozenset({kind} if kind else ()))

    planned = plan([row], [], seen)

    assert (steps(planned), kinds(planned)) == (made, ["removed-at-github"])


def test_a_busy_runner_whose_registration_is_gone_is_never_ended():
    row = ours(
        1,
        phase=Phase.BUSY,
        github_status=GitHubStatus.ABSENT,
        github_seen_at=NOW - timedelta(hours=1),
    )
    seen = replace(SEEN, auto=frozenset({DriftKind.REMOVED_AT_GITHUB}))

    assert steps(plan([row], [], seen)) == []

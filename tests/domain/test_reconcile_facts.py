"""What GitHub's list says is written down; what it does not say, or not now, is unknown."""

from datetime import timedelta

import pytest

from runners.github.errors import PartialResult, RateLimited
from runners.github.types import Listing
from runners.models import Event, Runner
from runners.registry import path_of
from runners.states import GitHubStatus, Phase, RunnerState
from tests.domain.passes import DOWN, LATER, registered, run_pass, stored
from tests.factories import NOW, RunnerFactory, ScopeFactory
from tests.fakes import FakeGitHub

pytestmark = pytest.mark.django_db


@pytest.fixture
def github():
    return FakeGitHub()


def test_what_github_says_is_written_down(github):
    runner = registered(github, online=False, busy=True, github_status="online")

    summary = run_pass(runner.scope, github)

    row = stored(runner)
    assert (row.github_status, row.github_busy, row.github_seen_at) == ("offline", True, NOW)
    assert row.github_labels == ["self-hosted", "Linux", "X64"]
    assert (summary.listed, summary.complete, summary.foreign, summary.error) == (1, True, 0, "")


def test_facts_that_did_not_change_are_not_written_again(github):
    runner = registered(github)
    run_pass(runner.scope, github)

    run_pass(runner.scope, github, now=LATER)

    assert stored(runner).github_seen_at == NOW
    assert stored(runner.scope).github_seen_at == LATER


def test_id_lost_with_an_answer_is_learned_by_name(github):
    runner = RunnerFactory(new=True)
    there = github.add_runner(path_of(runner.scope), runner.name.upper())

    run_pass(runner.scope, github)

    assert stored(runner).github_id == there.id


def test_runner_made_anew_under_its_name_is_still_ours(github):
    runner = RunnerFactory(starting=True, github_id=99999)
    there = github.add_runner(path_of(runner.scope), runner.name)

    summary = run_pass(runner.scope, github)

    assert (stored(runner).github_id, summary.foreign) == (there.id, 0)


def test_runners_of_others_are_counted_and_never_touched(github):
    runner = registered(github)
    scope = path_of(runner.scope)
    theirs = [github.add_runner(scope, f"theirs-{n}", online=n > 1) for n in range(3)]
    closed = RunnerFactory(removed=True, scope=runner.scope, github_id=None)
    theirs.append(github.add_runner(scope, closed.name))

    summary = run_pass(runner.scope, github)

    assert summary.foreign == stored(runner.scope).foreign_runners == 4
    assert [there for there in github.runners(scope) if there in theirs] == theirs
    assert "delete_self_hosted_runner" not in github.calls


def test_absence_from_a_whole_list_is_written_down_once(github):
    runner = RunnerFactory(busy=True)

    run_pass(runner.scope, github)
    run_pass(runner.scope, github, now=LATER)

    row = stored(runner)
    assert (row.github_status, row.github_busy, row.github_seen_at) == ("absent", False, NOW)
    assert row.state == RunnerState.ACTIVE


def test_absence_says_nothing_of_a_runner_that_registered_a_moment_ago(github):
    runner = RunnerFactory(starting=True, registered_at=NOW - timedelta(seconds=59))

    run_pass(runner.scope, github)
    assert stored(runner).github_status == GitHubStatus.OFFLINE

    run_pass(runner.scope, github, now=NOW + timedelta(seconds=1))
    assert stored(runner).github_status == GitHubStatus.ABSENT


def incomplete(github, how):
    """Have GitHub give only part of its list."""
    give = github.list_self_hosted_runners

    def in_part(scope, *, name=None):
        items = give(scope, name=name).items
        if how == "moved while it was read":
            return Listing(items, complete=False, total_count=len(items) + 1)
        raise PartialResult(items, DOWN)

    github.list_self_hosted_runners = in_part


@pytest.mark.parametrize("how", ["moved while it was read", "cut off"])
@pytest.mark.parametrize(
    "traits",
    [
        {"phase": Phase.EXITED},
        {"phase": Phase.LISTENING, "github_status": "absent"},
        {"draining": True, "github_id": None},
        {"removing": True, "github_id": None, "phase": Phase.GONE},
        {"failed": True, "github_id": None, "phase": Phase.FAILED},
    ],
)
def test_list_that_came_in_part_never_reads_as_absence(how, traits, github):
    runner = RunnerFactory(github_seen_at=NOW - timedelta(hours=1), **traits)
    seen = registered(github, scope=runner.scope, github_status="offline")
    before = stored(runner)
    incomplete(github, how)

    summary = run_pass(runner.scope, github)

    row = stored(runner)
    assert (row.state, row.github_status) == (before.state, before.github_status)
    assert row.github_deleted_at is None
    assert not summary.complete
    assert stored(seen).github_status == GitHubStatus.ONLINE


def test_list_that_was_cut_off_makes_github_unknown_and_one_that_moved_does_not(github):
    scope = ScopeFactory()
    incomplete(github, "cut off")
    run_pass(scope, github)
    assert stored(scope).github_unknown_since == NOW
    assert "502" in stored(scope).github_error

    other, elsewhere = ScopeFactory(), FakeGitHub()
    incomplete(elsewhere, "moved while it was read")
    run_pass(other, elsewhere)
    assert stored(other).github_unknown_since is None


def test_part_of_a_list_still_proves_presence(github):
    runner = registered(github, starting=True)
    incomplete(github, "cut off")

    summary = run_pass(runner.scope, github)

    assert stored(runner).state == RunnerState.ACTIVE
    assert (summary.moved, str(summary)) == (
        1,
        "1 listed (in part), 0 not ours, 1 moved, 0 deleted, 0 drifts, 0 mended",
    )


# GitHub is away.


def test_while_github_is_down_nothing_moves_and_unknown_keeps_its_beginning(github):
    scope = ScopeFactory()
    for state in RunnerState:
        RunnerFactory(scope=scope, state=state, phase=Phase.GONE, drain_deadline_at=NOW)
    RunnerFactory(scope=scope, state_changed_at=NOW - timedelta(days=1), new=True)
    before = list(Runner.objects.order_by("pk").values())
    github.fail_next("list_self_hosted_runners", DOWN, times=2)

    summary = run_pass(scope, github)
    run_pass(scope, github, now=LATER)

    assert list(Runner.objects.order_by("pk").values()) == before
    assert not Event.objects.exists()
    assert str(summary) == DOWN.user_message
    assert not summary.complete
    row = stored(scope)
    assert (row.github_unknown_since, row.github_error) == (NOW, DOWN.user_message)
    assert row.github_seen_at is None


def test_github_coming_back_ends_the_unknown(github):
    scope = ScopeFactory(github_unknown_since=NOW - timedelta(hours=1), github_error="Down")

    run_pass(scope, github)

    row = stored(scope)
    assert (row.github_unknown_since, row.github_error, row.github_seen_at) == (None, "", NOW)


def test_spent_budget_ends_the_pass_after_the_moves_that_need_no_call(github):
    scope = ScopeFactory()
    draining = [registered(github, scope=scope, draining=True) for _ in range(3)]
    starting = registered(github, scope=scope, starting=True)
    github.fail_next("delete_self_hosted_runner", RateLimited(LATER), times=3)

    run_pass(scope, github)

    assert github.calls.count("delete_self_hosted_runner") == 1
    assert stored(starting).state == RunnerState.ACTIVE
    assert {stored(runner).state for runner in draining} == {RunnerState.DRAINING}
    assert "rate limit" in stored(scope).github_error

"""Where a pass moves each runner: one step at a time towards what is wanted."""

from datetime import timedelta

import pytest

from runners import fleet
from runners.models import Event, Runner
from runners.registry import path_of
from runners.states import Phase, RunnerState
from tests.domain.passes import DOWN, LATER, at_github, registered, run_pass, stored
from tests.factories import NOW, RunnerFactory, RunnerPackageFactory, ScopeFactory
from tests.fakes import FakeGitHub

pytestmark = pytest.mark.django_db


@pytest.fixture
def github():
    return FakeGitHub()


def actions():
    return list(Event.objects.order_by("pk").values_list("action", flat=True))


# Starting.


def test_starting_runner_that_github_sees_online_is_active(github):
    runner = registered(github, starting=True)

    summary = run_pass(runner.scope, github)

    assert (stored(runner).state, stored(runner).online_at, summary.moved) == ("active", NOW, 1)
    assert actions() == ["runner.active"]


def late_starter(**traits):
    began = NOW - timedelta(seconds=120)
    return RunnerFactory(**{"new": True, "state_changed_at": began, **traits})


def test_runner_not_online_in_time_has_failed_with_what_its_host_said_last(github):
    runner = late_starter(phase=Phase.FETCHING)

    run_pass(runner.scope, github)

    row = stored(runner)
    assert row.state == RunnerState.FAILED
    assert "within 120 s" in row.state_reason
    assert "fetching the runner package" in row.state_reason


@pytest.mark.parametrize(
    "traits",
    [
        {"state_changed_at": NOW - timedelta(seconds=119)},
        {"phase": Phase.BUSY},
        {"host__offline_after": NOW},
        {"host__enrolling": True},
    ],
)
def test_runner_within_its_deadline_busy_or_on_a_silent_host_is_waited_for(traits, github):
    runner = late_starter(**traits)

    run_pass(runner.scope, github)

    assert stored(runner).state == RunnerState.PROVISIONING


def test_host_that_github_has_no_application_for_is_told_apart_at_once(github):
    runner = RunnerFactory(new=True, host__arm64=True, state_changed_at=NOW)
    RunnerPackageFactory(scope=runner.scope)

    run_pass(runner.scope, github)

    assert stored(runner).state == RunnerState.FAILED
    assert "no runner application for linux arm64" in stored(runner).state_reason


def test_packages_not_known_yet_fail_nothing(github):
    runner = RunnerFactory(new=True, state_changed_at=NOW)
    RunnerPackageFactory()

    run_pass(runner.scope, github)

    assert stored(runner).state == RunnerState.PROVISIONING


# Working.


@pytest.mark.parametrize("phase", [Phase.EXITED, Phase.FAILED, Phase.GONE])
def test_ephemeral_runner_gone_at_github_whose_process_ended_is_done(phase, github):
    runner = RunnerFactory(phase=phase)

    run_pass(runner.scope, github)

    row = stored(runner)
    assert (row.state, row.state_reason) == ("removing", "Finished its job")
    assert row.github_deleted_at == NOW
    assert actions() == ["runner.deregister", "runner.removing"]


@pytest.mark.parametrize(
    ("seconds", "state"), [(89, RunnerState.ACTIVE), (90, RunnerState.REMOVING)]
)
def test_listener_whose_registration_vanished_is_removed_after_a_grace(seconds, state, github):
    runner = RunnerFactory()
    run_pass(runner.scope, github)

    run_pass(runner.scope, github, now=NOW + timedelta(seconds=seconds))

    assert stored(runner).state == state


@pytest.mark.parametrize("ephemeral", [True, False])
def test_busy_runner_is_left_alone_even_when_github_no_longer_has_it(ephemeral, github):
    heard = NOW + timedelta(hours=2)
    runner = RunnerFactory(busy=True, ephemeral=ephemeral, host__offline_after=heard)

    for minutes in range(0, 60, 5):
        run_pass(runner.scope, github, now=NOW + timedelta(minutes=minutes))

    assert stored(runner).state == RunnerState.ACTIVE
    assert "delete_self_hosted_runner" not in github.calls


def test_persistent_runner_whose_process_ended_is_not_taken_for_done(github):
    runner = RunnerFactory(persistent=True, phase=Phase.EXITED)

    run_pass(runner.scope, github)

    assert stored(runner).state == RunnerState.ACTIVE


# Draining.


def test_idle_draining_runner_is_deleted_at_github_before_its_process_is_stopped(github):
    runner = registered(github, draining=True, state_reason="Kernel")

    summary = run_pass(runner.scope, github)

    row = stored(runner)
    assert at_github(runner, github) == []
    assert (row.state, row.state_reason, row.github_deleted_at) == ("removing", "Kernel", NOW)
    assert (row.github_status, summary.deleted, summary.moved) == ("absent", 1, 1)
    assert actions() == ["runner.deregister", "runner.removing"]


def test_job_that_github_knows_of_keeps_the_runner(github):
    runner = registered(github, draining=True, busy=True)

    run_pass(runner.scope, github)

    assert github.calls[-1] == "delete_self_hosted_runner"  # refused with 422
    assert stored(runner).state == RunnerState.DRAINING
    assert at_github(runner, github) == [runner.name]
    assert stored(runner.scope).github_error == ""


def test_job_that_only_the_host_knows_of_keeps_the_runner_unasked(github):
    runner = registered(github, draining=True, phase=Phase.BUSY)

    run_pass(runner.scope, github)

    assert "delete_self_hosted_runner" not in github.calls
    assert stored(runner).state == RunnerState.DRAINING


def test_draining_runner_leaves_once_its_job_is_done(github):
    runner = registered(github, draining=True, busy=True, phase=Phase.BUSY)
    run_pass(runner.scope, github)
    github.set_runner(path_of(runner.scope), runner.name, busy=False)
    Runner.objects.filter(pk=runner.pk).update(phase=Phase.LISTENING)

    run_pass(runner.scope, github, now=LATER)

    assert stored(runner).state == RunnerState.REMOVING


def test_draining_runner_that_github_already_dropped_costs_no_call(github):
    runner = RunnerFactory(draining=True, state_reason="")

    run_pass(runner.scope, github)

    assert github.calls == ["list_self_hosted_runners"]
    assert (stored(runner).state, stored(runner).state_reason) == ("removing", "Drained")


def test_not_found_on_deletion_counts_as_done(github):
    runner = registered(github, draining=True)
    list_ = github.list_self_hosted_runners

    def listed_and_dropped(scope, *, name=None):
        answer = list_(scope, name=name)
        github.drop_runner(scope, runner.name)
        return answer

    github.list_self_hosted_runners = listed_and_dropped

    run_pass(runner.scope, github)

    assert stored(runner).state == RunnerState.REMOVING


@pytest.mark.parametrize(("seconds", "forced"), [(-1, False), (0, True), (60, True)])
def test_deadline_ends_the_runner_by_force_and_says_so(seconds, forced, github):
    runner = registered(
        github,
        draining=True,
        busy=True,
        drain_deadline_at=NOW - timedelta(seconds=seconds),
    )

    run_pass(runner.scope, github)

    row = stored(runner)
    assert (row.state == RunnerState.REMOVING) == row.force == forced
    assert ("deadline" in row.state_reason) == forced


def test_deletion_that_fails_is_retried_until_it_works(github):
    runner = registered(github, draining=True)
    github.fail_next("delete_self_hosted_runner", DOWN, times=3)

    for _ in range(3):
        run_pass(runner.scope, github)
        assert (stored(runner).state, stored(runner).github_id) == ("draining", runner.github_id)
        assert stored(runner.scope).github_error == DOWN.user_message
    run_pass(runner.scope, github)

    assert stored(runner).state == RunnerState.REMOVING
    assert at_github(runner, github) == []


def test_one_runners_trouble_does_not_keep_the_others(github):
    scope = ScopeFactory()
    runners = [registered(github, scope=scope, draining=True) for _ in range(5)]
    delete = github.delete_self_hosted_runner

    def third_fails(path, runner_id):
        if runner_id == runners[2].github_id:
            raise DOWN
        delete(path, runner_id)

    github.delete_self_hosted_runner = third_fails

    summary = run_pass(scope, github)

    assert summary.deleted == 4
    assert [stored(runner).state for runner in runners] == [
        *["removing"] * 2,
        "draining",
        *["removing"] * 2,
    ]


def test_runner_that_never_registered_is_removed_without_claiming_it_was_deleted(github):
    runner = RunnerFactory(new=True, state=RunnerState.DRAINING)

    run_pass(runner.scope, github)

    assert (stored(runner).state, stored(runner).github_deleted_at) == ("removing", None)
    assert github.calls == ["list_self_hosted_runners"]


# Removing.


def test_removed_runner_is_closed_once_github_and_host_both_let_go(github):
    runner = registered(github, removing=True, phase=Phase.STOPPING, state_reason="Drained")

    run_pass(runner.scope, github)
    assert (stored(runner).state, at_github(runner, github)) == ("removing", [])
    Runner.objects.filter(pk=runner.pk).update(phase=Phase.GONE)
    run_pass(runner.scope, github)

    row = stored(runner)
    assert (row.state, row.slot, row.state_reason) == ("removed", None, "Drained")
    assert row.removed_at == NOW


def test_forced_runner_is_deleted_even_while_its_host_calls_it_busy(github):
    runner = registered(github, removing=True, force=True, phase=Phase.BUSY)

    run_pass(runner.scope, github)

    assert at_github(runner, github) == []
    assert stored(runner).state == RunnerState.REMOVING


def test_removing_a_runner_that_still_works_waits(github):
    runner = registered(github, removing=True, phase=Phase.BUSY)

    run_pass(runner.scope, github)

    assert at_github(runner, github) == [runner.name]


def test_busy_refusal_that_lingers_after_the_job_is_waited_out(github):
    runner = registered(github, removing=True, force=True, busy=True, phase=Phase.GONE)

    run_pass(runner.scope, github)
    assert stored(runner).state == RunnerState.REMOVING
    github.set_runner(path_of(runner.scope), runner.name, busy=False)
    run_pass(runner.scope, github)

    assert stored(runner).state == RunnerState.REMOVED


def test_runner_of_a_retired_host_is_closed_without_waiting_for_it(github):
    runner = registered(github, removing=True, host__retired=True)

    run_pass(runner.scope, github)

    assert (stored(runner).state, at_github(runner, github)) == ("removed", [])


def test_late_registration_of_a_closed_runner_is_deleted(github):
    runner = registered(github, removed=True, github_deleted_at=None)

    run_pass(runner.scope, github)

    assert at_github(runner, github) == []
    assert stored(runner).github_deleted_at == NOW
    assert stored(runner).state == RunnerState.REMOVED


def test_runner_that_registers_after_it_was_drained_is_not_left_behind(github):
    runner = RunnerFactory(new=True, persistent=True, state=RunnerState.DRAINING, registered_at=NOW)
    run_pass(runner.scope, github)
    assert stored(runner).state == RunnerState.REMOVING

    github.add_runner(path_of(runner.scope), runner.name)  # config.sh was under way
    run_pass(runner.scope, github)
    assert at_github(runner, github) == []
    Runner.objects.filter(pk=runner.pk).update(phase=Phase.GONE)
    run_pass(runner.scope, github)

    assert stored(runner).state == RunnerState.REMOVED


def test_runner_that_registers_once_more_after_its_deletion_is_deleted_once_more(github):
    runner = registered(github, removing=True)
    run_pass(runner.scope, github)
    github.add_runner(path_of(runner.scope), runner.name)

    run_pass(runner.scope, github, now=LATER)

    assert at_github(runner, github) == []
    assert stored(runner).github_deleted_at == LATER


def test_unknown_registration_is_only_absent_in_a_list_read_after_the_host_let_go(github):
    runner = RunnerFactory(
        removing=True, github_id=None, phase=Phase.GONE, observed_at=NOW + timedelta(seconds=1)
    )

    run_pass(runner.scope, github)
    assert stored(runner).state == RunnerState.REMOVING
    run_pass(runner.scope, github, now=LATER)

    assert stored(runner).state == RunnerState.REMOVED


# Failed.


def test_failed_runner_keeps_its_reason_and_gives_back_slot_and_registration(github):
    runner = registered(github, failed=True, phase=Phase.GONE, state_reason="No disk")

    summary = run_pass(runner.scope, github)

    row = stored(runner)
    assert (row.state, row.state_reason, row.slot) == ("failed", "No disk", None)
    assert at_github(runner, github) == []
    assert (row.github_deleted_at, summary.deleted, summary.moved) == (NOW, 1, 1)


def test_failed_runner_holds_its_slot_until_its_host_let_go(github):
    runner = registered(github, failed=True, phase=Phase.FAILED)

    run_pass(runner.scope, github)

    assert (stored(runner).slot, at_github(runner, github)) == (1, [])


def test_failed_runner_that_is_done_with_is_not_looked_at_again(github, django_assert_num_queries):
    scope = ScopeFactory()
    for _ in range(30):
        RunnerFactory(scope=scope, failed=True, slot=None, github_deleted_at=NOW)

    fleet.get()
    # Our rows (none), the fleet's, packages, labels, the scope's, and drift to note and to mend
    with django_assert_num_queries(8):
        run_pass(scope, github)

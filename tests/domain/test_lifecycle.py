"""Drain and its stop, deregistration, failure, end and labels, with their refusals and races."""

from datetime import timedelta

import pytest

from runners import lifecycle
from runners.errors import IllegalTransition, InvalidRequest, StaleState
from runners.failure import Cause
from runners.models import Event, Host, Pool, Runner
from runners.states import RunnerState
from tests.factories import NOW, PoolFactory, RunnerFactory

pytestmark = pytest.mark.django_db

DEADLINE = NOW + timedelta(minutes=30)
OVER = (RunnerState.REMOVING, RunnerState.REMOVED)


def reconcile_of(runner):
    return ("runners.tasks.reconcile_scope", (runner.scope_id,))


def stored(runner):
    return Runner.objects.get(pk=runner.pk)


def move_elsewhere(runner, state):
    """The second writer."""
    Runner.objects.filter(pk=runner.pk).update(state=state)


@pytest.mark.parametrize("state", [RunnerState.PROVISIONING, RunnerState.ACTIVE])
def test_drain_moves_the_runner_keeps_its_deadline_and_wakes_the_worker(state, ada, queued):
    runner = RunnerFactory(state=state)

    event = lifecycle.drain(runner, by=ada, reason="Kernel", now=NOW, deadline_at=DEADLINE)

    assert (event.was, event.became, event.reason) == (state, "draining", "Kernel")
    assert stored(runner).state == RunnerState.DRAINING
    assert stored(runner).drain_deadline_at == runner.drain_deadline_at == DEADLINE
    assert queued() == [reconcile_of(runner)]


def test_drain_of_a_draining_runner_changes_its_deadline_and_reason(ada):
    runner = RunnerFactory(draining=True, state_reason="Kernel")

    event = lifecycle.drain(runner, by=ada, reason="Disk", now=NOW, deadline_at=DEADLINE)

    assert event.action == "runner.drain-update"
    assert (stored(runner).drain_deadline_at, stored(runner).state_reason) == (DEADLINE, "Disk")
    assert stored(runner).state == RunnerState.DRAINING


def test_drain_update_loses_against_a_writer_in_between(ada):
    runner = RunnerFactory(draining=True)
    move_elsewhere(runner, RunnerState.REMOVING)

    with pytest.raises(StaleState):
        lifecycle.drain(runner, by=ada, reason="", now=NOW, deadline_at=DEADLINE)

    assert not Event.objects.exists()
    assert stored(runner).drain_deadline_at is None


@pytest.mark.parametrize("state", [*OVER, RunnerState.FAILED])
def test_drain_of_a_runner_that_is_over_is_refused(state, ada, queued):
    runner = RunnerFactory(state=state)

    with pytest.raises(IllegalTransition):
        lifecycle.drain(runner, by=ada, reason="", now=NOW, deadline_at=DEADLINE)

    assert stored(runner).drain_deadline_at is None
    assert queued() == []


def test_drain_that_loses_its_race_writes_nothing_and_wakes_nobody(ada, queued):
    runner = RunnerFactory()
    move_elsewhere(runner, RunnerState.FAILED)

    with pytest.raises(StaleState):
        lifecycle.drain(runner, by=ada, reason="", now=NOW, deadline_at=DEADLINE)

    assert (stored(runner).state, stored(runner).drain_deadline_at) == ("failed", None)
    assert not Event.objects.exists()
    assert queued() == []


def test_reconcile_is_queued_once_however_often_it_is_asked_for(ada, queued):
    first = RunnerFactory()
    second = RunnerFactory(scope=first.scope)

    for runner in (first, second):
        lifecycle.drain(runner, by=ada, reason="", now=NOW)

    assert queued() == [reconcile_of(first)]


def test_stopped_drain_gives_the_runner_work_again(ada):
    runner = RunnerFactory(draining=True, drain_deadline_at=DEADLINE)

    lifecycle.stop_drain(runner, by=ada, reason="Not today", now=NOW)

    assert (stored(runner).state, stored(runner).drain_deadline_at) == ("active", None)
    assert runner.drain_deadline_at is None


def test_stopped_drain_of_a_runner_never_online_lets_it_go_on_starting(ada):
    runner = RunnerFactory(draining=True, online_at=None)

    lifecycle.stop_drain(runner, by=ada, reason="", now=NOW)

    assert (stored(runner).state, stored(runner).state_changed_at) == ("provisioning", NOW)


def test_drain_cannot_be_stopped_once_github_has_forgotten_the_runner(ada):
    runner = RunnerFactory(draining=True)
    Runner.objects.filter(pk=runner.pk).update(github_deleted_at=NOW)

    with pytest.raises(InvalidRequest, match="already deregistered"):
        lifecycle.stop_drain(runner, by=ada, reason="", now=NOW)

    assert stored(runner).state == RunnerState.DRAINING
    assert not Event.objects.exists()


@pytest.mark.parametrize("state", [s for s in RunnerState if s != RunnerState.DRAINING])
def test_only_a_draining_runner_can_stop_draining(state, ada):
    runner = RunnerFactory(state=state)

    with pytest.raises(IllegalTransition):
        lifecycle.stop_drain(runner, by=ada, reason="", now=NOW)


def test_deregistering_without_force_is_a_drain(ada, queued):
    runner = RunnerFactory(busy=True)

    lifecycle.deregister(runner, by=ada, reason="", now=NOW)

    assert (stored(runner).state, stored(runner).force) == ("draining", False)
    assert queued() == [reconcile_of(runner)]


def test_deregistering_a_draining_runner_keeps_its_deadline(ada):
    runner = RunnerFactory(draining=True, drain_deadline_at=DEADLINE)

    lifecycle.deregister(runner, by=ada, reason="Gone soon", now=NOW)

    assert stored(runner).drain_deadline_at == DEADLINE


def test_deregistering_a_failed_runner_removes_it(ada, queued):
    runner = RunnerFactory(failed=True)

    lifecycle.deregister(runner, by=ada, reason="", now=NOW)

    assert stored(runner).state == RunnerState.REMOVING
    assert queued() == [reconcile_of(runner)]


@pytest.mark.parametrize(
    "state", [s for s in RunnerState if s not in (RunnerState.REMOVING, RunnerState.REMOVED)]
)
def test_force_ends_the_runner_now_with_its_reason(state, ada, queued):
    runner = RunnerFactory(state=state)

    event = lifecycle.deregister(runner, by=ada, reason="Mining", now=NOW, force=True)

    assert (event.became, event.reason) == ("removing", "Mining")
    assert (stored(runner).state, stored(runner).force, runner.force) == ("removing", True, True)
    assert queued() == [reconcile_of(runner)]


def test_force_on_a_runner_being_removed_is_recorded_and_told_to_its_host(ada):
    runner = RunnerFactory(removing=True)
    version = runner.host.wanted_version

    event = lifecycle.deregister(runner, by=ada, reason="Hangs", now=NOW, force=True)

    assert (event.action, stored(runner).force) == ("runner.force", True)
    assert Host.objects.get().wanted_version == version + 1


def test_force_without_a_reason_is_refused(ada):
    runner = RunnerFactory(busy=True)

    with pytest.raises(InvalidRequest, match="Say why"):
        lifecycle.deregister(runner, by=ada, reason="  ", now=NOW, force=True)

    assert (stored(runner).state, stored(runner).force) == ("active", False)


@pytest.mark.parametrize("force", [False, True])
def test_removed_runner_cannot_be_deregistered_again(force, ada):
    runner = RunnerFactory(removed=True)

    with pytest.raises(IllegalTransition):
        lifecycle.deregister(runner, by=ada, reason="Again", now=NOW, force=force)

    assert not stored(runner).force


def test_force_that_loses_its_race_leaves_no_mark(ada):
    runner = RunnerFactory()
    move_elsewhere(runner, RunnerState.REMOVED)

    with pytest.raises(StaleState):
        lifecycle.deregister(runner, by=ada, reason="Mining", now=NOW, force=True)

    assert not stored(runner).force
    assert not Event.objects.exists()


def test_runner_seen_online_is_active_and_clears_its_pools_back_off(ada):
    pool = PoolFactory(consecutive_failures=3, backoff_until=DEADLINE)
    runner = RunnerFactory(starting=True, pool=pool)

    lifecycle.activate(runner, now=NOW, by=ada)

    assert (stored(runner).state, stored(runner).online_at, runner.online_at) == (
        "active",
        NOW,
        NOW,
    )
    pool.refresh_from_db()
    assert (pool.consecutive_failures, pool.backoff_until) == (0, None)


def test_runner_without_a_pool_can_become_active(ada):
    runner = RunnerFactory(starting=True)

    lifecycle.activate(runner, now=NOW, by=ada)

    assert stored(runner).state == RunnerState.ACTIVE


def test_each_failure_holds_the_pool_back_longer_up_to_ten_minutes(ada):
    pool = PoolFactory()
    waits = []
    for slot in range(1, 13):
        runner = RunnerFactory(starting=True, pool=pool, slot=slot)
        lifecycle.fail(runner, cause=Cause.OTHER, reason="Image is broken", now=NOW, by=ada)
        pool.refresh_from_db()
        waits.append((pool.backoff_until - NOW).total_seconds())

    assert waits == [10, 20, 40, 80, 160, 320, 600, 600, 600, 600, 600, 600]
    assert pool.consecutive_failures == 12


def test_failure_keeps_its_reason_and_wakes_the_worker(ada, queued):
    runner = RunnerFactory(starting=True)

    lifecycle.fail(runner, cause=Cause.OTHER, reason="SHA-256 differs", now=NOW, by=ada)

    assert (stored(runner).state, stored(runner).state_reason) == ("failed", "SHA-256 differs")
    assert queued() == [reconcile_of(runner)]
    assert not Pool.objects.exists()


def test_failure_that_loses_its_race_does_not_hold_the_pool_back(ada):
    pool = PoolFactory()
    runner = RunnerFactory(starting=True, pool=pool)
    move_elsewhere(runner, RunnerState.REMOVING)

    with pytest.raises(StaleState):
        lifecycle.fail(runner, cause=Cause.OTHER, reason="", now=NOW, by=ada)

    pool.refresh_from_db()
    assert (pool.consecutive_failures, pool.backoff_until) == (0, None)


def test_finish_gives_the_slot_back(ada):
    runner = RunnerFactory(removing=True)

    lifecycle.finish(runner, reason="Done", now=NOW, by=ada)

    row = stored(runner)
    assert (row.state, row.slot, row.removed_at) == ("removed", None, NOW)
    assert runner.slot is None


def test_labels_of_a_persistent_runner_are_changed_and_carried_to_github(ada, queued):
    runner = RunnerFactory(persistent=True, labels=["self-hosted", "old"])

    event = lifecycle.edit_labels(runner, ["gpu", "self-hosted"], by=ada, reason="", now=NOW)

    assert {label.name for label in runner.labels.all()} == {"gpu", "self-hosted"}
    assert (event.was, event.became) == ("old, self-hosted", "gpu, self-hosted")
    assert queued() == [("runners.tasks.push_labels", (runner.pk,))]


def test_labels_longer_than_an_events_column_are_cut_there_only(ada):
    runner = RunnerFactory(persistent=True)
    labels = [f"label-{number:03d}-{'x' * 40}" for number in range(50)]

    event = lifecycle.edit_labels(runner, labels, by=ada, reason="", now=NOW)

    assert len(event.became) == 200
    assert runner.labels.count() == 50


def test_labels_of_an_ephemeral_runner_are_fixed(ada, queued):
    with pytest.raises(InvalidRequest, match="ephemeral"):
        lifecycle.edit_labels(RunnerFactory(), ["gpu"], by=ada, reason="", now=NOW)

    assert queued() == []


@pytest.mark.parametrize(
    "state", [s for s in RunnerState if s not in (RunnerState.PROVISIONING, RunnerState.ACTIVE)]
)
def test_labels_of_a_runner_on_its_way_out_are_fixed(state, ada):
    runner = RunnerFactory(persistent=True, state=state)

    with pytest.raises(InvalidRequest):
        lifecycle.edit_labels(runner, ["gpu"], by=ada, reason="", now=NOW)

from datetime import timedelta

import pytest
from django.db import DataError, InterfaceError, OperationalError, ProgrammingError
from django_q.models import OrmQ

from runners import leases, loop, queue
from runners.management.commands import fleet_loop
from runners.models import Beat, Event
from runners.states import RunnerState
from tests.factories import RunnerFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def beat():
    return loop.Loop(
        owner="here:1",
        recurring=loop.recurring(reconcile_seconds=30, reconcile_active_seconds=5),
        beat_seconds=5,
        canary_seconds=10,
        worker_silent_seconds=60,
    )


def queued() -> list[str]:
    return [row.func() for row in OrmQ.objects.order_by("pk")]


def run_the_queue(now) -> None:
    """What a worker does, as far as the loop can tell."""
    for row in OrmQ.objects.order_by("pk"):
        if row.func() == loop.CANARY_TASK:
            loop.answer_canary(row.args()[0], now)
        row.delete()


def test_first_beat_queues_all_work_and_a_canary(beat, now):
    tasks = beat.step(now)

    assert tasks == [*(each.task for each in beat.recurring), loop.CANARY_TASK]
    assert queued() == tasks


def test_every_task_the_loop_queues_exists(beat, now):
    from runners import tasks

    names = [name.rpartition(".") for name in beat.step(now)]

    assert {module for module, _, _ in names} == {"runners.tasks"}
    assert all(callable(getattr(tasks, name)) for _, _, name in names)


def test_work_that_still_waits_is_not_queued_again(beat, now):
    before = beat.step(now)

    assert beat.step(now + timedelta(minutes=5)) == []
    assert queued() == before


def test_work_is_queued_again_when_its_time_has_come(beat, now):
    first = beat.step(now)
    run_the_queue(now)

    assert beat.step(now + timedelta(seconds=4)) == []
    assert beat.step(now + timedelta(seconds=60)) == first


def test_loop_without_the_lease_only_shows_that_it_lives(beat, now):
    leases.acquire(loop.LOOP, "there:2", 60, now)

    assert beat.step(now) == []
    assert queued() == []
    assert Beat.objects.get(name=loop.LOOP).at == now


def test_stopped_loop_lets_another_take_over_at_once(beat, now):
    beat.step(now)

    beat.stop()

    assert leases.acquire(loop.LOOP, "there:2", 60, now)


def test_reconcile_is_quick_while_a_runner_moves(beat, now):
    RunnerFactory(state=RunnerState.DRAINING)
    beat.step(now)
    run_the_queue(now)

    assert "runners.tasks.reconcile_due_scopes" in beat.step(now + timedelta(seconds=5))


def test_reconcile_takes_its_time_while_nothing_moves(beat, now):
    RunnerFactory(state=RunnerState.ACTIVE)
    beat.step(now)
    run_the_queue(now)

    assert "runners.tasks.reconcile_due_scopes" not in beat.step(now + timedelta(seconds=29))


def test_canary_that_came_back_is_the_workers_beat(beat, now):
    beat.step(now)

    run_the_queue(now + timedelta(seconds=2))

    assert Beat.objects.get(name=loop.WORKER).at == now + timedelta(seconds=2)
    assert not loop.read_pulse().waiting


def test_restart_is_asked_for_when_the_canary_stays_in_the_queue(beat, now):
    beat.step(now)

    beat.step(now + timedelta(seconds=61))

    assert Beat.objects.get(name=loop.WORKER_RESTART).at == now + timedelta(seconds=61)
    event = Event.objects.get()
    assert event.action == "worker.restart"
    assert event.reason == "No task has been run since 2026-11-23 12:00:00 UTC"


def test_restart_is_not_asked_for_at_every_beat(beat, now):
    beat.step(now)

    for seconds in range(61, 600, 5):
        beat.step(now + timedelta(seconds=seconds))

    assert Event.objects.count() == 1


def test_no_restart_while_canaries_come_back(beat, now):
    for seconds in range(0, 600, 5):
        beat.step(now + timedelta(seconds=seconds))
        run_the_queue(now + timedelta(seconds=seconds))

    assert not Beat.objects.filter(name=loop.WORKER_RESTART).exists()


def test_canary_that_was_lost_is_sent_again(beat, now):
    beat.step(now)
    OrmQ.objects.all().delete()

    assert loop.CANARY_TASK in beat.step(now + timedelta(seconds=5))


def test_clock_of_the_worker_does_not_matter(beat, now):
    beat.step(now)
    run_the_queue(now - timedelta(hours=1))

    beat.step(now + timedelta(seconds=61))

    assert not Beat.objects.filter(name=loop.WORKER_RESTART).exists()


def test_quiet_beat_costs_few_queries(beat, now, django_assert_num_queries):
    beat.step(now)
    run_the_queue(now)

    with django_assert_num_queries(5):
        beat.step(now + timedelta(seconds=4))


def test_handed_back_tasks_can_be_taken_at_once(beat, now):
    beat.step(now)
    OrmQ.objects.update(lock=now + timedelta(minutes=3))

    assert queue.hand_back(now) == len(queued())
    assert not OrmQ.objects.filter(lock__gt=now).exists()


def test_task_that_nobody_took_is_not_handed_back(beat, now):
    beat.step(now)
    OrmQ.objects.update(lock=now - timedelta(seconds=1))

    assert queue.hand_back(now) == 0


def test_queue_too_long_to_read_may_hold_anything(now):
    OrmQ.objects.bulk_create(
        OrmQ(key="fleetui", payload="", lock=now) for _ in range(queue.LOOK_AT_ROWS + 1)
    )

    assert queue.backlog().may_hold("anything")


@pytest.mark.parametrize(
    ("error", "traceback"),
    [
        (OperationalError("connection refused\n\tIs the server running?"), False),
        (ProgrammingError("relation does not exist\nLINE 1: SELECT"), False),
        (InterfaceError("connection already closed"), False),
        (DataError("integer out of range"), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_beat_without_a_database_is_one_line_and_a_bug_has_its_traceback(
    beat, monkeypatch, caplog, error, traceback
):
    def refuse(now):
        raise error

    monkeypatch.setattr(beat, "step", refuse)

    fleet_loop.beat(beat)

    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "\n" not in record.getMessage()
    assert bool(record.exc_info) == traceback

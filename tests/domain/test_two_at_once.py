"""Writers on connections of their own, at the same moment: one wins, the others are told.

SQLite in memory has one connection for all threads, so these run on PostgreSQL; there the same
paths are serialised by the one write lock, and the races are played through step by step in the
other files.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
from django.db import connection, connections
from django_q.models import OrmQ

from runners import enrolment, heartbeat, jobs, lifecycle, recovery, runner_log
from runners.errors import FleetError, Gone, NoCapacity, StaleState
from runners.host_facts import Facts
from runners.lifecycle import Order
from runners.models import Event, Host, Job, Label, Runner, RunnerLog
from runners.recovery import Replaced
from runners.states import RunnerState
from tests.domain.messages import POLICY, as_told, entry, report
from tests.domain.test_jobs import DONE, QUEUED, RUNNING, WAITING
from tests.factories import (
    NOW,
    HostFactory,
    LabelFactory,
    RunnerFactory,
    ScopeFactory,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        "sqlite" in str(connection.settings_dict["ENGINE"]),
        reason="needs a database server: run the suite with DATABASE_URL=postgres://…",
    ),
]

WRITERS = 6
T = TypeVar("T")


def at_once(act: Callable[[int], T], writers: int = WRITERS) -> list[T | Exception]:
    """Run `act` in threads that start together; what each returned or raised."""
    barrier = threading.Barrier(writers)

    def run(number: int) -> T | Exception:
        try:
            barrier.wait(timeout=30)
            return act(number)
        except FleetError as error:
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(writers) as pool:
        return list(pool.map(run, range(writers)))


def succeeded(outcomes: Sequence[object]) -> list[object]:
    return [outcome for outcome in outcomes if not isinstance(outcome, Exception)]


def kinds(outcomes: Sequence[object]) -> set[type]:
    return {type(outcome) for outcome in outcomes if isinstance(outcome, Exception)}


def test_last_slots_are_given_once_each(ada):
    HostFactory(slots=2)
    scope = ScopeFactory()
    LabelFactory(name="linux")
    order = Order(scope=scope, labels=["linux"])

    made = at_once(lambda _: lifecycle.provision(order, by=ada, reason="", now=NOW))

    # A writer that lost the race for one slot may be told so although another was free
    assert 1 <= len(succeeded(made)) <= 2
    assert kinds(made) == {NoCapacity}
    slots = list(Runner.objects.values_list("slot", flat=True))
    assert len(slots) == len(set(slots)) == len(succeeded(made))
    assert Event.objects.count() == len(slots)


def test_one_writer_moves_a_runner_and_the_others_are_stale(ada):
    pk = RunnerFactory().pk

    def drain(_: int) -> Event:
        return lifecycle.drain(seen[_], by=ada, reason="", now=NOW)

    seen = [Runner.objects.get(pk=pk) for _ in range(WRITERS)]
    moved = at_once(drain)

    assert len(succeeded(moved)) == Event.objects.count() == OrmQ.objects.count() == 1
    assert kinds(moved) == {StaleState}
    assert Host.objects.get().wanted_version == 1


def test_failed_runner_is_replaced_once(ada):
    host = HostFactory(slots=10)
    failed = RunnerFactory(host=host, failed=True, replace_at=NOW)

    done = at_once(lambda _: recovery.replace_due(now=NOW, by=ada))

    assert sum(len(each.started) for each in done if isinstance(each, Replaced)) == 1
    assert Runner.objects.filter(replaces=failed).count() == 1


def test_code_makes_one_host(ada):
    _, token = enrolment.issue_code(by=ada, now=NOW, minutes=15)

    enrolled = at_once(
        lambda number: enrolment.enrol(
            token.text,
            name=f"forge-{number}",
            facts=Facts(),
            agent_version="",
            site="",
            slots=None,
            now=NOW,
        )
    )

    assert len(succeeded(enrolled)) == Host.objects.count() == 1
    assert kinds(enrolled) == {Gone}


def test_new_label_is_made_once():
    rows = at_once(lambda _: lifecycle.get_labels(["Fresh", "other"]))

    assert len(succeeded(rows)) == WRITERS
    assert Label.objects.count() == 2


def test_journal_of_one_heartbeat_counts_once():
    host = HostFactory()
    runner = RunnerFactory(host=host)
    said = report(host, as_told(runner), journal=[entry(1, "job-completed", runner)])
    hosts = [Host.objects.get(pk=host.pk) for _ in range(WRITERS)]

    at_once(lambda n: heartbeat.receive(hosts[n], "", said, policy=POLICY, now=NOW))

    assert Runner.objects.get().jobs_done == 1


def test_heartbeats_and_moves_of_one_host_never_wait_for_each_other(ada):
    host = HostFactory(slots=20)
    runners = [RunnerFactory(host=host, slot=number + 1) for number in range(WRITERS)]

    def beat_or_drain(number: int) -> object:
        for turn in range(10):
            fresh = Host.objects.get(pk=host.pk)
            if number % 2:
                journal = [
                    entry(fresh.journal_seq + 1, "job-completed", runner)
                    for runner in reversed(runners)
                ]
                said = report(fresh, journal=journal)
                heartbeat.receive(fresh, "", said, policy=POLICY, now=NOW)
            else:
                runner = Runner.objects.get(pk=runners[number].pk)
                move = lifecycle.stop_drain if turn % 2 else lifecycle.drain
                move(runner, by=ada, reason="", now=NOW)
        return None

    outcomes = at_once(beat_or_drain)

    assert kinds(outcomes) == set()
    assert set(Runner.objects.values_list("state", flat=True)) == {RunnerState.ACTIVE}


def test_job_told_by_many_in_any_order_is_one_row_that_ended():
    scope = ScopeFactory()
    told = (DONE, RUNNING, QUEUED, WAITING, DONE, RUNNING)

    at_once(lambda number: jobs.record(scope, told[number], now=NOW))

    job = Job.objects.get()
    assert (job.status, job.conclusion, job.runner_name) == ("completed", "success", "forge-01-a")


def test_chunk_of_a_log_told_by_many_is_written_once():
    runner = RunnerFactory()

    at_once(lambda _: runner_log.append(runner, offset=0, text="once", now=NOW))

    assert RunnerLog.objects.get().text == "once"

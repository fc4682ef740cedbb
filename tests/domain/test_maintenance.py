"""A round of maintenance carried out: cordon, drain, act, give back, with every way to end it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runners import maintenance
from runners.errors import InvalidRequest
from runners.maintenance import Plan
from runners.models import Event, Host, Maintenance, Runner
from runners.states import RunnerState
from tests.factories import NOW, HostFactory, RunnerFactory

pytestmark = pytest.mark.django_db


def begin(ada, *hosts, **asked):
    return maintenance.start(Plan(hosts=hosts, reason="Kernel", **asked), by=ada, now=NOW)


def advance(work, now=NOW):
    return maintenance.advance(Maintenance.objects.get(pk=work.pk), now=now)


def steps(work):
    return list(work.hosts.order_by("position").values_list("step", flat=True))


def fresh(row):
    return type(row).objects.get(pk=row.pk)


def test_a_beat_takes_the_first_host_out_and_drains_it(ada):
    host, other = HostFactory(), HostFactory()
    runner = RunnerFactory(host=host, busy=True)
    work = begin(ada, host, other)

    advance(work)

    assert steps(work) == ["draining", "waiting"]
    assert fresh(host).cordoned_reason == f"Maintenance {work.pk}: Kernel"
    assert fresh(runner).state == RunnerState.DRAINING
    assert not fresh(other).cordoned


def test_the_same_beat_again_changes_nothing(ada):
    work = begin(ada, HostFactory(), HostFactory())
    RunnerFactory(host=work.hosts.first().host)
    advance(work)
    advance(work)
    events = Event.objects.count()

    assert advance(work) == 0
    assert Event.objects.count() == events


def test_jobs_get_their_deadline_only_when_one_was_set(ada):
    bounded, patient = RunnerFactory(), RunnerFactory()
    advance(begin(ada, bounded.host, drain_minutes=90, percent_out=100))
    advance(begin(ada, patient.host, percent_out=100))

    assert fresh(bounded).drain_deadline_at == NOW + timedelta(minutes=90)
    assert fresh(patient).drain_deadline_at is None


def test_a_confirmed_host_goes_back_and_the_round_ends(ada):
    host = HostFactory()
    work = begin(ada, host)
    advance(work)
    advance(work)

    maintenance.confirm_done(work, host, by=ada, now=NOW)

    assert steps(work) == ["done"]
    assert not fresh(host).cordoned
    assert (fresh(work).state, fresh(work).ended_at) == ("done", NOW)


def test_work_is_not_done_before_it_began(ada):
    runner = RunnerFactory(busy=True)
    work = begin(ada, runner.host)
    advance(work)

    with pytest.raises(InvalidRequest, match="not being worked on yet"):
        maintenance.confirm_done(work, runner.host, by=ada, now=NOW)


def test_a_silent_host_is_not_done_by_word(ada):
    host = HostFactory()
    work = begin(ada, host)
    advance(work)
    advance(work)

    with pytest.raises(InvalidRequest, match="silent"):
        maintenance.confirm_done(work, host, by=ada, now=NOW + timedelta(hours=1))


def test_a_rebooted_host_goes_back_by_itself(ada):
    host = HostFactory(boot_id="before")
    work = begin(ada, host, act="reboot")
    advance(work)
    advance(work)
    Host.objects.filter(pk=host.pk).update(boot_id="after")

    advance(work)

    assert steps(work) == ["done"]
    assert not fresh(host).cordoned


def test_a_host_cordoned_before_stays_cordoned(ada):
    host = HostFactory(cordoned_for_work=True)
    work = begin(ada, host, act="minutes", minutes=1)
    for minutes in (0, 0, 0.5):
        advance(work, NOW + timedelta(minutes=minutes))

    advance(work, NOW + timedelta(minutes=1))

    assert steps(work) == ["done"]
    assert fresh(host).cordoned_reason == "Disk replacement"


def test_a_paused_round_takes_no_beat(ada):
    work = begin(ada, HostFactory())
    maintenance.pause(work, by=ada, reason="", now=NOW)

    assert maintenance.advance_all(now=NOW) == 0
    assert steps(work) == ["waiting"]
    assert maintenance.resume(work, by=ada, reason="", now=NOW) is not None
    assert maintenance.advance_all(now=NOW) == 1


def test_a_stopped_round_gives_its_hosts_and_runners_back(ada):
    runner = RunnerFactory(busy=True)
    work = begin(ada, runner.host, HostFactory())
    advance(work)

    maintenance.stop(work, by=ada, reason="Wrong night", now=NOW)

    assert steps(work) == ["skipped", "skipped"]
    assert not fresh(runner.host).cordoned
    assert fresh(runner).state == RunnerState.ACTIVE
    assert maintenance.stop(work, by=ada, reason="", now=NOW) is None


def test_a_stopped_round_leaves_drains_of_others_alone(ada):
    mine = RunnerFactory(busy=True)
    theirs = RunnerFactory(host=mine.host, slot=2, draining=True, state_reason="Flaky disk")
    work = begin(ada, mine.host)
    advance(work)

    maintenance.stop(work, by=ada, reason="", now=NOW)

    assert fresh(theirs).state == RunnerState.DRAINING


def test_a_skipped_host_is_given_back_and_the_next_goes(ada):
    first, second = HostFactory(), HostFactory()
    RunnerFactory(host=first, busy=True)
    work = begin(ada, first, second)
    advance(work)

    maintenance.skip(work, first, by=ada, now=NOW)
    advance(work)

    assert steps(work) == ["skipped", "draining"]
    assert not fresh(first).cordoned


def test_a_host_is_out_in_one_round_at_a_time(ada):
    host = HostFactory()
    RunnerFactory(host=host, busy=True)
    first, second = begin(ada, host), begin(ada, host)

    maintenance.advance_all(now=NOW)

    assert (steps(first), steps(second)) == (["draining"], ["waiting"])
    assert second.hosts.get().note == "Out in another round"


def test_labels_of_pools_and_runners_are_what_is_kept_up(ada):
    runner = RunnerFactory(labels=["gpu"])
    (place,) = maintenance.fleet_places(NOW)

    assert place.keys == {"gpu", "x64"}
    assert (place.host_id, place.held, place.silent) == (runner.host_id, 1, False)


def test_places_cost_the_same_however_many(count_queries):
    HostFactory()
    few = count_queries(lambda: maintenance.fleet_places(NOW))
    RunnerFactory.create_batch(5)

    assert count_queries(lambda: maintenance.fleet_places(NOW)) == few


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"reason": " "}, "Say what"),
        ({"hosts": ()}, "at least one host"),
        ({"percent_out": 0}, "percent"),
        ({"percent_out": 101}, "percent"),
        ({"minutes": 0}, "Minutes"),
        ({"drain_minutes": 0}, "drain's minutes"),
        ({"act": "hope"}, "one of"),
    ],
)
def test_a_round_that_makes_no_sense_is_refused(ada, asked, words):
    plan = {"hosts": (HostFactory(),), "reason": "Kernel", **asked}

    with pytest.raises(InvalidRequest, match=words):
        maintenance.start(Plan(**plan), by=ada, now=NOW)
    assert not Maintenance.objects.exists()


def test_a_retired_host_is_refused(ada):
    with pytest.raises(InvalidRequest, match="retired"):
        begin(ada, HostFactory(retired=True))


def test_every_step_leaves_an_event_with_the_reason_of_the_round(ada):
    host = HostFactory()
    work = begin(ada, host)
    advance(work)
    advance(work)
    maintenance.confirm_done(work, host, by=ada, now=NOW)

    told = list(
        Event.objects.filter(action="maintenance.step").order_by("pk").values_list("became", "host")
    )
    assert told == [("draining", host.pk), ("acting", host.pk), ("done", host.pk)]
    assert not Runner.objects.exists()

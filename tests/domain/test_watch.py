"""Watching what pools could do: outages begin, end and are told with their cause."""

from __future__ import annotations

from datetime import date, time, timedelta

import pytest

from runners import promises, tasks, watch
from runners.audit import Actor
from runners.errors import InvalidRequest
from runners.figures import Period
from runners.histograms import Histogram
from runners.models import AnnouncedWindow, Event, JobDay, LabelTarget, Outage, PoolTarget
from runners.readiness import OutageCause, PoolFacts, judge
from runners.targets import Calendar
from tests.factories import (
    NOW,
    HostFactory,
    JobFactory,
    PoolFactory,
    RunnerFactory,
    ScopeFactory,
)

LATER = NOW + timedelta(days=1)
BY = Actor.system("test")
FINE = PoolFacts(ready=0, live=0, max_runners=10, free_slots=2, hosts_lost=0, hosts_cordoned=0)
MONTH = Period(date(2026, 11, 1), date(2026, 11, 30))


def facts(**changes):
    return PoolFacts(**{**{name: getattr(FINE, name) for name in FINE.__slots__}, **changes})


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({}, None),
        ({"ready": 1, "policy": "Paused.", "github": "Away.", "free_slots": 0}, None),
        ({"policy": "Paused.", "github": "Away."}, OutageCause.POLICY),
        ({"github": "Away.", "failing": "Fail."}, OutageCause.GITHUB),
        ({"failing": "Fail."}, OutageCause.STARTS_FAIL),
        ({"live": 10}, OutageCause.NO_CAPACITY),
        ({"free_slots": 0}, OutageCause.NO_CAPACITY),
        ({"free_slots": 0, "hosts_lost": 1, "hosts_cordoned": 1}, OutageCause.HOST_LOST),
        ({"free_slots": 0, "hosts_cordoned": 2}, OutageCause.DRAIN),
        ({"hosts_lost": 1}, None),
        ({"startup_seconds": 120.0}, None),
        ({"startup_seconds": 121.0}, OutageCause.STARTS_FAIL),
        ({"startup_seconds": 121.0, "ready": 1}, None),
    ],
)
def test_a_job_would_start_in_time_or_not(changes, cause):
    verdict = judge(facts(**changes), startup_target_seconds=120)

    assert (verdict.cause if verdict else None) == cause


def heard_of(**facts):
    """A host that goes on being heard of."""
    return HostFactory(late_after=LATER, offline_after=LATER, **facts)


@pytest.fixture
def pool(db):
    heard_of()
    return PoolFactory()


def look(seconds=0):
    return watch.watch(now=NOW + timedelta(seconds=seconds))


def spans():
    return [
        (row.cause, row.began_at - NOW, row.ended_at and row.ended_at - NOW)
        for row in Outage.objects.order_by("began_at")
    ]


def seconds(count):
    return timedelta(seconds=count)


def test_no_runner_at_all_is_no_outage_while_one_would_start(pool):
    assert look().not_ready == 0
    assert spans() == []


def test_an_outage_begins_and_ends_with_what_a_look_finds(pool):
    look()
    pool.paused_at, pool.paused_reason = NOW, "Rebuild"
    pool.save()
    look(30)
    look(60)
    pool.paused_at = None
    pool.save()
    look(90)

    assert spans() == [(OutageCause.POLICY, seconds(30), seconds(90))]
    assert Outage.objects.get().words == "The pool is paused: Rebuild."


def test_another_cause_is_another_outage(pool):
    pool.scope.github_unknown_since = NOW
    pool.scope.save()
    look()
    pool.paused_at = NOW
    pool.save()
    look(30)

    assert spans() == [
        (OutageCause.GITHUB, seconds(0), seconds(30)),
        (OutageCause.POLICY, seconds(30), None),
    ]


def test_time_that_nobody_watched_counts_as_down(pool):
    look()
    look(600)

    assert spans() == [(OutageCause.UNWATCHED, seconds(0), seconds(600))]


def test_an_outage_goes_on_while_nobody_watches(pool):
    pool.paused_at = NOW
    pool.save()
    look()
    look(600)

    assert spans() == [(OutageCause.POLICY, seconds(0), None)]


def test_two_looks_that_fail_to_come_are_no_gap(pool):
    look()
    look(179)

    assert spans() == []


def test_a_lost_host_is_the_cause_when_nothing_else_is_free(db):
    PoolFactory()
    HostFactory(offline=True)

    look()

    assert spans() == [(OutageCause.HOST_LOST, seconds(0), None)]


def test_a_lost_host_of_another_architecture_is_not(db):
    PoolFactory()
    HostFactory(offline=True, arm64=True)

    look()

    assert spans()[0][0] == OutageCause.NO_CAPACITY


def test_slow_starts_of_the_last_hour_are_an_outage(pool):
    RunnerFactory(
        pool=pool,
        removed=True,
        created_at=NOW - timedelta(minutes=10),
        online_at=NOW - timedelta(minutes=5),
    )

    look()

    assert spans()[0][0] == OutageCause.STARTS_FAIL


@pytest.mark.parametrize("count", [2, 12])
def test_a_look_costs_the_same_however_many_pools(db, django_assert_num_queries, count):
    scope = ScopeFactory()
    pools = [PoolFactory(scope=scope) for _ in range(count)]
    for _ in range(count):
        heard_of()
    RunnerFactory(pool=pools[0], scope=scope)
    look()

    with django_assert_num_queries(12):
        look(30)


def promise(**changes):
    (found,) = promises.pools(MONTH, now=NOW + timedelta(days=1), **changes)
    return found


def test_a_pools_report_weighs_its_outages_in_its_own_hours(pool):
    """Watched since Monday 12:00; Tuesday 12:00 is ten business hours later in UTC."""
    PoolTarget.objects.create(pool=pool, watched_since=NOW, watched_at=NOW)
    Outage.objects.create(
        pool=pool,
        cause=OutageCause.GITHUB,
        words="Away.",
        began_at=NOW + timedelta(hours=5, minutes=58),
        ended_at=NOW + timedelta(hours=7),
    )

    kept = promise().availability

    assert kept is not None
    assert (kept.counted_seconds, kept.down_seconds) == (36_000, 120)
    assert (kept.percent, kept.met) == (99.66, True)
    assert promise().outages[0].budget_percent == 67


def test_announced_maintenance_of_all_pools_or_its_own_is_left_out(pool):
    PoolTarget.objects.create(pool=pool, watched_since=NOW, watched_at=NOW)
    for owner, begin in ((None, 1), (pool, 2), (PoolFactory(), 3)):
        AnnouncedWindow.objects.create(
            pool=owner,
            begins_at=NOW + timedelta(hours=begin),
            ends_at=NOW + timedelta(hours=begin + 1),
            reason="Switch",
            announced_at=NOW,
            announced_by="ada",
        )

    found = {each.pool.pk: each for each in promises.pools(MONTH, now=NOW + timedelta(days=1))}

    kept = found[pool.pk].availability
    assert kept is not None
    assert kept.counted_seconds == 8 * 3600


def test_a_pool_nobody_watched_yet_promises_nothing(pool):
    assert promise().availability is None


def test_maintenance_is_not_announced_afterwards(pool):
    with pytest.raises(InvalidRequest, match="before it begins"):
        promises.announce(
            pool=pool,
            begins_at=NOW - timedelta(seconds=1),
            ends_at=NOW + timedelta(hours=1),
            reason="Late",
            by=BY,
            now=NOW,
        )


def test_what_has_begun_is_not_called_off(pool):
    window = promises.announce(
        pool=None,
        begins_at=NOW,
        ends_at=NOW + timedelta(hours=1),
        reason="Switch",
        by=BY,
        now=NOW,
    )

    with pytest.raises(InvalidRequest, match="has begun"):
        promises.call_off(window, by=BY, now=NOW)
    promises.call_off(window, by=BY, now=NOW - timedelta(minutes=1))

    assert not AnnouncedWindow.objects.exists()


def test_a_promise_is_changed_with_an_event(pool):
    calendar = Calendar("Europe/Berlin", frozenset({0, 2}), time(6), time(22))

    promises.set_target(pool, promises.Promise(99.9, calendar), by=BY, now=NOW)

    assert promises.calendar_of(PoolTarget.objects.get()) == calendar
    event = Event.objects.get()
    assert event.was == "99.5% Mon to Fri 08:00 to 18:00 UTC"
    assert event.became == "99.9% Mon, Wed 06:00 to 22:00 Europe/Berlin"


def queue_of(label_set="linux", **day):
    JobDay.objects.create(kind="labels", key=label_set, day=NOW.date(), **day)
    return promises.queues(MONTH, queue_seconds=60, now=NOW)


@pytest.mark.django_db
def test_a_label_sets_starts_are_weighed_with_their_causes():
    (found,) = queue_of(
        jobs=100, started=100, late=6, late_causes={"cold-start": 2, "no-capacity": 4}
    )

    assert (found.starts.percent, found.starts.met) == (94.0, False)
    assert [(str(cause), count) for cause, count in found.causes] == [
        ("no-capacity", 4),
        ("cold-start", 2),
    ]


@pytest.mark.django_db
def test_a_label_set_may_have_a_target_of_its_own():
    promises.set_label_target("linux", percent=80, seconds=600, by=BY, now=NOW)

    (found,) = queue_of(jobs=10, started=10, late=2)

    assert (found.seconds, found.starts.target_percent, found.starts.met) == (600, 80, True)
    assert LabelTarget.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(("late", "burns"), [(0, ""), (8, "fast")])
def test_the_last_hours_burn_the_budget(late, burns):
    for number in range(10):
        at = NOW - timedelta(minutes=2)
        waited = 300 if number < late else 10
        JobFactory(
            status="in_progress",
            label_set="linux",
            queued_at=at - timedelta(seconds=waited),
            started_at=at,
        )

    assert queue_of(jobs=10, started=10)[0].burning == burns


@pytest.mark.django_db
def test_a_job_that_waits_too_long_already_burns():
    JobFactory(label_set="linux", queued_at=NOW - timedelta(minutes=3))
    JobFactory(label_set="linux", queued_at=NOW - timedelta(seconds=30))

    (found,) = queue_of(jobs=1, started=1)

    assert (found.fast.started, found.fast.late) == (1, 1)


@pytest.mark.django_db
@pytest.mark.parametrize(("minutes", "met"), [(14, True), (16, False)])
def test_a_build_is_kept_under_a_quarter_of_an_hour(minutes, met):
    JobDay.objects.create(
        kind="build",
        key="acme/web/CI · arm64",
        day=NOW.date(),
        jobs=1,
        total=Histogram.of([minutes * 60]).stored(),
    )

    (build,) = promises.builds(MONTH)

    assert build.met is met


def test_watching_is_done_by_a_task(pool, monkeypatch):
    monkeypatch.setattr("runners.wiring.now", lambda: NOW)

    assert tasks.watch_pools() == "0 of 1 pools are not ready"

"""Pools kept at their size: what counts as supply, replacement, back-off, pause."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from runners import leases, lifecycle, pool_picture, pools, tasks
from runners.audit import Actor
from runners.failure import Cause
from runners.models import Decision, Event, Pool, Runner
from runners.pool_picture import Rules
from runners.registry import path_of
from runners.states import Phase, RunnerState
from tests.domain.passes import run_pass
from tests.factories import NOW, HostFactory, JobFactory, PoolFactory, RunnerFactory
from tests.fakes import FakeGitHub

pytestmark = pytest.mark.django_db
RULES = Rules()

BY = Actor.system("pools")


def scale(now=NOW):
    return pools.scale(RULES, now=now, by=BY)


def live(pool):
    return Runner.objects.live().filter(pool=pool)


def test_pool_is_filled_up_to_its_idle_minimum():
    HostFactory(slots=8)
    pool = PoolFactory(min_idle=3, labels=["big", "linux"])

    first = scale()
    again = scale()

    assert (len(first.started), len(again.started)) == (3, 0)
    runners = list(live(pool))
    assert len(runners) == 3
    assert {label.name for label in runners[0].labels.all()} == {"big", "linux"}
    assert all(pool.name in runner.name for runner in runners)
    event = Event.objects.first()
    assert event is not None
    assert (event.actor_name, event.reason) == ("pools", first.plan.decisions[0].why)


def test_pools_settings_go_into_its_runners():
    HostFactory(site="eu-west", gpu=True, arm64=True)
    HostFactory(site="us-east", gpu=True, arm64=True)
    pool = PoolFactory(
        min_idle=1,
        ephemeral=False,
        runner_group_id=9,
        architecture="arm64",
        needs_gpu=True,
        sites=["us-east"],
        labels=["big"],
    )

    scale()

    runner = live(pool).get()
    assert (runner.ephemeral, runner.runner_group_id, runner.host.site) == (False, 9, "us-east")


@pytest.mark.parametrize(
    ("traits", "counts"),
    [
        ({}, True),
        ({"new": True, "state_changed_at": NOW}, True),
        ({"starting": True, "state_changed_at": NOW}, True),
        ({"starting": True, "state_changed_at": NOW - timedelta(seconds=120)}, False),
        (
            {
                "starting": True,
                "state_changed_at": NOW - timedelta(seconds=120),
                "scope__github_back_at": NOW,
            },
            True,
        ),
        ({"busy": True}, False),
        ({"draining": True}, False),
        ({"removing": True}, False),
        ({"failed": True}, False),
        ({"phase": Phase.EXITED}, False),
        ({"github_status": "offline"}, False),
        ({"github_status": "absent"}, False),
        ({"host__offline": True}, False),
    ],
)
def test_only_idle_and_starting_runners_are_ready(traits, counts):
    HostFactory(slots=8)
    pool = PoolFactory(min_idle=1)
    RunnerFactory(pool=pool, **traits)

    assert (scale().plan.decisions[0].start == 0) == counts


def test_maximum_counts_what_works_too():
    HostFactory(slots=8)
    pool = PoolFactory(min_idle=2, max_runners=2)
    RunnerFactory(pool=pool, busy=True)

    scale()

    assert live(pool).count() == 2


def test_ephemeral_runner_is_replaced_after_its_job():
    host, github = HostFactory(slots=2), FakeGitHub()
    pool = PoolFactory(min_idle=1)
    served = []
    for number in range(3):
        scale()
        runner = live(pool).get()
        served.append(runner.pk)
        there = github.add_runner(path_of(pool.scope), runner.name, online=True)
        Runner.objects.filter(pk=runner.pk).update(github_id=there.id)
        run_pass(pool.scope, github)
        github.drop_runner(path_of(pool.scope), runner.name)
        Runner.objects.filter(pk=runner.pk).update(phase=Phase.GONE)
        for _ in range(2):
            run_pass(pool.scope, github, now=NOW + timedelta(minutes=5 * number))

    assert len(set(served)) == 3
    assert set(Runner.objects.values_list("state", flat=True)) == {RunnerState.REMOVED}
    assert host.runners.filter(slot__isnull=False).count() == 0


def test_pool_whose_starts_fail_waits_and_then_tries_again():
    HostFactory(slots=4)
    pool = PoolFactory(min_idle=1)
    scale()
    lifecycle.fail(live(pool).get(), cause=Cause.OTHER, reason="No image", now=NOW, by=BY)

    plan = scale(NOW + timedelta(seconds=9)).plan
    assert plan.decisions[0].start == 0
    assert "after 1 failures" in plan.decisions[0].why
    assert scale(NOW + timedelta(seconds=10)).plan.decisions[0].start == 1


def test_pool_of_a_scope_that_github_does_not_answer_for_starts_nothing():
    HostFactory()
    PoolFactory(min_idle=1, scope__github_unknown_since=NOW)

    assert scale().plan.decisions[0].why.endswith("GitHub can't be reached.")
    assert not Runner.objects.exists()


def test_pool_without_room_is_skipped_and_the_next_goes_on():
    HostFactory(slots=1)
    PoolFactory(name="a-arm", min_idle=2, architecture="arm64")
    possible = PoolFactory(name="b-x64", min_idle=2)

    scale()

    assert list(Runner.objects.values_list("pool", flat=True)) == [possible.pk]


def test_pool_with_labels_that_cannot_be_asked_for_does_not_stop_the_others():
    HostFactory()
    broken = PoolFactory(name="a", min_idle=1)
    broken.labels.clear()
    fine = PoolFactory(name="b", min_idle=1)

    scale()

    assert list(Runner.objects.values_list("pool", flat=True)) == [fine.pk]


def test_pause_starts_nothing_until_resumed_and_is_recorded_once(ada):
    HostFactory()
    pool = PoolFactory(min_idle=1)

    first = pools.pause(pool, by=ada, reason="Kernel", now=NOW)
    pool.refresh_from_db()
    assert pools.pause(pool, by=ada, reason="Kernel", now=NOW) is None
    assert first is not None
    assert first.action == "pool.pause"
    assert scale().plan.decisions[0].why == f"{pool.name}: paused, Kernel."

    assert pools.resume(pool, by=ada, reason="", now=NOW) is not None
    assert pools.resume(pool, by=ada, reason="", now=NOW) is None
    assert scale().plan.decisions[0].start == 1


def test_pause_without_a_reason_is_just_paused(ada):
    pool = PoolFactory()
    pools.pause(pool, by=ada, reason="", now=NOW)

    assert scale().plan.decisions[0].why == f"{pool.name}: paused."


def test_resume_forgets_the_back_off(ada):
    pool = PoolFactory(
        paused_at=NOW, consecutive_failures=4, backoff_until=NOW + timedelta(minutes=5)
    )

    pools.resume(pool, by=ada, reason="Fixed", now=NOW)

    row = Pool.objects.get()
    assert (row.consecutive_failures, row.backoff_until, row.paused_at) == (0, None, None)


def test_a_look_costs_the_same_for_a_large_fleet():
    def cost():
        with CaptureQueriesContext(connection) as captured:
            pool_picture.look(RULES, now=NOW)
        return len(captured)

    def grow(number):
        for _ in range(number):
            RunnerFactory(pool=PoolFactory())
            RunnerFactory()
            JobFactory()

    grow(2)
    few = cost()
    grow(20)

    assert cost() == few <= 15


def test_task_says_what_came_of_it_and_leaves_another_at_it(monkeypatch):
    monkeypatch.setattr("runners.wiring.now", lambda: NOW)
    HostFactory(slots=1)
    PoolFactory(min_idle=3)

    said = tasks.scale_pools()

    assert said == "1 started, 0 let go"
    assert "2 more wanted, but no host that can serve has room" in str(Decision.objects.get().pools)
    leases.acquire("scale", "elsewhere:1", 60, NOW)
    assert tasks.scale_pools() == "another one is at it"

"""Pools kept at their size: what counts as supply, replacement, back-off, pause."""

from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ

from runners import decisions, fleet, leases, lifecycle, pool_picture, pool_policy, pools, tasks
from runners.audit import Actor
from runners.errors import InvalidRequest, StaleState
from runners.failure import Cause
from runners.models import Decision, Event, Job, Pool, Runner
from runners.pool_picture import Rules
from runners.registry import path_of
from runners.scaling import Worth
from runners.states import LIVE, Phase, RunnerState
from tests.domain.passes import run_pass
from tests.factories import (
    NOW,
    HostFactory,
    JobFactory,
    PoolFactory,
    RunnerFactory,
    ScopeFactory,
)
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


def test_more_runners_than_one_order_may_have_start_on_one_host(monkeypatch):
    monkeypatch.setattr(lifecycle, "COUNT_LIMIT", 2)
    HostFactory(slots=8)
    PoolFactory(min_idle=5)

    done = scale()

    assert (len(done.started), done.failed) == (5, ())


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


@pytest.mark.parametrize(
    ("traits", "counts"),
    [
        ({"phase": Phase.EXITED}, False),
        ({"phase": Phase.EXITED, "persistent": True}, True),  # its host starts it again
        ({"removing": True}, False),
        ({"draining": True}, True),
        ({"github_status": "absent"}, True),
        ({"host__offline": True}, True),
    ],
)
def test_what_may_still_run_a_job_counts_towards_the_maximum(traits, counts):
    HostFactory()
    pool = PoolFactory(min_idle=1, max_runners=1)
    RunnerFactory(pool=pool, scope=pool.scope, **traits)

    assert (scale().started == ()) == counts


def test_the_tables_count_towards_the_maximum_what_a_plan_does():
    for state, phase, persistent in product(LIVE, Phase, (False, True)):
        RunnerFactory(state=state, phase=phase, persistent=persistent)

    scopes = pool_picture.scope_views(RULES, now=NOW)
    views = pool_picture.supply(scopes, now=NOW)

    planned = {view.id for view in views if view.worth is not Worth.LEAVING}
    assert {runner.pk for runner in Runner.objects.towards_maximum()} == planned
    assert 0 < len(planned) < len(views)


def test_runners_a_person_starts_during_a_look_count_towards_the_maximum(monkeypatch):
    HostFactory(slots=8)
    pool = PoolFactory(min_idle=3, max_runners=4)
    look = pool_picture.look

    def look_slowly(*args, **kwargs):
        picture = look(*args, **kwargs)
        pools.start_now(pool, by=BY, reason="", now=NOW, count=2)
        return picture

    monkeypatch.setattr(pool_picture, "look", look_slowly)
    done = scale()
    monkeypatch.undo()

    assert (len(done.started), live(pool).count()) == (0, 2)
    (why,) = done.failed
    assert "has 2 of the 4 runners it may have now" in why
    assert (len(scale().started), live(pool).count()) == (1, 3)


def test_what_a_person_orders_keeps_within_the_maximum_of_the_hour():
    HostFactory(slots=8)
    noon = {"from": "11:00", "to": "13:00", "max_runners": 2}
    pool = PoolFactory(max_runners=1, schedule=[noon])
    order = pools.order_for(pool, count=2)

    pools.provision(order, by=BY, reason="", now=NOW)
    with pytest.raises(InvalidRequest, match="has 2 of the 2 runners it may have now"):
        pools.provision(replace(order, count=1), by=BY, reason="", now=NOW)

    assert live(pool).count() == 2


def test_hosts_are_written_before_the_pool_is_held_as_by_a_failure():
    HostFactory()
    pool = PoolFactory()

    with CaptureQueriesContext(connection) as captured:
        pools.start_now(pool, by=BY, reason="", now=NOW)

    said = [query["sql"] for query in captured]
    host = max(at for at, sql in enumerate(said) if sql.startswith('UPDATE "runners_host"'))
    held = [at for at, sql in enumerate(said) if 'FROM "runners_pool" WHERE' in sql]
    assert held
    assert min(held) > host


def test_nothing_starts_for_a_pool_that_was_removed_meanwhile():
    HostFactory()
    order = pools.order_for(PoolFactory())
    pool_policy.remove(Pool.objects.get(), by=BY, reason="", now=NOW)

    with pytest.raises(StaleState, match="removed a moment ago"):
        pools.provision(order, by=BY, reason="", now=NOW)

    assert not Runner.objects.exists()


def test_an_order_for_no_pool_has_no_maximum():
    HostFactory()
    order = replace(pools.order_for(PoolFactory(max_runners=0)), pool=None)

    assert len(pools.provision(order, by=BY, reason="", now=NOW)) == 1


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


# Jobs


def waiting(pool, **changes):
    repository = f"{pool.scope.slug}/web"
    return JobFactory(**{"scope": pool.scope, "repository": repository, **changes})


def test_a_queued_job_starts_a_runner_and_one_that_waits_for_approval_none():
    HostFactory()
    pool = PoolFactory()
    waiting(pool)
    waiting(pool, status=Job.Status.WAITING)
    waiting(pool, labels=["ubuntu-latest"])

    done = scale()

    assert len(done.started) == 1
    assert (Decision.objects.get().demand, scale().started) == (1, ())


def test_forty_jobs_of_one_run_start_forty_runners():
    HostFactory(slots=64)
    pool = PoolFactory(max_runners=50)
    for _ in range(40):
        waiting(pool, run_id=1)

    assert len(scale().started) == 40


def test_one_job_told_to_two_scopes_starts_one_runner():
    HostFactory()
    pool = PoolFactory()
    twin = ScopeFactory(kind="repository", slug=f"{pool.scope.slug}/web")
    job = waiting(pool)
    waiting(pool, scope=twin, github_id=job.github_id)

    assert len(scale().started) == 1


def test_one_job_told_to_its_organization_first_starts_a_runner_of_the_enterprise():
    HostFactory()
    pool = PoolFactory(scope=ScopeFactory(kind="enterprise", slug="big"))
    job = waiting(pool, scope=ScopeFactory(slug="acme"), repository="acme/web")
    waiting(pool, github_id=job.github_id, repository="acme/web")

    assert len(scale().started) == 1


def test_a_busy_runner_whose_job_is_not_told_yet_takes_it_out_of_the_queue():
    HostFactory()
    pool = PoolFactory()
    RunnerFactory(pool=pool, scope=pool.scope, busy=True)
    waiting(pool)

    assert scale().started == ()


def test_a_runner_that_works_before_it_was_seen_online_is_not_on_its_way_for_another_job():
    HostFactory()
    pool = PoolFactory()
    runner = RunnerFactory(pool=pool, scope=pool.scope, starting=True, state_changed_at=NOW)
    waiting(pool, running=True, runner=runner)
    waiting(pool)

    assert len(scale().started) == 1


def test_a_job_that_github_says_runs_here_keeps_its_runner_however_idle_it_looks():
    pool = PoolFactory(scope__jobs_swept_at=NOW, scope__jobs_polled_at=NOW)
    runner = RunnerFactory(pool=pool, scope=pool.scope)
    waiting(pool, running=True, runner=runner)

    assert scale().stopped == ()


def idle_runner(**changes):
    seen = {"jobs_swept_at": NOW, "jobs_polled_at": NOW}
    scope = ScopeFactory(**{**seen, **changes.pop("of_scope", {})})
    pool = PoolFactory(scope=scope, **changes.pop("of_pool", {}))
    return RunnerFactory(pool=pool, scope=scope, **changes)


def test_an_idle_runner_is_drained_and_deleted_at_github_first():
    runner, github = idle_runner(persistent=True), FakeGitHub()
    there = github.add_runner(path_of(runner.scope), runner.name, online=True)
    Runner.objects.filter(pk=runner.pk).update(github_id=there.id)

    assert scale().stopped == (runner.pk,)
    runner.refresh_from_db()
    assert (runner.state, runner.state_reason[:8]) == (RunnerState.DRAINING, "Idle for")

    run_pass(runner.scope, github)
    runner.refresh_from_db()
    assert runner.state == RunnerState.REMOVING
    assert github.list_self_hosted_runners(path_of(runner.scope), name=runner.name).items == ()


def test_one_that_got_a_job_at_the_last_second_runs_it():
    runner, github = idle_runner(persistent=True), FakeGitHub()
    there = github.add_runner(path_of(runner.scope), runner.name, online=True, busy=True)
    Runner.objects.filter(pk=runner.pk).update(github_id=there.id)

    scale()
    run_pass(runner.scope, github)

    runner.refresh_from_db()
    assert runner.state == RunnerState.DRAINING


@pytest.mark.parametrize(
    "traits",
    [
        {"host__offline": True},
        {"github_status": "offline"},
        {"busy": True},
        {"of_scope": {"github_unknown_since": NOW}},
        {"of_pool": {"min_idle": 1}},
        {"of_pool": {"paused_at": NOW}},
        {"job_ended_at": NOW - timedelta(seconds=299), "persistent": True},
        {"online_at": NOW - timedelta(seconds=89)},
    ],
)
def test_what_is_not_surely_idle_and_needless_stays(traits):
    idle_runner(**traits)

    assert scale().stopped == ()


def test_each_pool_has_its_own_timeout():
    quick = idle_runner(of_pool={"idle_timeout_seconds": 60}, online_at=NOW - timedelta(minutes=4))
    slow = idle_runner(of_pool={"idle_timeout_seconds": 1800})
    for runner in (quick, slow):
        Runner.objects.filter(pk=runner.pk).update(state_changed_at=runner.online_at)

    assert scale().stopped == (quick.pk,)


def test_a_queue_nobody_has_seen_whole_lets_nobody_go():
    unseen = idle_runner(of_scope={"jobs_swept_at": None})
    seen = idle_runner()

    done = pools.scale(Rules(picture_stale_after=timedelta(minutes=10)), now=NOW, by=BY)

    assert done.stopped == (seen.pk,)
    assert unseen.pk not in done.stopped


def test_a_webhook_alone_that_never_sent_anything_lets_nobody_go():
    hook = {"job_source": "webhook", "webhook_secret_encrypted": "sealed", "jobs_swept_at": None}
    silent = idle_runner(of_scope=hook)
    pinged = idle_runner(of_scope={**hook, "webhook_pinged_at": NOW - timedelta(days=9)})

    done = pools.scale(Rules(picture_stale_after=timedelta(minutes=10)), now=NOW, by=BY)

    assert done.stopped == (pinged.pk,)
    assert silent.pk not in done.stopped


def test_a_pause_with_an_end_is_over_then(ada):
    later = NOW + timedelta(hours=1)
    HostFactory(late_after=later, offline_after=later)
    pool = PoolFactory(min_idle=1)
    pools.pause(pool, by=ada, reason="Kernel", now=NOW, until=NOW + timedelta(minutes=5))

    assert scale(NOW + timedelta(minutes=4)).started == ()
    assert len(scale(NOW + timedelta(minutes=5)).started) == 1
    assert Event.objects.filter(action="pool.resume").get().reason == "Its pause is over"
    with pytest.raises(InvalidRequest, match="later than now"):
        pools.pause(pool, by=ada, reason="x", now=NOW, until=NOW)


# Pace


def test_a_pause_that_ends_by_itself_releases_no_quarantine():
    pool = PoolFactory(
        paused_at=NOW, paused_until=NOW, quarantined_at=NOW, consecutive_failures=10, min_idle=1
    )

    assert scale().started == ()

    pool.refresh_from_db()
    assert (pool.paused_at, pool.quarantined_at, pool.consecutive_failures) == (None, NOW, 10)


def test_what_anybody_started_within_five_minutes_counts_against_the_fleets_budget():
    HostFactory(slots=20)
    pool = PoolFactory(min_idle=10)
    RunnerFactory(created_at=NOW - timedelta(seconds=299))
    RunnerFactory(created_at=NOW - timedelta(seconds=300))

    done = pools.scale(Rules(registrations=4), now=NOW, by=BY)

    assert len(done.started) == 3
    assert Decision.objects.get().registrations_left == 0
    assert "the fleet has started all it may" in done.plan.decisions[0].why
    assert live(pool).count() == 3


def test_a_look_is_queued_once_however_often_it_is_asked_for():
    fleet.get()
    for _ in range(3):
        lifecycle.wake_scaling()

    assert [row.func() for row in OrmQ.objects.all()] == ["runners.tasks.scale_pools"]


def test_who_asks_during_a_look_has_another_one_made(monkeypatch):
    monkeypatch.setattr("runners.wiring.now", lambda: NOW)
    looks = []

    def look(*args, **kwargs):
        looks.append(1)
        if len(looks) == 1:
            fleet.wish_scaling()
        return "looked"

    fleet.get()
    monkeypatch.setattr(pools, "scale", look)

    assert tasks.scale_pools() == "looked"
    assert (len(looks), fleet.scaling_wished()) == (2, False)


# The record


def test_looks_that_say_the_same_are_kept_once_a_minute_and_forgotten_in_time():
    HostFactory(slots=1)
    pool = PoolFactory(max_runners=0)
    waiting(pool)
    for seconds in range(0, 70, 5):
        scale(NOW + timedelta(seconds=seconds))

    kept = list(Decision.objects.order_by("at"))
    assert [int((each.at - NOW).total_seconds()) for each in kept] == [0, 60]
    (line,) = kept[0].waiting
    assert (line["code"], line["jobs"], line["left"]) == ("closed", 1, 1)
    assert decisions.forget(before=NOW + timedelta(seconds=1)) == 1

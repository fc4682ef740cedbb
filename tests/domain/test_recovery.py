"""Crash loops: replaced, held back longer each time, then quarantined until somebody releases."""

from datetime import timedelta

import pytest
from django.db.models import Q

from runners import crashes, fleet, heartbeat, leases, lifecycle, placement, pools, recovery
from runners.audit import Actor
from runners.errors import StaleState
from runners.failure import Cause
from runners.models import Event, Host, Lease, Pool, Runner, RunnerPackage
from runners.pool_picture import Rules
from runners.states import DisplayState, HostState, RunnerState
from tests.domain.messages import POLICY, entry, report, slot
from tests.factories import (
    NOW,
    HostFactory,
    JobFactory,
    PoolFactory,
    RunnerFactory,
    RunnerPackageFactory,
    ScopeFactory,
)

pytestmark = pytest.mark.django_db
RULES = Rules()

BY = Actor.system("recovery")
SECOND = timedelta(seconds=1)


def fail(runner, cause=Cause.EXIT, now=NOW):
    fresh = Runner.objects.get(pk=runner.pk)
    lifecycle.fail(fresh, cause=cause, reason="Exited with code 1", now=now, by=BY)
    return Runner.objects.get(pk=runner.pk)


def replace(now):
    return recovery.replace_due(now=now, by=BY)


def let_go(runner):
    """Its host reported that nothing of it is left."""
    lifecycle.release_slot(runner)


@pytest.fixture
def roomy():
    """A host with room for all, heard of for as long as a test looks ahead."""
    awake = NOW + timedelta(days=7)
    return HostFactory(slots=100, late_after=awake, offline_after=awake)


def test_crashed_runner_is_replaced_with_the_same_order(roomy):
    runner = RunnerFactory(host=roomy, labels=["big", "linux"], runner_group_id=7, online_at=None)
    failed = fail(runner)

    early = replace(NOW + 4 * SECOND)
    done = replace(NOW + 5 * SECOND)

    assert early.started == ()
    (new,) = done.started
    assert new.replaces == failed
    assert (new.scope, new.runner_group_id, new.ephemeral) == (failed.scope, 7, True)
    assert {label.name for label in new.labels.all()} == {"big", "linux"}
    assert new.state == RunnerState.PROVISIONING


def test_replacement_is_made_once(roomy):
    fail(RunnerFactory(host=roomy))

    counts = [len(replace(NOW + timedelta(minutes=1)).started) for _ in range(3)]

    assert counts == [1, 0, 0]


def test_second_worker_between_look_and_claim_makes_no_second_one(roomy, monkeypatch):
    fail(RunnerFactory(host=roomy))
    later = NOW + timedelta(minutes=1)
    newer_version, others = recovery.no_newer_version, list[int]()

    def the_other_first(runner):
        if not others:
            others.append(runner.pk)
            assert len(replace(later).started) == 1  # it had read the same row
        return newer_version(runner)

    monkeypatch.setattr(recovery, "no_newer_version", the_other_first)
    late_one = replace(later)

    assert (late_one.started, late_one.held_back) == ((), ())
    assert Runner.objects.filter(replaces__isnull=False).count() == 1


def test_row_that_was_replaced_can_not_be_replaced_again(roomy):
    failed = fail(RunnerFactory(host=roomy))
    replace(NOW + timedelta(minutes=1))

    with pytest.raises(StaleState, match="replaced a moment ago"):
        lifecycle.provision(recovery.order_for(failed), by=BY, reason="", now=NOW)

    assert Runner.objects.filter(replaces=failed).count() == 1


@pytest.mark.parametrize("cause", [Cause.FORCED, Cause.NO_PACKAGE])
def test_failure_that_another_start_would_not_mend_brings_none(cause, roomy):
    failed = fail(RunnerFactory(host=roomy), cause)

    assert failed.replace_at is None
    assert replace(NOW + timedelta(hours=1)).started == ()


def test_pools_runner_is_left_to_its_pool(roomy):
    failed = fail(RunnerFactory(host=roomy, pool=PoolFactory()))

    assert (failed.replace_at, failed.crashes) == (None, 0)


def test_runner_that_was_leaving_is_not_replaced(roomy):
    failed = fail(RunnerFactory(host=roomy, draining=True))

    assert failed.replace_at is None


def test_removing_a_failed_runner_ends_its_replacement(roomy, ada):
    failed = fail(RunnerFactory(host=roomy))
    lifecycle.deregister(failed, by=ada, reason="", now=NOW)

    assert replace(NOW + timedelta(hours=1)).started == ()


def test_crash_loop_backs_off_doubled_and_ends_in_quarantine(roomy):
    runner, now, waits = RunnerFactory(host=roomy, online_at=None), NOW, []

    while True:
        failed = fail(runner, Cause.REGISTRATION, now)
        if failed.quarantined_at:
            break
        waits.append(int((failed.replace_at - now).total_seconds()))
        now = failed.replace_at
        (runner,) = replace(now).started

    assert waits == [5, 10, 20, 40]
    assert failed.crashes == crashes.CRASH_LIMIT
    assert failed.display_at(now) == DisplayState.QUARANTINED
    assert replace(now + timedelta(days=1)).started == ()
    event = Event.objects.get(action="runner.quarantine")
    assert (event.object_id, "5 times" in event.reason) == (failed.pk, True)


@pytest.mark.parametrize(
    ("proof", "crashes_then"),
    [
        ({"jobs_done": 1, "online_at": NOW}, 1),
        ({"online_at": NOW - timedelta(minutes=10)}, 1),
        ({"online_at": NOW - timedelta(minutes=9)}, 4),
        ({"online_at": None}, 4),
    ],
)
def test_runner_that_proved_itself_begins_the_count_anew(proof, crashes_then, roomy):
    failed = fail(RunnerFactory(host=roomy, crashes=3, **proof))

    assert failed.crashes == crashes_then


def test_wait_between_replacements_has_an_end():
    assert [int(crashes.backoff(n).total_seconds()) for n in (1, 2, 8, 50)] == [5, 10, 600, 600]


def test_released_runner_is_tried_again_and_counted_anew(roomy, ada):
    failed = RunnerFactory(host=roomy, failed=True, crashes=5, quarantined_at=NOW)

    first = recovery.release_runner(failed, by=ada, reason="Disk mended", now=NOW)
    again = recovery.release_runner(failed, by=ada, reason="", now=NOW)
    (new,) = replace(NOW).started

    assert (first is not None, again) == (True, None)
    assert (new.replaces_id, new.crashes) == (failed.pk, 0)


def test_replacement_waits_for_room_and_takes_it(roomy):
    runner = RunnerFactory(host=HostFactory(slots=1))
    failed = fail(runner, Cause.HOST_LOST)
    awake = {"late_after": roomy.late_after, "offline_after": roomy.late_after}
    Host.objects.filter(pk=runner.host_id).update(**awake)
    Host.objects.filter(pk=roomy.pk).update(cordoned_at=NOW)
    now = NOW + timedelta(minutes=1)

    full = replace(now)
    let_go(failed)
    done = replace(now + recovery.TRY_AGAIN)

    assert (full.started, len(full.held_back)) == ((), 1)
    assert len(done.started) == 1


def test_quiesced_fleet_starts_no_replacement(roomy, ada):
    fail(RunnerFactory(host=roomy))
    now = NOW + timedelta(minutes=1)
    fleet.quiesce(by=ada, reason="Power works", now=NOW)

    closed = replace(now)
    fleet.resume(by=ada, reason="", now=now)

    assert (closed.started, "Power works" in closed.held_back[0]) == ((), True)
    assert len(replace(now).started) == 1


def test_deprecated_version_asks_for_packages_and_waits_for_a_newer_one(roomy):
    scope = ScopeFactory()
    package = RunnerPackageFactory(scope=scope, version="2.336.0")
    fail(RunnerFactory(host=roomy, scope=scope, runner_version="2.336.0"), Cause.DEPRECATED)
    now = NOW + timedelta(minutes=1)

    assert RunnerPackage.objects.get().seen_at < NOW - timedelta(days=1)
    old = replace(now)
    RunnerPackage.objects.filter(pk=package.pk).update(version="2.340.1")
    new = replace(now + recovery.ASK_FOR_PACKAGE_AGAIN)

    assert (old.started, "2.336.0" in old.held_back[0]) == ((), True)
    assert len(new.started) == 1


def test_pool_waits_for_a_newer_version_too(roomy):
    pool = PoolFactory(min_idle=1)
    package = RunnerPackageFactory(scope=pool.scope, version="2.336.0")
    runner = RunnerFactory(host=roomy, pool=pool, scope=pool.scope)
    fail(runner, Cause.DEPRECATED)
    now = NOW + timedelta(hours=1)
    old = pools.scale(RULES, now=now, by=BY)
    RunnerPackage.objects.filter(pk=package.pk).update(version="2.337.0")

    assert (old.started, "2.336.0" in old.plan.decisions[0].why) == ((), True)
    assert len(pools.scale(RULES, now=now, by=BY).started) == 1


@pytest.mark.parametrize(
    ("one", "other", "newer"),
    [("2.336.0", "2.99.9", True), ("2.336.0", "2.336.0", False), ("2.336.0", "", True)],
)
def test_versions_are_compared_as_numbers(one, other, newer):
    assert (recovery.version(one) > recovery.version(other)) == newer


def test_host_whose_runners_keep_failing_is_avoided_then_quarantined():
    host = HostFactory(slots=50)
    need = placement.Need(labels=["linux"])

    states = []
    for number in range(crashes.HOST_LIMIT):
        fail(RunnerFactory(host=host, slot=number + 1))
        states.append(placement.refusal(need, Host.objects.get(pk=host.pk), now=NOW))

    assert states[:2] == ["", ""]
    assert states[2] == "its last 3 runners failed, trying again at 12:00:30 UTC"
    assert states[-1] == "quarantined after 10 failures in a row"
    row = Host.objects.with_state(NOW).get(Q(state=HostState.QUARANTINED))
    assert (row, row.state_at(NOW)) == (host, HostState.QUARANTINED)
    assert Event.objects.filter(action="host.quarantine").count() == 1


def test_host_takes_runners_again_when_its_wait_is_over_or_it_is_released(ada):
    host = HostFactory(consecutive_failures=10, backoff_until=NOW, quarantined_at=NOW)

    first = recovery.release_host(host, by=ada, reason="New disk", now=NOW)
    again = recovery.release_host(host, by=ada, reason="", now=NOW)

    assert (first is not None, again) == (True, None)
    row = Host.objects.get(pk=host.pk)
    assert (row.consecutive_failures, row.quarantined_at, row.backoff_until) == (0, None, None)
    assert placement.refusal(placement.Need(labels=[]), row, now=NOW) == ""


def test_runner_that_comes_online_clears_its_hosts_failures(ada):
    host = HostFactory(consecutive_failures=4, backoff_until=NOW + timedelta(hours=1))

    lifecycle.activate(RunnerFactory(host=host, starting=True), now=NOW, by=ada)

    row = Host.objects.get(pk=host.pk)
    assert (row.consecutive_failures, row.backoff_until) == (0, None)


@pytest.mark.parametrize(
    "cause",
    [Cause.REGISTRATION, Cause.PACKAGE, Cause.NO_PACKAGE, Cause.DEPRECATED, Cause.FORCED],
)
def test_failure_that_is_not_the_hosts_counts_against_the_pool_alone(cause):
    pool = PoolFactory()
    runner = RunnerFactory(pool=pool, scope=pool.scope)

    fail(runner, cause)

    assert Host.objects.get(pk=runner.host_id).consecutive_failures == 0
    assert Pool.objects.get().consecutive_failures == 1


def failed_pool(hosts):
    pool = PoolFactory(min_idle=1)
    for number in range(crashes.POOL_LIMIT):
        host = hosts[number % len(hosts)]
        fail(RunnerFactory(host=host, pool=pool, scope=pool.scope, slot=number + 1))
    return Pool.objects.get(pk=pool.pk)


def test_pool_that_fails_on_two_hosts_is_quarantined_until_released(roomy, ada):
    hosts = [HostFactory(slots=50), HostFactory(slots=50)]
    pool = failed_pool(hosts)
    late = NOW + timedelta(days=1)

    held = pools.scale(RULES, now=late, by=BY)
    recovery.release_pool(pool, by=ada, reason="Image mended", now=late)

    assert pool.quarantined_at == NOW
    assert (held.started, "quarantined" in held.plan.decisions[0].why) == ((), True)
    assert Event.objects.filter(action="pool.quarantine").count() == 1
    assert len(pools.scale(RULES, now=late, by=BY).started) == 1


def test_pool_that_fails_on_its_only_host_is_quarantined():
    assert failed_pool([HostFactory(slots=50)]).quarantined_at == NOW


def test_pool_that_fails_on_one_host_of_several_is_not_to_blame():
    HostFactory()

    assert failed_pool([HostFactory(slots=50)]).quarantined_at is None


def test_paused_and_resumed_pool_leaves_quarantine(ada):
    pool = PoolFactory(paused_at=NOW, quarantined_at=NOW, consecutive_failures=10)

    pools.resume(pool, by=ada, reason="", now=NOW)

    assert Pool.objects.get().quarantined_at is None


def ends_unused(pool, seconds, *, github_told=False, host_tells=False, **traits):
    runner = RunnerFactory(
        pool=pool,
        scope=pool.scope,
        starting=True,
        process_started_at=NOW - timedelta(seconds=seconds),
        **traits,
    )
    if github_told:
        JobFactory(scope=pool.scope, runner=runner, done=True)
    began = runner.process_started_at.isoformat()
    said = slot(runner, "exited", exit_code=0, cause="finished", process_started_at=began)
    journal = [entry(1, "job-completed", runner)] if host_tells else []
    told = report(runner.host, said, journal=journal)
    heartbeat.receive(runner.host, "", told, policy=POLICY, now=NOW)
    assert Runner.objects.get(pk=runner.pk).state == RunnerState.REMOVING


@pytest.mark.parametrize(
    ("seconds", "traits", "failures"),
    [
        (30, {}, 1),
        (90, {}, 0),
        (30, {"jobs_done": 1}, 0),
        (30, {"phase": "busy"}, 0),
        (3, {"github_told": True}, 0),
        (3, {"host_tells": True}, 0),
    ],
)
def test_runner_that_ends_unused_at_once_makes_its_pool_wait(seconds, traits, failures):
    pool = PoolFactory(min_idle=1)

    ends_unused(pool, seconds, **traits)

    row = Pool.objects.get()
    assert row.consecutive_failures == failures
    assert (row.backoff_until is not None) == bool(failures)


def test_recover_frees_what_nobody_holds_and_leaves_live_runners_alone(roomy):
    leaked = RunnerFactory(host=roomy, removed=True, slot=9)
    live = RunnerFactory(host=roomy, slot=2)
    Lease.objects.create(name="old", owner="elsewhere:1", expires_at=NOW - SECOND)
    Lease.objects.create(name="held", owner="elsewhere:2", expires_at=NOW + SECOND)
    assert leases.acquire("ours", leases.this_process(), 60, NOW)

    done = recovery.recover(now=NOW, by=BY)

    assert (done.slots_freed, done.leases_freed) == ((leaked.name,), ("old",))
    assert Runner.objects.get(pk=live.pk).slot == 2
    assert Runner.objects.get(pk=leaked.pk).slot is None

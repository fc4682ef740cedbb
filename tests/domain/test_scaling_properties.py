"""What holds for every plan, whatever the fleet: searched at random, small numbers all together."""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runners.scaling import (
    Blocked,
    Code,
    Demand,
    Held,
    HostRoom,
    Pacing,
    Plan,
    Policy,
    PoolView,
    Presets,
    RunnerView,
    ScopeView,
    Size,
    Worth,
    limits_at,
    plan,
)
from tests.factories import NOW

EXAMPLES = int(os.environ.get("FLEET_PROPERTY_EXAMPLES", "120"))
SEARCH = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="FLEET_PROPERTY_EXAMPLES" not in os.environ,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
GIB = 2**30
LABELS = ("linux", "x64", "arm64", "gpu", "big")
SITES = ("eu", "us", "")
BOUNDARIES = (0, 1, 29, 30, 59, 60, 89, 90, 119, 120, 299, 300, 5000)
COUNTED = set(Worth) - {Worth.LEAVING}


def ago(seconds):
    return NOW - timedelta(seconds=seconds)


@dataclass(frozen=True)
class Fleet:
    """Everything one plan is made from."""

    demand: tuple[Demand, ...]
    supply: tuple[RunnerView, ...]
    pools: tuple[PoolView, ...]
    hosts: tuple[HostRoom, ...]
    pacing: Pacing

    def plan(self) -> Plan:
        return plan(self.demand, self.supply, self.pools, self.hosts, now=NOW, pacing=self.pacing)


def some_labels():
    return st.frozensets(st.sampled_from(LABELS), min_size=1, max_size=3)


@st.composite
def scopes(draw):
    slugs = draw(st.lists(st.sampled_from(("acme", "beta", "acme/web")), min_size=1, unique=True))
    return [
        ScopeView(
            number,
            "repository" if "/" in slug else "organization",
            slug,
            unknown_since=draw(st.sampled_from((None, None, None, ago(60)))),
            picture_at=draw(st.sampled_from((NOW, NOW, ago(100), None))),
        )
        for number, slug in enumerate(slugs, start=1)
    ]


@st.composite
def policies(draw):
    maximum = draw(st.integers(0, 6))
    return Policy(
        labels=draw(some_labels()),
        min_idle=draw(st.integers(0, maximum)),
        max_runners=maximum,
        warm_spares=draw(st.integers(0, 2)),
        preset=draw(st.sampled_from(Presets)),
        idle_timeout_seconds=draw(st.sampled_from((None, 30, 60))),
        max_lifetime_seconds=draw(st.sampled_from((0, 600))),
        scale_up_step=draw(st.sampled_from((0, 0, 1, 2))),
        cooldown_seconds=draw(st.sampled_from((0, 0, 60))),
        priority=draw(st.integers(-1, 1)),
        weight=draw(st.integers(1, 3)),
        ephemeral=draw(st.booleans()),
        architecture=draw(st.sampled_from(("", "x64", "arm64"))),
        sites=draw(st.sampled_from(((), ("eu",), ("us", "eu")))),
        emulation=draw(st.booleans()),
        size=draw(st.sampled_from((Size(), Size(cpus=2), Size(cpus=1, memory_bytes=3 * GIB)))),
    )


@st.composite
def fleets(draw):
    there = draw(scopes())
    held = st.sampled_from((None, None, None, *(Held(code, code.value) for code in Blocked)))
    pools = tuple(
        PoolView(
            number,
            f"pool-{number}",
            draw(st.sampled_from(there)),
            draw(policies()),
            draw(held),
            draw(st.sampled_from((None, ago(59), ago(60)))),
        )
        for number in range(1, draw(st.integers(1, 4)) + 1)
    )
    hosts = tuple(
        HostRoom(
            number,
            f"host-{number}",
            slots=4,
            free=draw(st.integers(0, 4)),
            left=Size(cpus=draw(st.integers(0, 6)), memory_bytes=8 * GIB),
            site=draw(st.sampled_from(SITES)),
            architecture=draw(st.sampled_from(("x64", "arm64"))),
            emulated=draw(st.sampled_from((False, False, True))),
            refusal=draw(st.sampled_from(("", "", "", "cordoned"))),
        )
        for number in range(1, draw(st.integers(0, 4)) + 1)
    )
    supply = tuple(
        RunnerView(
            number,
            draw(st.sampled_from(Worth)),
            ago(draw(st.sampled_from(BOUNDARIES))),
            draw(st.sampled_from((None, ago(30), ago(90), ago(5000)))),
            pool_id=draw(st.sampled_from([None, *(pool.id for pool in pools)])),
            host_id=draw(st.integers(1, 4)),
            ephemeral=draw(st.booleans()),
            untold_job=draw(st.booleans()),
            scope=there[0],
            labels=draw(some_labels()),
        )
        for number in range(1, draw(st.integers(0, 10)) + 1)
    )
    demand = tuple(
        jobs(draw, draw(st.sampled_from(there)), first=100 * number)
        for number in range(draw(st.integers(0, 4)))
    )
    pacing = Pacing(
        left=draw(st.sampled_from((None, 0, 3, 100))),
        burst=draw(st.sampled_from((None, 2, 100))),
        stale_after=draw(st.sampled_from((None, timedelta(seconds=60)))),
    )
    return Fleet(demand, supply, pools, hosts, pacing)


def jobs(draw, scope, *, first):
    count = draw(st.integers(1, 6))
    waited = sorted((draw(st.sampled_from(BOUNDARIES)) for _ in range(count)), reverse=True)
    return Demand(
        scope=scope,
        repository=draw(st.sampled_from(("acme/web", "acme/api", "beta/web"))),
        labels=draw(some_labels() | st.just(frozenset({"ubuntu-latest"}))),
        job_ids=tuple(range(first, first + count)),
        queued_at=tuple(ago(seconds) for seconds in waited),
    )


def started(planned: Plan) -> Counter[int]:
    counts: Counter[int] = Counter()
    for start in planned.starts:
        counts[start.pool_id] += start.count
    return counts


def no_pool_grows_above_its_maximum(fleet, planned):
    counts = Counter(each.pool_id for each in fleet.supply if each.worth in COUNTED)

    for pool_id, number in started(planned).items():
        (pool,) = [each for each in fleet.pools if each.id == pool_id]
        assert counts[pool_id] + number <= limits_at(pool.policy, NOW).max_runners


def no_host_is_overcommitted_and_none_that_refuses_is_used(fleet, planned):
    hosts = {host.id: host for host in fleet.hosts}
    policies = {pool.id: pool.policy for pool in fleet.pools}
    taken: Counter[int] = Counter()
    cpus: Counter[int] = Counter()
    memory: Counter[int] = Counter()

    for start in planned.starts:
        taken[start.host_id] += start.count
        cpus[start.host_id] += start.count * policies[start.pool_id].size.cpus
        memory[start.host_id] += start.count * policies[start.pool_id].size.memory_bytes
        assert hosts[start.host_id].refusal == ""
        assert not hosts[start.host_id].emulated or policies[start.pool_id].emulation

    for host_id, number in taken.items():
        assert number <= hosts[host_id].free
        assert cpus[host_id] <= hosts[host_id].left.cpus or not cpus[host_id]
        assert memory[host_id] <= hosts[host_id].left.memory_bytes or not memory[host_id]


def only_proven_idle_runners_leave_and_old_ones_that_finish_first(fleet, planned):
    there = {each.id: each for each in fleet.supply}
    pools = {pool.id: pool for pool in fleet.pools}

    for stop in planned.stops:
        runner, pool = there[stop.runner_id], pools[stop.pool_id]
        assert runner.pool_id == pool.id
        assert pool.scope.unknown_since is None
        assert pool.held is None or pool.held.code not in (Blocked.PAUSED, Blocked.GITHUB_UNKNOWN)
        if stop.code == "lifetime":
            assert runner.worth is Worth.IDLE or (
                runner.worth is Worth.BUSY and not runner.ephemeral
            )
        else:
            assert runner.worth is Worth.IDLE
            assert runner.online_at is not None
            assert runner.online_at <= ago(90)


def idle_runners_that_leave_for_their_time_leave_the_minimum_behind(fleet, planned):
    idle = Counter(each.pool_id for each in fleet.supply if each.worth is Worth.IDLE)
    gone = Counter(stop.pool_id for stop in planned.stops if stop.code == "idle")

    for pool in fleet.pools:
        if gone[pool.id]:
            assert idle[pool.id] - gone[pool.id] >= limits_at(pool.policy, NOW).min_idle


def registrations_left_are_shared_by_all_pools(fleet, planned):
    total = started(planned).total()

    for limit in (fleet.pacing.left, fleet.pacing.burst):
        assert limit is None or total <= limit
    if fleet.pacing.left is not None:
        assert planned.registrations_left == fleet.pacing.left - total


def the_same_facts_in_another_order_give_the_same_starts(fleet, first):
    shuffler = random.Random(len(fleet.supply))
    hosts, supply = list(fleet.hosts), list(fleet.supply)
    shuffler.shuffle(hosts)
    shuffler.shuffle(supply)
    again = replace(fleet, hosts=tuple(hosts), supply=tuple(supply)).plan()

    assert fleet.plan() == first
    assert started(again) == started(first)
    assert {stop.runner_id for stop in again.stops} == {stop.runner_id for stop in first.stops}


def every_waiting_job_is_accounted_for(fleet, planned):

    assert [each.demand for each in planned.verdicts] == list(fleet.demand)
    for each in planned.verdicts:
        parts = (each.running, each.ready, each.starting, each.planned, each.left)
        assert min(parts) >= 0
        assert sum(parts) == each.demand.count
        served = {Code.RUNNING, Code.READY, Code.STARTING, Code.PLANNED}
        assert (each.code in served) == (each.left == 0)
    for_jobs = sum(decision.for_jobs for decision in planned.decisions)
    assert for_jobs == sum(each.planned for each in planned.verdicts)


def what_was_carried_out_is_not_done_again(fleet, planned):
    hosts = {host.id: host for host in fleet.hosts}
    policies = {pool.id: pool.policy for pool in fleet.pools}
    fresh = [
        RunnerView(1000 + n, Worth.STARTING, NOW, None, start.pool_id, start.host_id)
        for n, start in enumerate(start for start in planned.starts for _ in range(start.count))
    ]
    for start in planned.starts:
        host, size = hosts[start.host_id], policies[start.pool_id].size
        for _ in range(start.count):
            host = replace(host, free=host.free - 1, left=host.left - size)
        hosts[start.host_id] = host
    left = planned.registrations_left
    after = replace(
        fleet,
        supply=(*fleet.supply, *fresh),
        hosts=tuple(hosts.values()),
        pacing=replace(fleet.pacing, left=left),
    )
    burst = fleet.pacing.burst
    stepped = any(pool.policy.scale_up_step for pool in fleet.pools)

    if (burst is None or started(planned).total() < burst) and not stepped:
        assert started(after.plan()).total() == 0


PROMISES = (
    no_pool_grows_above_its_maximum,
    no_host_is_overcommitted_and_none_that_refuses_is_used,
    only_proven_idle_runners_leave_and_old_ones_that_finish_first,
    idle_runners_that_leave_for_their_time_leave_the_minimum_behind,
    registrations_left_are_shared_by_all_pools,
    every_waiting_job_is_accounted_for,
    what_was_carried_out_is_not_done_again,
    the_same_facts_in_another_order_give_the_same_starts,
)


@given(fleets())
@SEARCH
def test_every_plan_keeps_every_promise(fleet):
    """One search for all of them: a fleet takes longer to draw than to plan."""
    planned = fleet.plan()

    for promise in PROMISES:
        promise(fleet, planned)


@given(
    st.integers(0, 12),
    st.integers(0, 12),
    st.integers(0, 3),
    st.sampled_from(Presets),
    st.sampled_from((0, 60, 120)),
)
@SEARCH
def test_more_demand_never_starts_less(fewer, more, idle, preset, waited):
    scope = ScopeView(1, "organization", "acme", picture_at=NOW)
    pool = PoolView(1, "p", scope, Policy(frozenset({"linux"}), 1, 8, preset=preset))
    host = HostRoom(1, "h", slots=9, free=9)
    supply = tuple(RunnerView(n, Worth.IDLE, NOW, NOW, 1, 1) for n in range(idle))

    def starts(count):
        ids = tuple(range(count))
        group = Demand(scope, "acme/web", frozenset({"linux"}), ids, (ago(waited),) * count)
        demand = (group,) if count else ()
        return started(Fleet(demand, supply, (pool,), (host,), Pacing()).plan()).total()

    low, high = sorted((fewer, more))
    assert starts(low) <= starts(high)


def test_two_pools_of_two_owners_share_a_host_by_weight():
    rng = random.Random(7)
    for _ in range(20):
        weights = rng.randint(1, 4), rng.randint(1, 4)
        scopes_of = [ScopeView(n, "organization", f"org-{n}") for n in (1, 2)]
        pools = tuple(
            PoolView(n, f"p{n}", scope, Policy(frozenset({"l"}), 0, 100, weight=weight))
            for n, scope, weight in zip((1, 2), scopes_of, weights, strict=True)
        )
        demand = tuple(
            Demand(s, f"org-{s.id}/a", frozenset({"l"}), tuple(range(50)), (ago(9),) * 50)
            for s in scopes_of
        )
        host = HostRoom(1, "h", slots=20, free=20)
        counts = started(Fleet(demand, (), pools, (host,), Pacing()).plan())

        assert counts.total() == 20
        fair = 20 * weights[0] / sum(weights)
        assert abs(counts[1] - fair) <= 1

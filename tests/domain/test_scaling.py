"""The plan, as arithmetic: what is started, what is let go, and why each job waits."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from runners.scaling import (
    Blocked,
    Code,
    Demand,
    Held,
    HostRoom,
    Limits,
    Pacing,
    Policy,
    PoolView,
    Presets,
    RunnerView,
    ScopeView,
    StopCode,
    Window,
    Worth,
    limits_at,
    plan,
)
from runners.scaling.policy import DAYS
from tests.factories import NOW

ACME = ScopeView(1, "organization", "acme", picture_at=NOW)
LABELS = frozenset({"self-hosted", "linux", "x64"})
HOST = HostRoom(1, "forge-01", slots=16, free=16, architecture="x64")


def ago(seconds):
    return NOW - timedelta(seconds=seconds)


def pool(number=1, **policy):
    held = policy.pop("held", None)
    scaled_at = policy.pop("scaled_at", None)
    scope = policy.pop("scope", ACME)
    name = policy.pop("name", f"pool-{number}")
    return PoolView(number, name, scope, Policy(**{"labels": LABELS, **policy}), held, scaled_at)


def jobs(count, *, waited=1, labels=LABELS, repository="acme/web", scope=ACME, first=1):
    ids = tuple(range(first, first + count))
    return Demand(scope, repository, labels, ids, (ago(waited),) * count)


def runners(*worths, pool_id=1, first=1, idle_for=1000, **changes):
    return [
        RunnerView(number, worth, ago(idle_for), ago(5000), pool_id, host_id=1, **changes)
        for number, worth in enumerate(worths, start=first)
    ]


def started(planned):
    return sum(start.count for start in planned.starts)


def test_one_job_starts_one_runner():
    planned = plan([jobs(1)], [], [pool()], [HOST], now=NOW)

    assert [(s.pool_id, s.host_id, s.count) for s in planned.starts] == [(1, 1, 1)]
    assert planned.verdicts[0].code is Code.PLANNED
    assert planned.decisions[0].why == (
        "pool-1: 0 idle, 0 starting, 0 busy of at most 10; 1 job waits for a runner; "
        "starting 1 for them."
    )


@pytest.mark.parametrize(
    ("worth", "code"), [(Worth.IDLE, Code.READY), (Worth.STARTING, Code.STARTING)]
)
def test_what_is_there_or_coming_takes_the_job(worth, code):
    planned = plan([jobs(1)], runners(worth, idle_for=1), [pool()], [HOST], now=NOW)

    assert started(planned) == 0
    assert planned.verdicts[0].code is code


@pytest.mark.parametrize(
    ("preset", "count", "waited", "starts"),
    [
        (Presets.AGGRESSIVE, 1, 0, 1),
        (Presets.BALANCED, 1, 59, 0),
        (Presets.BALANCED, 1, 60, 1),
        (Presets.BALANCED, 2, 0, 2),
        (Presets.LAZY, 4, 119, 0),
        (Presets.LAZY, 4, 120, 4),
        (Presets.LAZY, 5, 0, 5),
    ],
)
def test_a_preset_starts_at_its_boundary_and_not_before(preset, count, waited, starts):
    planned = plan([jobs(count, waited=waited)], [], [pool(preset=preset)], [HOST], now=NOW)

    assert started(planned) == starts


def test_a_job_that_waited_for_long_starts_a_runner_although_an_older_group_was_served():
    served = Demand(ACME, "acme/web", LABELS, (1, 2), (ago(200), ago(1)))
    waits = jobs(1, waited=120, repository="acme/engine", first=3)
    idle = runners(Worth.IDLE, idle_for=1)
    planned = plan([served, waits], idle, [pool(preset=Presets.LAZY)], [HOST], now=NOW)

    assert started(planned) == 2


def test_idle_runner_leaves_once_its_time_is_over_and_not_before():
    def stops(idle_for):
        return plan([], runners(Worth.IDLE, idle_for=idle_for), [pool()], [HOST], now=NOW).stops

    assert stops(299) == ()
    assert [stop.code for stop in stops(300)] == [StopCode.IDLE]


def test_a_pool_that_is_held_back_says_why_to_its_jobs():
    held = Held(Blocked.PAUSED, "paused, Kernel")
    planned = plan([jobs(1)], [], [pool(held=held)], [HOST], now=NOW)

    assert started(planned) == 0
    assert (planned.verdicts[0].code, planned.verdicts[0].facts.held) == (Code.HELD, held)
    assert planned.decisions[0].why == "pool-1: paused, Kernel."


def test_jobs_for_github_s_own_runners_are_not_ours():
    planned = plan([jobs(50, labels=frozenset({"ubuntu-latest"}))], [], [pool()], [HOST], now=NOW)

    assert started(planned) == 0
    assert planned.verdicts[0].code is Code.NOT_OURS


def test_unroutable_job_names_the_nearest_pool_and_what_it_lacks():
    wanted = LABELS | {"cuda"}
    planned = plan([jobs(1, labels=wanted)], [], [pool()], [HOST], now=NOW)

    verdict = planned.verdicts[0]
    assert (verdict.code, verdict.pool_id, verdict.facts.missing) == (Code.NO_POOL, 1, ("cuda",))


def test_registrations_left_are_never_exceeded():
    planned = plan([jobs(9)], [], [pool()], [HOST], now=NOW, pacing=Pacing(left=4, burst=10))

    assert (started(planned), planned.registrations_left) == (4, 0)
    assert planned.verdicts[0].code is Code.PACED


def test_the_preferred_site_comes_first_and_another_serves_when_it_is_full():
    near = replace(HOST, name="near", free=1, site="eu")
    far = replace(HOST, id=2, name="far", site="us")
    planned = plan([jobs(2)], [], [pool(sites=("eu", "us"))], [near, far], now=NOW)

    assert [(start.host_id, start.count) for start in planned.starts] == [(1, 1), (2, 1)]


# Hours


BERLIN = "Europe/Berlin"
OFFICE = frozenset({"mon", "tue", "wed", "thu", "fri"})


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "limits"),
    [
        ("2026-11-23T06:59:59", (0, 10)),  # 07:59 in Berlin, a Monday
        ("2026-11-23T07:00:00", (3, 10)),
        ("2026-11-23T16:59:59", (3, 10)),
        ("2026-11-23T17:00:00", (0, 10)),
        ("2026-11-28T09:00:00", (0, 10)),  # a Saturday
        ("2026-07-20T06:00:00", (3, 10)),  # 08:00 in summer
        ("2026-07-20T05:59:59", (0, 10)),
    ],
)
def test_hours_are_those_of_the_wall_clock_there(moment, limits):
    hours = Window(OFFICE, time(8), time(18), min_idle=3)
    policy = Policy(LABELS, time_zone=BERLIN, windows=(hours,))

    found = limits_at(policy, at(moment))

    assert (found.min_idle, found.max_runners) == limits


@pytest.mark.parametrize(
    ("moment", "open_"),
    [
        ("2026-11-27T22:00:00", True),  # Friday night
        ("2026-11-28T05:59:59", True),  # goes on into Saturday
        ("2026-11-28T06:00:00", False),
        ("2026-11-28T22:00:00", False),  # Saturday begins no window
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_it_begins_on(moment, open_):
    night = Window(frozenset({"fri"}), time(22), time(6), max_runners=0)

    closed = limits_at(Policy(LABELS, windows=(night,)), at(moment)).max_runners == 0

    assert closed == open_


def test_the_first_window_that_holds_counts_and_cuts_the_minimum():
    every = frozenset(DAYS)
    policy = Policy(
        LABELS,
        min_idle=5,
        windows=(
            Window(every, time(0), time(0), max_runners=2),
            Window(every, time(0), time(0), max_runners=9),
        ),
    )

    assert limits_at(policy, NOW) == Limits(2, 2)


def test_a_pool_closed_by_its_hours_lets_idle_ones_go_and_tells_its_jobs():
    shut = Window(frozenset(DAYS), time(0), time(0), max_runners=0)
    there = runners(Worth.IDLE, Worth.BUSY, idle_for=100)
    other = jobs(1, repository="acme/other")

    planned = plan([], there, [pool(windows=(shut,))], [HOST], now=NOW)
    asked = plan([other], [], [pool(windows=(shut,))], [HOST], now=NOW)

    assert [(stop.runner_id, stop.code) for stop in planned.stops] == [(1, StopCode.OVER_MAX)]
    assert asked.verdicts[0].code is Code.CLOSED


# Who may have which job


@pytest.mark.parametrize(
    ("scope", "repository", "code"),
    [
        (ScopeView(2, "organization", "acme"), "acme/web", Code.PLANNED),
        (ScopeView(2, "organization", "Acme"), "acme/web", Code.PLANNED),
        (ScopeView(2, "repository", "acme/web"), "acme/web", Code.PLANNED),
        (ScopeView(2, "repository", "acme/api"), "acme/web", Code.WRONG_SCOPE),
        (ScopeView(2, "organization", "beta"), "acme/web", Code.WRONG_SCOPE),
        (ScopeView(2, "organization", "acme", server="ghes.corp"), "acme/web", Code.WRONG_SCOPE),
        (ScopeView(2, "enterprise", "acme"), "acme/web", Code.WRONG_SCOPE),
        (ScopeView(1, "enterprise", "big"), "acme/web", Code.PLANNED),
    ],
)
def test_a_job_starts_runners_only_where_its_repository_reaches_them(scope, repository, code):
    demand = jobs(1, repository=repository)

    assert plan([demand], [], [pool(scope=scope)], [HOST], now=NOW).verdicts[0].code is code


def test_a_pool_lets_in_only_the_repositories_it_names():
    only = pool(repositories=("acme/web-*",))

    refused = plan([jobs(1, repository="acme/api")], [], [only], [HOST], now=NOW).verdicts[0]
    let_in = plan([jobs(1, repository="Acme/Web-1")], [], [only], [HOST], now=NOW).verdicts[0]

    assert (refused.code, refused.pool_id) == (Code.REPOSITORY_REFUSED, 1)
    assert let_in.code is Code.PLANNED


def test_the_pool_that_fits_best_starts_and_passes_on_what_it_cannot():
    plain = pool(1, max_runners=2)
    gpu = pool(2, labels=LABELS | {"gpu"}, priority=50)

    planned = plan([jobs(3)], [], [plain, gpu], [HOST], now=NOW)

    assert {start.pool_id: start.count for start in planned.starts} == {1: 2, 2: 1}


# Supply


def test_a_runner_that_works_already_takes_its_job_out_of_the_queue():
    busy = runners(Worth.BUSY, untold_job=True)

    planned = plan([jobs(1)], busy, [pool()], [HOST], now=NOW)

    assert (started(planned), planned.verdicts[0].code) == (0, Code.RUNNING)


def test_a_starting_runner_counts_until_its_deadline_and_then_is_replaced():
    def starts(waited):
        late = runners(Worth.STARTING, idle_for=waited)
        return started(plan([jobs(1)], late, [pool(max_runners=2)], [HOST], now=NOW))

    assert (starts(119), starts(120)) == (0, 1)


@pytest.mark.parametrize("worth", [Worth.UNKNOWN, Worth.OFFLINE, Worth.DRAINING, Worth.BUSY])
def test_what_may_work_counts_towards_the_maximum_and_is_no_supply(worth):
    planned = plan([jobs(1)], runners(worth), [pool(max_runners=1)], [HOST], now=NOW)

    assert (started(planned), planned.stops) == (0, ())
    assert planned.verdicts[0].code is Code.AT_MAX


# Leaving


@pytest.mark.parametrize(
    ("scope", "goes"),
    [
        (replace(ACME, picture_at=NOW), True),
        (replace(ACME, picture_at=None), False),
        (replace(ACME, picture_at=ago(1001), looked_at=NOW), False),  # before it was idle
        (replace(ACME, picture_at=ago(1000), looked_at=NOW), True),
        (replace(ACME, looked_at=ago(61)), False),  # nobody looks any more
        (replace(ACME, unknown_since=NOW), False),
    ],
)
def test_an_idle_runner_leaves_only_on_a_queue_that_was_seen_whole(scope, goes):
    pacing = Pacing(stale_after=timedelta(seconds=60))

    planned = plan([], runners(Worth.IDLE), [pool(scope=scope)], [HOST], now=NOW, pacing=pacing)

    assert bool(planned.stops) == goes


def test_a_fresh_runner_has_its_grace_however_short_the_timeout():
    def stops(age):
        fresh = [RunnerView(1, Worth.IDLE, ago(age), ago(age), 1, 1)]
        return plan([], fresh, [pool(idle_timeout_seconds=30)], [HOST], now=NOW).stops

    assert (len(stops(89)), len(stops(90))) == (0, 1)


def test_minimum_stays_and_warm_spares_stay_while_the_pool_works():
    idle = runners(*[Worth.IDLE] * 5)
    busy = runners(Worth.BUSY, first=9)

    quiet = plan([], idle, [pool(min_idle=1, warm_spares=3)], [HOST], now=NOW)
    working = plan([], idle + busy, [pool(min_idle=1, warm_spares=3)], [HOST], now=NOW)

    assert (len(quiet.stops), len(working.stops)) == (4, 2)


def test_old_runners_leave_one_by_one_once_another_is_ready_and_never_in_a_job_of_their_own():
    aged = {"max_lifetime_seconds": 600}
    alone = runners(Worth.IDLE, idle_for=5)
    pair = runners(Worth.IDLE, Worth.IDLE, idle_for=5)
    ephemeral = runners(Worth.BUSY)
    persistent = runners(Worth.BUSY, ephemeral=False)

    def codes(there, **more):
        stops = plan([], there, [pool(**aged, **more)], [HOST], now=NOW).stops
        return [stop.code.value for stop in stops]

    assert codes(alone, min_idle=1) == []  # its replacement starts first
    assert codes(pair) == ["lifetime"]
    assert codes(ephemeral) == []
    assert codes(persistent) == ["lifetime"]  # drained: its job is finished first


def test_idle_runners_give_way_to_jobs_of_another_pool_that_find_no_room():
    full = replace(HOST, free=0)
    other = pool(2, labels=LABELS | {"big"})
    idle = runners(Worth.IDLE, Worth.IDLE, idle_for=100)

    planned = plan([jobs(1, labels=LABELS | {"big"})], idle, [pool(), other], [full], now=NOW)

    assert [(stop.pool_id, stop.code) for stop in planned.stops] == [(1, StopCode.MAKES_ROOM)]
    assert planned.verdicts[0].code is Code.HOSTS_FULL


# Pace


def test_step_and_cooldown_hold_back_jobs_but_not_what_is_kept_warm():
    cooling = pool(cooldown_seconds=60, scaled_at=ago(59), min_idle=1)
    cooled = pool(cooldown_seconds=60, scaled_at=ago(60))

    held = plan([jobs(3)], [], [cooling], [HOST], now=NOW)
    free = plan([jobs(3)], [], [cooled], [HOST], now=NOW)
    stepped = plan([jobs(3)], [], [pool(scale_up_step=2)], [HOST], now=NOW)

    assert (started(held), held.verdicts[0].code) == (1, Code.COOLDOWN)
    assert started(free) == 3
    assert (started(stepped), stepped.verdicts[0].code) == (2, Code.STEP)


def test_higher_priority_goes_first_and_owners_share_the_rest():
    scopes = [ScopeView(n, "organization", f"org{n}") for n in (1, 2, 3)]
    pools = [
        pool(1, scope=scopes[0], priority=5, max_runners=4),
        pool(2, scope=scopes[1]),
        pool(3, scope=scopes[2]),
        pool(4, scope=scopes[2]),
    ]
    demand = [jobs(20, repository=f"org{n}/web", scope=scopes[n - 1]) for n in (1, 2, 3)]

    planned = plan(demand, [], pools, [HOST], now=NOW)

    counts = dict.fromkeys((1, 2, 3, 4), 0)
    for start in planned.starts:
        counts[start.pool_id] += start.count
    assert (counts[1], counts[2], counts[3] + counts[4]) == (4, 6, 6)


def test_a_closed_fleet_starts_nothing_and_lets_nothing_go():
    closed = Held(Blocked.QUIESCED, "quiesced")
    idle = runners(Worth.IDLE)
    wanted = jobs(2, labels=LABELS)

    planned = plan([wanted], idle, [pool(min_idle=2)], [HOST], now=NOW, closed=closed)

    assert (planned.starts, planned.stops) == ((), ())
    assert planned.verdicts[0].facts.held == closed

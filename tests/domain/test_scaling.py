"""The plan, as arithmetic: what is started, what is let go, and why each job waits."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from runners.scaling import (
    Blocked,
    Code,
    Demand,
    Held,
    HostRoom,
    Pacing,
    Policy,
    PoolView,
    Presets,
    RunnerView,
    ScopeView,
    StopCode,
    Worth,
    plan,
)
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

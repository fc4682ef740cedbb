"""The presets over a trace of jobs, tick by tick: when runners come, how many, and when they go."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runners.scaling import (
    Demand,
    HostRoom,
    Pacing,
    Policy,
    PoolView,
    Presets,
    RunnerView,
    ScopeView,
    Worth,
    plan,
)
from tests.factories import NOW

TICK, START, WORK = 5, 20, 60
LABELS = frozenset({"linux"})
CANCELLED = 700
# Moments (s) at which jobs are queued: one alone, four at once, one each 10 s, and one that is
# cancelled before its runner is there
TRACE = (0, *([200] * 4), *range(400, 460, 10), CANCELLED)


def curve(preset: Presets, *, until: int = 1500) -> list[tuple[int, int]]:
    """(second, live runners) at each change; one-job runners are online in START, work for WORK."""
    pool_policy = Policy(LABELS, max_runners=8, preset=preset)
    waiting: list[int] = []
    asked: dict[int, int] = {}
    ends: dict[int, int] = {}
    changes: list[tuple[int, int]] = []
    number = 0
    for second in range(0, until, TICK):
        now = NOW + timedelta(seconds=second)
        waiting += [at for at in TRACE if second - TICK < at <= second]
        waiting = [at for at in waiting if at != CANCELLED or second < CANCELLED + 2 * TICK]
        asked = {pk: at for pk, at in asked.items() if ends.get(pk, until) > second}
        idle = [pk for pk, at in asked.items() if at + START <= second and pk not in ends]
        for pk in idle[: len(waiting)]:
            waiting.pop(0)
            ends[pk] = second + WORK
        planned = at_once(pool_policy, waiting, asked, ends, now)
        gone = {stop.runner_id for stop in planned.stops}
        asked = {pk: at for pk, at in asked.items() if pk not in gone}
        for _ in range(sum(start.count for start in planned.starts)):
            number += 1
            asked[number] = second
        if not changes or changes[-1][1] != len(asked):
            changes.append((second, len(asked)))
    return changes


def at_once(policy, waiting, asked, ends, now):
    """One plan at one moment of the trace."""
    scope = ScopeView(1, "organization", "acme", picture_at=now)
    begin = NOW
    supply = [
        RunnerView(
            pk,
            Worth.BUSY
            if pk in ends
            else Worth.IDLE
            if begin + timedelta(seconds=at + START) <= now
            else Worth.STARTING,
            begin + timedelta(seconds=at + (START if pk in ends else 0)),
            begin + timedelta(seconds=at + START),
            pool_id=1,
            host_id=1,
        )
        for pk, at in asked.items()
    ]
    queued = tuple(begin + timedelta(seconds=at) for at in waiting)
    demand = [Demand(scope, "acme/web", LABELS, tuple(range(len(queued))), queued)]
    pool = PoolView(1, "linux", scope, policy)
    host = HostRoom(1, "forge", slots=8, free=8 - len(asked))
    return plan(
        demand if queued else [], supply, [pool], [host], now=now, pacing=Pacing(grace=timedelta(0))
    )


GOLDEN = {
    Presets.LAZY: [
        (0, 0),
        (120, 1),
        (200, 0),
        (320, 4),
        (400, 0),
        (440, 5),
        (450, 6),
        (520, 1),
        (530, 0),
    ],
    Presets.BALANCED: [
        (0, 0),
        (60, 1),
        (140, 0),
        (200, 4),
        (280, 0),
        (410, 2),
        (420, 3),
        (430, 4),
        (440, 5),
        (450, 6),
        (490, 4),
        (500, 3),
        (510, 2),
        (520, 1),
        (530, 0),
    ],
    Presets.AGGRESSIVE: [
        (0, 1),
        (80, 0),
        (200, 4),
        (280, 0),
        (400, 1),
        (410, 2),
        (420, 3),
        (430, 4),
        (440, 5),
        (450, 6),
        (480, 5),
        (490, 4),
        (500, 3),
        (510, 2),
        (520, 1),
        (530, 0),
        (700, 1),
        (1000, 0),
    ],
}


@pytest.mark.parametrize("preset", Presets)
def test_a_preset_follows_its_curve(preset):
    assert curve(preset) == GOLDEN[preset]


@pytest.mark.parametrize("preset", Presets)
def test_a_preset_ends_with_nothing_left(preset):
    assert curve(preset, until=2000)[-1][1] == 0

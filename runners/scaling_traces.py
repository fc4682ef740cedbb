"""Made-up demand for policies that have no history yet: working days, the same each time. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Final

from runners.scaling import ScopeView
from runners.scaling_replay import Arrival, Trace

JOBS_A_DAY: Final = 200
SHORTEST_SECONDS: Final = 60.0
MEAN_MORE_SECONDS: Final = 240.0
WORKING_HOURS: Final = range(8, 18)
WORKING_SHARE: Final = 0.8
"""How much of a day's jobs comes in its working hours."""


def made_up(scope: ScopeView, labels: frozenset[str], *, begin: datetime, end: datetime) -> Trace:
    """Working days of 200 jobs of some minutes each, most between 8 and 18 o'clock, in bursts."""
    dice = Random(1)  # noqa: S311 - a trace, not a secret; the same for everybody
    arrivals = sorted(
        (
            Arrival(at, SHORTEST_SECONDS + dice.expovariate(1 / MEAN_MORE_SECONDS), labels)
            for at in _moments(dice, begin, end)
            if begin <= at <= end
        ),
        key=lambda arrival: arrival.at,
    )
    return Trace(scope, begin, end, tuple(arrivals))


def _moments(dice: Random, begin: datetime, end: datetime) -> Iterator[datetime]:
    """When jobs come: a push starts one to six at once."""
    day = begin.replace(hour=0, minute=0, second=0, microsecond=0)
    while day <= end:
        left = JOBS_A_DAY
        while left > 0:
            burst = min(left, dice.randint(1, 6))
            hour = (
                dice.uniform(WORKING_HOURS.start, WORKING_HOURS.stop)
                if dice.random() < WORKING_SHARE
                else dice.uniform(0, 24)
            )
            for _ in range(burst):
                yield day + timedelta(hours=hour, seconds=dice.uniform(0, 10))
            left -= burst
        day += timedelta(days=1)

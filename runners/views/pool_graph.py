"""A pool's demand, supply and work over time, ready to be drawn."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from runners import pool_samples
from runners.models import Pool
from runners.views.count_charts import CountChart, Sample, count_chart

RANGES: Final = {
    "6h": ("6 h", timedelta(hours=6)),
    "24h": ("24 h", timedelta(hours=24)),
    "7d": ("7 d", timedelta(days=7)),
    "30d": ("30 d", timedelta(days=30)),
}
DEFAULT_RANGE: Final = "24h"
WORKING: Final = "Working"
RUNNERS: Final = "Runners"
WAITING: Final = "Jobs waiting"


@dataclass(frozen=True, slots=True)
class Drawn:
    """How one series looks: the classes of its path and of its mark in the legend."""

    name: str
    path: str
    css_class: str
    legend: str
    hatched: bool = False


@dataclass(frozen=True, slots=True)
class Range:
    """One choice of the graph's length."""

    key: str
    word: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class PoolGraph:
    """The graph and the choices of its length."""

    chart: CountChart
    drawn: list[Drawn]
    ranges: list[Range]
    empty: bool


def pool_graph(pool: Pool, *, span: str, now: datetime) -> PoolGraph:
    """Draw what was sampled of this pool; `span` is a key of RANGES, else the default. One
    query."""
    span = span if span in RANGES else DEFAULT_RANGE
    begin = now - RANGES[span][1]
    samples = [
        Sample(
            row.at,
            {
                WORKING: row.busy,
                RUNNERS: row.busy + row.idle + row.starting,
                WAITING: row.waiting,
            },
        )
        for row in pool_samples.of_pool(pool, begin=begin, end=now)
    ]
    chart = count_chart(samples, (WORKING, RUNNERS, WAITING), begin=begin, end=now)
    return PoolGraph(
        chart=chart,
        drawn=[working(chart), runners(chart), waiting(chart)],
        ranges=[Range(key, word, key == span) for key, (word, _) in RANGES.items()],
        empty=not samples,
    )


def working(chart: CountChart, name: str = WORKING) -> Drawn:
    """The jobs at work as an area."""
    return Drawn(name, _area(chart, name), "area is-soft", "is-soft")


def runners(chart: CountChart, name: str = RUNNERS) -> Drawn:
    """The runners there are as a line."""
    return Drawn(name, _line(chart, name), "ln", "hue-busy is-line")


def runners_before(chart: CountChart, name: str) -> Drawn:
    """The runners of the policy that is compared with, as a dashed line."""
    return Drawn(name, _line(chart, name), "ln is-soft", "hue-ink is-line is-dash")


def waiting(chart: CountChart, name: str = WAITING) -> Drawn:
    """The jobs that wait as a hatched area."""
    return Drawn(name, _area(chart, name), "", "is-hatch", hatched=True)


def _line(chart: CountChart, name: str) -> str:
    return chart.lines[name].line


def _area(chart: CountChart, name: str) -> str:
    return chart.lines[name].area

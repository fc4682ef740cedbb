"""Charts of counts over time as SVG paths in a box of 600 by 100, with their numbers. Pure.

A count holds until the next sample, so lines are steps; several samples of one column become
their highest, because the peak is what a bound is chosen by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from django.utils import timezone

WIDTH: Final = 600
COLUMNS: Final = 120
# A column without a sample keeps the last count for so long; then nothing is known
GAP_COLUMNS: Final = 4
NUMBERS_SHOWN: Final = 24
_HEIGHT: Final = 100.0
_STEPS: Final = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Sample:
    """What was counted at one moment, by the name of the series."""

    at: datetime
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Line:
    """One series as path data: its steps, and the area below them."""

    name: str
    line: str
    area: str


@dataclass(frozen=True, slots=True)
class NumberRow:
    """One moment of the table behind the chart; numbers in the order of the series."""

    at: datetime
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CountChart:
    """Lines by name, the highest and middle of the axis, moments below it, and the numbers."""

    lines: Mapping[str, Line]
    names: tuple[str, ...]
    top: int
    middle: float
    ticks: tuple[str, ...]
    rows: tuple[NumberRow, ...]
    words: str


def count_chart(
    samples: Sequence[Sample], names: Sequence[str], *, begin: datetime, end: datetime
) -> CountChart:
    """Draw these series between `begin` and `end`; samples in order of time, gaps stay gaps."""
    columns = _columns(samples, begin=begin, end=end)
    highest = max((max(counts.values(), default=0) for _, counts in columns), default=0)
    top = nice_top(highest)
    runs = _runs(columns)
    return CountChart(
        lines={name: _line(name, runs, top) for name in names},
        names=tuple(names),
        top=top,
        middle=top / 2,
        ticks=tuple(_tick(begin + (end - begin) * part / 4, end - begin) for part in range(5)),
        rows=tuple(_numbers(columns, names, begin=begin, length=end - begin)),
        words=_words(columns, names),
    )


def nice_top(highest: int) -> int:
    """The end of the axis: the next round, even number that holds the highest count."""
    unit = 1
    while True:
        for step in _STEPS:
            if step * unit >= highest and step * unit > 1:
                return step * unit + (step * unit) % 2
        unit *= 10


Column = tuple[int, Mapping[str, int]]


def _columns(samples: Sequence[Sample], *, begin: datetime, end: datetime) -> list[Column]:
    """The highest count of each series in each column that has a sample."""
    found: dict[int, dict[str, int]] = {}
    for sample in samples:
        if begin <= sample.at <= end:
            column = int((sample.at - begin) / (end - begin) * COLUMNS)
            there = found.setdefault(column, {})
            for name, count in sample.counts.items():
                there[name] = max(count, there.get(name, 0))
    return sorted(found.items())


def _runs(columns: Sequence[Column]) -> list[list[Column]]:
    runs: list[list[Column]] = []
    for column in columns:
        if runs and column[0] - runs[-1][-1][0] <= GAP_COLUMNS:
            runs[-1].append(column)
        else:
            runs.append([column])
    return runs


def _line(name: str, runs: Sequence[Sequence[Column]], top: int) -> Line:
    steps = [_steps(run, name, top) for run in runs]
    return Line(
        name,
        line="".join(path for path, _, _ in steps),
        area="".join(f"{path}V100H{first:g}Z" for path, first, _ in steps),
    )


def _steps(run: Sequence[Column], name: str, top: int) -> tuple[str, float, float]:
    """The path of one run, and where it begins and ends; it holds one column past its last."""
    first, last = _x(run[0][0]), _x(min(COLUMNS, run[-1][0] + 1))
    path = f"M{first:g} {_y(run[0][1].get(name, 0), top)}"
    for (_, was), (column, counts) in pairwise(run):
        if counts.get(name, 0) != was.get(name, 0):
            path += f"H{_x(column):g}V{_y(counts.get(name, 0), top)}"
    return f"{path}H{last:g}", first, last


def _x(column: int) -> float:
    return column * WIDTH / COLUMNS


def _y(count: int, top: int) -> str:
    return f"{_HEIGHT - count * _HEIGHT / top:.1f}"


def _numbers(
    columns: Sequence[Column], names: Sequence[str], *, begin: datetime, length: timedelta
) -> list[NumberRow]:
    """Few enough rows to be read out: the highest of each stretch, by where it begins."""
    wide = COLUMNS // NUMBERS_SHOWN
    stretches: dict[int, list[Mapping[str, int]]] = {}
    for column, counts in columns:
        stretches.setdefault(column // wide, []).append(counts)
    return [
        NumberRow(
            begin + length * stretch * wide / COLUMNS,
            tuple(max(counts.get(name, 0) for counts in there) for name in names),
        )
        for stretch, there in sorted(stretches.items())
    ]


def _words(columns: Sequence[Column], names: Sequence[str]) -> str:
    if not columns:
        return "nothing recorded"
    highest = [max(counts.get(name, 0) for _, counts in columns) for name in names]
    return ", ".join(
        f"{name.lower()} at most {number}" for name, number in zip(names, highest, strict=True)
    )


def _tick(at: datetime, length: timedelta) -> str:
    local = timezone.localtime(at)
    return local.strftime("%-d %b" if length > timedelta(days=2) else "%H:%M")

"""Small line charts as SVG paths: a share over time in a box of 600 by 100. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone

WIDTH: Final = 600
POINTS: Final = 120
# A line is broken where nothing was heard for so many points: a gap is not a slope.
GAP_POINTS: Final = 4


@dataclass(frozen=True, slots=True)
class Point:
    """A share of the whole, 0 to 100, at a moment."""

    at: datetime
    percent: float


@dataclass(frozen=True, slots=True)
class Chart:
    """Path data for the line and the area below it, and what stands under the axis."""

    line: str
    area: str
    ticks: list[str]
    words: str


def chart(points: Sequence[Point], *, begin: datetime, end: datetime) -> Chart:
    """Draw points between `begin` and `end`; many samples become their mean, gaps stay gaps."""
    length = end - begin
    columns: dict[int, list[float]] = {}
    for point in points:
        if begin <= point.at <= end:
            column = round((point.at - begin) / length * POINTS)
            columns.setdefault(column, []).append(min(100.0, max(0.0, point.percent)))
    means = [(column, sum(values) / len(values)) for column, values in sorted(columns.items())]
    runs = _runs(means)
    return Chart(
        line="".join(_line(run) for run in runs),
        area="".join(_area(run) for run in runs),
        ticks=[_tick(at, length) for at in (begin, begin + length / 2, end)],
        words=_words(means),
    )


def _runs(means: Sequence[tuple[int, float]]) -> list[list[tuple[int, float]]]:
    runs: list[list[tuple[int, float]]] = []
    for mean in means:
        if runs and mean[0] - runs[-1][-1][0] <= GAP_POINTS:
            runs[-1].append(mean)
        else:
            runs.append([mean])
    return [run for run in runs if len(run) > 1]


def _line(run: Sequence[tuple[int, float]]) -> str:
    return "M" + "L".join(f"{_x(column):g} {100 - value:.1f}" for column, value in run)


def _area(run: Sequence[tuple[int, float]]) -> str:
    return f"{_line(run)}L{_x(run[-1][0]):g} 100L{_x(run[0][0]):g} 100Z"


def _x(column: int) -> float:
    return column * WIDTH / POINTS


def _words(means: Sequence[tuple[int, float]]) -> str:
    if not means:
        return "nothing measured"
    values = [value for _, value in means]
    return f"between {min(values):.0f} % and {max(values):.0f} %, {values[-1]:.0f} % at last"


def _tick(at: datetime, length: timedelta) -> str:
    local = timezone.localtime(at)
    return local.strftime("%-d %b" if length > timedelta(days=1) else "%H:%M")

"""What was promised and how it was kept: availability in business hours, and starts in time. Pure.

Available is a second in which a matching job would have started within the start-up target.
Seconds outside a pool's business hours and within announced maintenance do not count at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

Span = tuple[datetime, datetime]

DEFAULT_AVAILABILITY_PERCENT: Final = 99.5
DEFAULT_QUEUE_PERCENT: Final = 95.0
STARTUP_SECONDS: Final = 120
BUILD_SECONDS: Final = 15 * 60
WORKING_DAYS: Final = frozenset(range(5))


@dataclass(frozen=True, slots=True)
class Calendar:
    """Business hours: weekdays (0 is Monday) and local times in an IANA zone.

    `closes` at or before `opens` is on the next day; equal ones mean the whole day.
    """

    zone: str = "UTC"
    days: frozenset[int] = WORKING_DAYS
    opens: time = time(8)
    closes: time = time(18)

    def spans(self, begin: datetime, end: datetime) -> list[Span]:
        """The business hours between two moments, in UTC.

        Local times are what a clock on the wall shows, so a day may be an hour longer or shorter
        where it is changed.
        """
        zone = ZoneInfo(self.zone)
        day, last = begin.astimezone(zone).date() - _DAY, end.astimezone(zone).date()
        spans = []
        while day <= last:
            if day.weekday() in self.days:
                spans += _overlap([self._hours(day, zone)], [(begin, end)])
            day += _DAY
        return spans

    def _hours(self, day: date, zone: ZoneInfo) -> Span:
        until = day if self.closes > self.opens else day + _DAY
        return (
            datetime.combine(day, self.opens, tzinfo=zone).astimezone(UTC),
            datetime.combine(until, self.closes, tzinfo=zone).astimezone(UTC),
        )


_DAY: Final = timedelta(days=1)


def joined(spans: Iterable[Span]) -> list[Span]:
    """The same stretch of time in order and without overlaps."""
    whole: list[Span] = []
    for begin, end in sorted(spans):
        if begin >= end:
            continue
        if whole and begin <= whole[-1][1]:
            whole[-1] = (whole[-1][0], max(end, whole[-1][1]))
        else:
            whole.append((begin, end))
    return whole


def seconds_of(spans: Iterable[Span]) -> float:
    """How long these are together; a second in two of them counts once."""
    return sum((end - begin).total_seconds() for begin, end in joined(spans))


def _overlap(spans: Sequence[Span], others: Sequence[Span]) -> list[Span]:
    return [
        (max(begin, first), min(end, last))
        for begin, end in spans
        for first, last in others
        if max(begin, first) < min(end, last)
    ]


def without(spans: Iterable[Span], others: Iterable[Span]) -> list[Span]:
    """`spans` with `others` cut out."""
    rest = joined(spans)
    for first, last in joined(others):
        rest = [
            part
            for begin, end in rest
            for part in ((begin, min(end, first)), (max(begin, last), end))
            if part[0] < part[1]
        ]
    return rest


@dataclass(frozen=True, slots=True)
class Availability:
    """How a promise was kept over `counted_seconds`; no percentage without any."""

    target_percent: float
    counted_seconds: float
    down_seconds: float

    @property
    def percent(self) -> float | None:
        """Rounded down to two decimals, so that a missed target never looks met."""
        if not self.counted_seconds:
            return None
        share = 100 * (1 - self.down_seconds / self.counted_seconds)
        return math.floor(round(share * 100, 6)) / 100

    @property
    def budget_seconds(self) -> float:
        """How long it may be down within what was counted."""
        return self.counted_seconds * (100 - self.target_percent) / 100

    @property
    def left_seconds(self) -> float:
        """What of the budget is left; less than none when the target is missed."""
        return self.budget_seconds - self.down_seconds

    @property
    def left_percent(self) -> int:
        """The same as a share of the budget, never below none."""
        if not self.budget_seconds:
            return 0 if self.down_seconds else 100
        return max(0, math.floor(100 * self.left_seconds / self.budget_seconds))

    @property
    def met(self) -> bool:
        # A thousandth of a second of rounding is nobody's outage
        return self.left_seconds >= -0.001


def availability(
    counted: Sequence[Span],
    outages: Iterable[Span],
    announced: Iterable[Span],
    *,
    target_percent: float,
) -> Availability:
    """Weigh outages against business hours; in announced maintenance neither counts."""
    hours = without(counted, announced)
    down = _overlap(hours, joined(outages))
    return Availability(target_percent, seconds_of(hours), seconds_of(down))


def counted_seconds(outage: Span, counted: Sequence[Span], announced: Iterable[Span]) -> float:
    """How much of one outage counts."""
    return seconds_of(_overlap(without(counted, announced), [outage]))


@dataclass(frozen=True, slots=True)
class Starts:
    """How many jobs started, and how many of them late, against `target_percent` in time."""

    started: int
    late: int
    target_percent: float = DEFAULT_QUEUE_PERCENT

    @property
    def percent(self) -> float | None:
        """In time, rounded down to one decimal."""
        if not self.started:
            return None
        return math.floor(1000 * (self.started - self.late) / self.started) / 10

    @property
    def allowed(self) -> float:
        """How many may be late."""
        return self.started * (100 - self.target_percent) / 100

    @property
    def met(self) -> bool:
        return self.late <= self.allowed + 1e-9

    @property
    def left_percent(self) -> int:
        """What is left of the error budget, never below none."""
        if not self.allowed:
            return 0 if self.late else 100
        return max(0, math.floor(100 * (self.allowed - self.late) / self.allowed))

    @property
    def burn(self) -> float:
        """How many times faster than allowed the budget is used up; 1 uses it up exactly."""
        allowed = (100 - self.target_percent) / 100
        if not self.started or not self.late:
            return 0.0
        return math.inf if allowed <= 0 else (self.late / self.started) / allowed


@dataclass(frozen=True, slots=True)
class Window:
    """A pair of windows that burn together: the long one is sure, the short one is quick to end.

    Source: Site Reliability Workbook, "Alerting on SLOs", multiwindow multi-burn-rate. The
    thresholds use up 2 % and 5 % of a month's budget.
    """

    name: str
    long: timedelta
    short: timedelta
    threshold: float


FAST: Final = Window("fast", timedelta(hours=1), timedelta(minutes=5), 14.4)
SLOW: Final = Window("slow", timedelta(hours=6), timedelta(minutes=30), 6.0)


def burning(window: Window, *, long: Starts, short: Starts) -> bool:
    """Whether the budget burns faster than the window bears, in both of its stretches.

    A target of 95 % cannot burn faster than 20 times, so a threshold lies below what is possible.
    """
    threshold = min(window.threshold, 0.72 * 100 / max(1e-9, 100 - long.target_percent))
    return min(long.burn, short.burn) >= threshold - 1e-9

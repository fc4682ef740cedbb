"""Lengths counted in fixed buckets, so that days can be added up and still answer p50, p95, p99.

Pure. Each bucket is a tenth longer than the one before; what is answered is the middle of a bucket,
so a percentile is off by at most 4.9 % of itself (half a second below one second).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

GROWTH: Final = 1.1
# Two weeks in seconds: longer ones count as that long
LONGEST_SECONDS: Final = 14 * 86400.0
ERROR: Final = math.sqrt(GROWTH) - 1
"""How far a percentile may be off, as a share of itself."""


def bucket_of(seconds: float) -> int:
    """The bucket of a length: 0 below one second, then one for each tenth more."""
    if seconds < 1:
        return 0
    return 1 + math.floor(math.log(min(seconds, LONGEST_SECONDS)) / math.log(GROWTH))


def middle_of(bucket: int) -> float:
    """The length in seconds a bucket stands for."""
    return 0.5 if bucket == 0 else GROWTH ** (bucket - 0.5)


@dataclass
class Histogram:
    """How many lengths fell into each bucket."""

    counts: Counter[int] = field(default_factory=Counter)

    @classmethod
    def of(cls, lengths: Iterable[float]) -> Histogram:
        """Count these lengths, in seconds."""
        return cls(Counter(bucket_of(length) for length in lengths))

    @classmethod
    def read(cls, stored: Mapping[str, int]) -> Histogram:
        """Read what `stored` wrote."""
        return cls(Counter({int(bucket): count for bucket, count in stored.items()}))

    @classmethod
    def together(cls, several: Iterable[Mapping[str, int]]) -> Histogram:
        """Add up stored histograms."""
        whole = cls()
        for stored in several:
            for bucket, count in stored.items():
                whole.counts[int(bucket)] += count
        return whole

    def add(self, seconds: float) -> None:
        """Count one more length."""
        self.counts[bucket_of(seconds)] += 1

    def stored(self) -> dict[str, int]:
        """The buckets that are not empty, as JSON keeps them."""
        return {str(bucket): self.counts[bucket] for bucket in sorted(self.counts)}

    @property
    def count(self) -> int:
        return self.counts.total()

    def percentile(self, percent: float) -> float | None:
        """The length, in seconds, that `percent` of all do not exceed (nearest rank); None without
        any."""
        if not self.counts:
            return None
        rank = max(1, math.ceil(self.count * percent / 100))
        reached = 0
        for bucket in sorted(self.counts):
            reached += self.counts[bucket]
            if reached >= rank:
                return middle_of(bucket)
        raise AssertionError("a rank is never beyond the last")

    def cumulative(self, bounds: Iterable[float]) -> Iterator[tuple[float, int]]:
        """(bound, lengths in buckets that end at or before it) for each bound, in seconds."""
        for bound in bounds:
            last = bucket_of(bound)
            yield bound, sum(count for bucket, count in self.counts.items() if bucket < last)


@dataclass(frozen=True, slots=True)
class Trend:
    """How the middle of a week compares with the four weeks before; `rose` is the flag."""

    was: float | None
    is_now: float | None
    change_percent: int | None
    rose: bool


TREND_PERCENT: Final = 20
TREND_COUNT: Final = 20


def trend(before: Histogram, now: Histogram) -> Trend:
    """Compare two medians: flagged from 20 % more, with 20 lengths or more on either side."""
    was, is_now = before.percentile(50), now.percentile(50)
    if was is None or is_now is None or min(before.count, now.count) < TREND_COUNT:
        return Trend(was, is_now, None, rose=False)
    change = round((is_now / was - 1) * 100)
    return Trend(was, is_now, change, rose=change >= TREND_PERCENT)

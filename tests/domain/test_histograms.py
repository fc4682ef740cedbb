"""Histograms of lengths: what they answer is within the error they state, and days add up."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runners.histograms import ERROR, Histogram, Trend, bucket_of, middle_of, trend

LENGTHS = st.lists(st.floats(min_value=0, max_value=1_000_000), min_size=1, max_size=200)


def exact(lengths: list[float], percent: float) -> float:
    """The nearest rank, the slow way."""
    return sorted(lengths)[max(1, math.ceil(len(lengths) * percent / 100)) - 1]


@settings(deadline=None)
@given(LENGTHS, st.sampled_from([1, 50, 95, 99, 100]))
def test_a_percentile_is_within_the_stated_error(lengths, percent):
    truth = exact(lengths, percent)

    answer = Histogram.of(lengths).percentile(percent)

    assert answer is not None
    assert abs(answer - truth) <= max(0.5, truth * (ERROR + 1e-9))


@settings(deadline=None)
@given(LENGTHS, LENGTHS)
def test_stored_days_add_up_to_the_whole(one, other):
    days = [Histogram.of(one).stored(), Histogram.of(other).stored()]

    assert Histogram.together(days) == Histogram.of(one + other)
    assert Histogram.read(days[0]).count == len(one)


def test_nothing_has_no_percentile():
    assert Histogram().percentile(95) is None


def test_a_known_day_has_known_answers():
    """A hundred jobs of 1 to 100 seconds."""
    day = Histogram.of(range(1, 101))

    assert day.percentile(50) == pytest.approx(50, rel=ERROR)
    assert day.percentile(95) == pytest.approx(95, rel=ERROR)
    assert day.percentile(99) == pytest.approx(99, rel=ERROR)


@pytest.mark.parametrize("seconds", [0, 0.99, 1, 59, 60, 3600, 86400])
def test_the_middle_of_a_bucket_lies_in_it(seconds):
    assert bucket_of(middle_of(bucket_of(seconds))) == bucket_of(seconds)


def test_cumulative_counts_never_fall_and_reach_the_whole():
    counts = [count for _, count in Histogram.of([1, 5, 60, 61, 600]).cumulative([2, 70, 1e6])]

    assert counts == [1, 4, 5]


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ([100] * 20, [130] * 20, True),
        ([100] * 20, [100] * 20, False),
        ([100] * 20, [70] * 20, False),
        ([100] * 19, [300] * 20, None),
        ([100] * 20, [300] * 19, None),
    ],
)
def test_a_trend_is_flagged_from_a_fifth_more_and_twenty_of_each(before, now, expected):
    found = trend(Histogram.of(before), Histogram.of(now))

    assert (found.rose if found.change_percent is not None else None) is expected


def test_a_trend_without_jobs_says_nothing():
    assert trend(Histogram(), Histogram()) == Trend(None, None, None, rose=False)

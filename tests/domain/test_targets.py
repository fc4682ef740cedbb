"""Availability and starts in time: golden timelines with known answers, clock changes included."""

from __future__ import annotations

import math
from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runners import targets
from runners.targets import FAST, SLOW, Availability, Calendar, Starts, availability, burning

BERLIN = Calendar("Europe/Berlin")
ALWAYS = Calendar("UTC", frozenset(range(7)), time(0), time(0))
MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def hours(spans):
    return targets.seconds_of(spans) / 3600


@pytest.mark.parametrize(
    ("calendar", "begin", "end", "expected"),
    [
        # A working week in winter
        (BERLIN, "2026-01-05", "2026-01-12", 50),
        # The week before the clocks go forward, and the one after: ten hours a day all the same
        (BERLIN, "2026-03-23", "2026-03-30", 50),
        (BERLIN, "2026-03-30", "2026-04-06", 50),
        # A Sunday of 23 hours and one of 25, round the clock in Berlin
        (
            Calendar("Europe/Berlin", frozenset({6}), time(0), time(0)),
            "2026-03-28",
            "2026-03-31",
            23,
        ),
        (
            Calendar("Europe/Berlin", frozenset({6}), time(0), time(0)),
            "2026-10-24",
            "2026-10-27",
            25,
        ),
        # The night the clocks go back, from 22:00 until 06:00 of the next day
        (
            Calendar("Europe/Berlin", frozenset({5}), time(22), time(6)),
            "2026-10-24",
            "2026-10-26",
            9,
        ),
        # Kolkata is half an hour off; the Monday begins on Sunday in UTC
        (Calendar("Asia/Kolkata", frozenset({0}), time(0), time(4)), "2026-01-04", "2026-01-06", 4),
        (BERLIN, "2026-01-10", "2026-01-12", 0),
    ],
)
def test_business_hours_follow_the_clock_on_the_wall(calendar, begin, end, expected):
    assert hours(calendar.spans(utc(begin), utc(end))) == expected


def test_a_change_of_clocks_moves_business_hours_in_utc():
    before, after = BERLIN.spans(utc("2026-03-27"), utc("2026-03-31"))

    assert before == (utc("2026-03-27T07:00"), utc("2026-03-27T17:00"))
    assert after == (utc("2026-03-30T06:00"), utc("2026-03-30T16:00"))


def test_a_period_may_begin_and_end_within_business_hours():
    assert BERLIN.spans(utc("2026-01-05T10:00"), utc("2026-01-05T11:00")) == [
        (utc("2026-01-05T10:00"), utc("2026-01-05T11:00"))
    ]


MARCH = BERLIN.spans(utc("2026-03-01"), utc("2026-04-01"))
"""22 working days of ten hours: 792,000 s, of which 0.5 % are 3,960 s."""


def outage(seconds, begin="2026-03-30T06:00"):
    return (utc(begin), utc(begin) + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("seconds", "percent", "met"),
    [
        (3960, 99.50, True),
        (3880, 99.51, True),
        (4040, 99.48, False),
        (4000, 99.49, False),
        (3961, 99.49, False),
        (0, 100.0, True),
    ],
)
def test_a_month_with_a_change_of_clocks_has_its_known_answer(seconds, percent, met):
    kept = availability(MARCH, [outage(seconds)], [], target_percent=99.5)

    assert kept.counted_seconds == 792_000
    assert (kept.percent, kept.met) == (percent, met)


def test_an_outage_at_the_hour_that_only_counts_after_the_change():
    """From 06:00 to 07:00 UTC is business in Berlin from 30 March on, and not before."""
    before = availability(MARCH, [outage(3600, "2026-03-27T06:00")], [], target_percent=99.5)
    after = availability(MARCH, [outage(3600, "2026-03-30T06:00")], [], target_percent=99.5)

    assert (before.down_seconds, after.down_seconds) == (0, 3600)


@pytest.mark.parametrize(
    ("announced", "counted", "down"),
    [
        ([], 792_000, 7200),
        # Announced: neither the time nor the outage in it counts
        ([outage(7200)], 784_800, 0),
        ([outage(3600)], 788_400, 3600),
        # Announced on a Sunday: nothing is taken out
        ([outage(7200, "2026-03-29T08:00")], 792_000, 7200),
    ],
)
def test_announced_maintenance_does_not_count_and_other_does(announced, counted, down):
    kept = availability(MARCH, [outage(7200)], announced, target_percent=99.5)

    assert (kept.counted_seconds, kept.down_seconds) == (counted, down)


def test_overlapping_outages_count_once():
    kept = availability(MARCH, [outage(100), outage(60)], [], target_percent=99.5)

    assert kept.down_seconds == 100


def test_the_budget_is_what_may_be_down():
    kept = Availability(99.5, 792_000, 990)

    assert (kept.budget_seconds, kept.left_seconds, kept.left_percent) == (3960, 2970, 75)


def test_a_missed_target_never_looks_met():
    assert Availability(99.5, 100_000, 500.01).percent == 99.49


def test_no_business_hours_have_no_percentage():
    kept = availability([], [outage(10)], [], target_percent=99.5)

    assert (kept.percent, kept.met, kept.left_percent) == (None, True, 100)


SECONDS = st.integers(0, 600)
SPANS = st.lists(
    st.tuples(SECONDS, SECONDS).map(
        lambda pair: (
            MIDNIGHT + timedelta(seconds=min(pair)),
            MIDNIGHT + timedelta(seconds=max(pair)),
        )
    )
)


@settings(deadline=None)
@given(SPANS, SPANS, SPANS)
def test_it_agrees_with_counting_every_second(hours_, outages, announced):
    def covered(spans):
        return {
            second
            for begin, end in spans
            for second in range(
                int((begin - MIDNIGHT).total_seconds()), int((end - MIDNIGHT).total_seconds())
            )
        }

    kept = availability(hours_, outages, announced, target_percent=99.5)

    counted = covered(hours_) - covered(announced)
    assert kept.counted_seconds == len(counted)
    assert kept.down_seconds == len(counted & covered(outages))


@pytest.mark.parametrize(
    ("started", "late", "percent", "met", "left", "burn"),
    [
        (1000, 0, 100.0, True, 100, 0),
        (1000, 25, 97.5, True, 50, 0.5),
        (1000, 50, 95.0, True, 0, 1),
        (1000, 51, 94.9, False, 0, 1.02),
        (1000, 1000, 0.0, False, 0, 20),
        (0, 0, None, True, 100, 0),
    ],
)
def test_starts_in_time_have_known_answers(started, late, percent, met, left, burn):
    starts = Starts(started, late, 95)

    assert (starts.percent, starts.met, starts.left_percent) == (percent, met, left)
    assert starts.burn == pytest.approx(burn)


def test_a_target_that_allows_nothing_burns_without_end():
    assert math.isinf(Starts(10, 1, 100).burn)
    assert Starts(10, 0, 100).left_percent == 100


@pytest.mark.parametrize(
    ("window", "long", "short", "burns"),
    [
        (FAST, 80, 80, True),
        (FAST, 80, 10, False),
        (FAST, 10, 80, False),
        (FAST, 71, 80, False),
        (SLOW, 30, 30, True),
        (SLOW, 29, 30, False),
    ],
)
def test_a_budget_burns_when_both_windows_say_so(window, long, short, burns):
    assert burning(window, long=Starts(100, long), short=Starts(100, short)) is burns


def test_a_loose_target_can_burn_too():
    """With 80 % the most a budget can burn is five times."""
    assert burning(FAST, long=Starts(100, 80, 80), short=Starts(100, 80, 80))

"""Line charts: means, gaps and words, as pure arithmetic."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runners.views.charts import GAP_POINTS, POINTS, Point, chart
from tests.factories import NOW

HOUR = timedelta(hours=1)
BEGIN = NOW - HOUR


def points(*shares, every=timedelta(minutes=1)):
    return [Point(BEGIN + every * number, share) for number, share in enumerate(shares)]


def draw(made):
    return chart(made, begin=BEGIN, end=NOW)


def test_a_line_runs_from_left_to_right_upside_down():
    assert draw(points(0, 100, 50)).line == "M0 100.0L10 0.0L20 50.0"


def test_the_area_closes_at_the_base():
    assert draw(points(0, 100)).area == "M0 100.0L10 0.0L10 100L0 100Z"


def test_many_samples_of_one_column_become_their_mean():
    step = HOUR / POINTS / 10

    drawn = draw([Point(BEGIN, 0), Point(BEGIN + step, 100), Point(BEGIN + HOUR / POINTS, 0)])

    assert drawn.line == "M0 50.0L5 100.0"


def test_a_gap_breaks_the_line():
    step = HOUR / POINTS
    made = [Point(BEGIN + step * number, 50) for number in (0, 1, 2 + GAP_POINTS, 3 + GAP_POINTS)]

    assert draw(made).line.count("M") == 2


def test_a_lone_point_draws_nothing():
    assert draw(points(50)).line == ""


def test_nothing_draws_nothing_and_says_so():
    drawn = draw([])

    assert (drawn.line, drawn.area, drawn.words) == ("", "", "nothing measured")


@pytest.mark.parametrize("share", [-5, 140])
def test_a_share_stays_in_the_box(share):
    drawn = draw(points(share, share))

    assert drawn.line in ("M0 100.0L10 100.0", "M0 0.0L10 0.0")


def test_what_is_outside_the_range_is_left_out():
    made = [Point(BEGIN - HOUR, 99), *points(10, 10), Point(NOW + HOUR, 99)]

    assert draw(made).words == "between 10 % and 10 %, 10 % at last"


def test_ticks_are_times_of_a_day_and_days_of_a_week():
    week = chart([], begin=NOW - timedelta(days=7), end=NOW)

    assert draw([]).ticks == ["11:00", "11:30", "12:00"]
    assert week.ticks == ["16 Nov", "20 Nov", "23 Nov"]

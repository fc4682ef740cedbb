"""Charts of counts: steps, peaks, gaps and the numbers behind them, as pure arithmetic."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runners.views.count_charts import COLUMNS, GAP_COLUMNS, Sample, count_chart, nice_top
from tests.factories import NOW

LENGTH = timedelta(hours=2)
BEGIN = NOW - LENGTH
COLUMN = LENGTH / COLUMNS


def draw(*busy, every=COLUMN, names=("Busy",)):
    samples = [Sample(BEGIN + every * place, {"Busy": count}) for place, count in enumerate(busy)]
    return count_chart(samples, names, begin=BEGIN, end=NOW)


def test_a_count_holds_until_the_next():
    assert draw(1, 1, 2).lines["Busy"].line == "M0 50.0H10V0.0H15"


def test_the_area_closes_at_the_base():
    assert draw(2, 1).lines["Busy"].area == "M0 0.0H5V50.0H10V100H0Z"


def test_several_samples_of_a_column_become_their_highest():
    drawn = draw(1, 4, 0, every=COLUMN / 3)

    assert drawn.lines["Busy"].line == "M0 33.3H5"


def test_a_gap_breaks_the_line():
    drawn = draw(1, 1, every=COLUMN * (GAP_COLUMNS + 1))

    assert drawn.lines["Busy"].line.count("M") == 2


def test_a_series_that_was_not_counted_lies_on_the_base():
    drawn = draw(2, names=("Busy", "Waiting"))

    assert drawn.lines["Waiting"].line == "M0 100.0H5"


@pytest.mark.parametrize(
    ("highest", "top"),
    [(0, 2), (1, 2), (2, 2), (3, 6), (5, 6), (6, 10), (11, 20), (21, 50), (900, 1000)],
)
def test_the_axis_ends_at_a_round_even_number(highest, top):
    assert nice_top(highest) == top


def test_samples_outside_the_box_are_left_out():
    samples = [Sample(BEGIN - COLUMN, {"Busy": 9}), Sample(NOW + COLUMN, {"Busy": 9})]

    drawn = count_chart(samples, ("Busy",), begin=BEGIN, end=NOW)

    assert (drawn.top, drawn.rows, drawn.words) == (2, (), "nothing recorded")


def test_the_numbers_are_the_highest_of_each_stretch():
    drawn = draw(*range(10), names=("Busy",))

    assert [(row.at, row.numbers) for row in drawn.rows] == [
        (BEGIN, (4,)),
        (BEGIN + COLUMN * 5, (9,)),
    ]
    assert drawn.words == "busy at most 9"


def test_the_axis_names_five_moments_days_when_it_is_long():
    hours = count_chart([], (), begin=BEGIN, end=NOW).ticks
    days = count_chart([], (), begin=NOW - timedelta(days=4), end=NOW).ticks

    assert hours == ("10:00", "10:30", "11:00", "11:30", "12:00")
    assert days == ("19 Nov", "20 Nov", "21 Nov", "22 Nov", "23 Nov")

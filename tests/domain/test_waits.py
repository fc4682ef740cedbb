"""Where a wait went: golden timelines, and seconds that always add up."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runners.waits import PRECEDENCE, Wait, WaitCause, main_cause, split
from tests.factories import NOW


def at(seconds):
    return NOW + timedelta(seconds=seconds)


def wait(end, created=None, online=None):
    return Wait(
        at(0),
        at(end),
        None if created is None else at(created),
        None if online is None else at(online),
    )


@pytest.mark.parametrize(
    ("waited", "spans", "expected"),
    [
        # The runner was there all the time: GitHub was slow to assign
        (wait(90, -600, -500), {}, {WaitCause.GITHUB: 90}),
        # It was begun when the job came, took 70 s to come online, and got the job 5 s later
        (wait(75, 0, 70), {}, {WaitCause.COLD_START: 70, WaitCause.GITHUB: 5}),
        # Nothing was free for ten minutes, then a runner was begun
        (
            wait(640, 600, 630),
            {},
            {WaitCause.NO_CAPACITY: 600, WaitCause.COLD_START: 30, WaitCause.GITHUB: 10},
        ),
        # No runner known
        (wait(100), {}, {WaitCause.NO_CAPACITY: 100}),
        # Quiesced for the first five minutes
        (
            wait(640, 600, 630),
            {WaitCause.POLICY: [(at(-50), at(300))]},
            {
                WaitCause.POLICY: 300,
                WaitCause.NO_CAPACITY: 300,
                WaitCause.COLD_START: 30,
                WaitCause.GITHUB: 10,
            },
        ),
        # A second that two causes cover belongs to the first in precedence
        (
            wait(100),
            {
                WaitCause.DRAIN: [(at(0), at(80))],
                WaitCause.HOST_LOST: [(at(50), at(100))],
            },
            {WaitCause.HOST_LOST: 50, WaitCause.DRAIN: 50},
        ),
        # Overlapping stretches of one cause count once
        (
            wait(100),
            {WaitCause.DRAIN: [(at(0), at(60)), (at(40), at(80))]},
            {WaitCause.DRAIN: 80, WaitCause.NO_CAPACITY: 20},
        ),
        (wait(0), {}, {}),
        # Clocks that disagree: the runner was online before it was begun
        (wait(60, 40, 20), {}, {WaitCause.NO_CAPACITY: 40, WaitCause.GITHUB: 20}),
    ],
)
def test_a_wait_is_split_by_cause(waited, spans, expected):
    assert split(waited, spans) == expected


MOMENTS = st.integers(min_value=-200, max_value=1200)
SPANS = st.dictionaries(
    st.sampled_from(PRECEDENCE),
    st.lists(st.tuples(MOMENTS, MOMENTS).map(lambda pair: (at(min(pair)), at(max(pair))))),
)


@settings(deadline=None)
@given(st.integers(0, 1000), st.none() | MOMENTS, st.none() | MOMENTS, SPANS)
def test_the_seconds_always_add_up_to_the_wait(length, created, online, spans):
    assert sum(split(wait(length, created, online), spans).values()) == length


def test_the_main_cause_is_the_longest():
    assert main_cause(wait(75, 0, 70), {}) is WaitCause.COLD_START


def test_a_wait_of_no_length_lacks_capacity():
    assert main_cause(wait(0), {}) is WaitCause.NO_CAPACITY

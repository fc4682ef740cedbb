from datetime import timedelta

import pytest

from runners.beat import Pulse, Recurring, canary_is_due, due, worker_is_stuck

WORK = (
    Recurring("a", moving_seconds=5, quiet_seconds=30),
    Recurring("b", moving_seconds=10, quiet_seconds=10),
)


def test_everything_is_due_at_the_first_beat(now):
    assert due(now, {}, WORK, moving=False) == ["a", "b"]


@pytest.mark.parametrize(
    ("seconds", "moving", "expected"),
    [
        (4, True, []),
        (5, True, ["a"]),
        (5, False, []),
        (10, True, ["a", "b"]),
        (10, False, ["b"]),
        (29, False, ["b"]),
        (30, False, ["a", "b"]),
    ],
)
def test_work_is_due_sooner_while_runners_move(now, seconds, moving, expected):
    queued_at = dict.fromkeys(("a", "b"), now - timedelta(seconds=seconds))

    assert due(now, queued_at, WORK, moving=moving) == expected


def pulse(now, sent=None, answered=None, asked=None):
    """A pulse from seconds ago."""
    return Pulse(
        *(
            None if each is None else now - timedelta(seconds=each)
            for each in (sent, answered, asked)
        )
    )


def test_first_canary_is_sent_at_once(now):
    assert canary_is_due(now, pulse(now), every_seconds=10)


@pytest.mark.parametrize(
    ("sent", "answered", "expected"),
    [
        (9, 9, False),
        (10, 10, True),
        (10, None, False),
        (500, 520, False),
    ],
)
def test_next_canary_waits_for_its_time_and_for_the_one_before(now, sent, answered, expected):
    assert canary_is_due(now, pulse(now, sent, answered), every_seconds=10) is expected


@pytest.mark.parametrize(
    ("sent", "answered", "asked", "expected"),
    [
        (None, None, None, False),
        (60, 60, None, False),
        (60, None, None, False),
        (61, None, None, True),
        (61, 75, None, True),
        (61, 75, 1000, True),
        (61, 75, 61, False),
        (61, 75, 30, False),
        (700, 750, 600, False),
        (700, 750, 601, True),
    ],
)
def test_restart_is_asked_for_once_when_a_canary_stays_away(now, sent, answered, asked, expected):
    assert worker_is_stuck(now, pulse(now, sent, answered, asked), silent_seconds=60) is expected

"""What runs out, to the second."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runners.countdowns import (
    Countdown,
    Kind,
    Offer,
    Tone,
    Watched,
    in_order,
    of_credential,
    of_runner,
)
from tests.factories import NOW

OFFERED = Offer("2.336.0", NOW)


def watched(**facts):
    known = {"ephemeral": True, "offline_since": None, "version": "", "drain_deadline_at": None}
    return Watched(**{**known, **facts})


@pytest.mark.parametrize(
    ("ephemeral", "left"), [(True, timedelta(days=1)), (False, timedelta(days=14))]
)
def test_github_removes_an_offline_runner_after_its_days(ephemeral, left):
    (countdown,) = of_runner(watched(ephemeral=ephemeral, offline_since=NOW), None)

    assert countdown == Countdown(Kind.REMOVAL, NOW + left)


def test_an_older_version_ends_thirty_days_after_the_newer_one():
    (countdown,) = of_runner(watched(version="2.335.9"), OFFERED)

    assert countdown == Countdown(Kind.VERSION, NOW + timedelta(days=30))


def test_when_a_release_came_out_may_be_unknown():
    (countdown,) = of_runner(watched(version="2.300.0"), Offer("2.336.0", None))

    assert countdown == Countdown(Kind.VERSION, None)


@pytest.mark.parametrize("version", ["2.336.0", "2.337.0", "", "nightly"])
def test_a_version_that_is_not_older_does_not_end(version):
    assert of_runner(watched(version=version), OFFERED) == []


def test_without_an_offer_no_version_ends():
    assert of_runner(watched(version="2.300.0"), None) == []


def test_a_drain_ends_at_its_deadline():
    deadline = NOW + timedelta(minutes=15)

    assert of_runner(watched(drain_deadline_at=deadline), None) == [Countdown(Kind.DRAIN, deadline)]


def test_a_healthy_runner_has_none():
    assert of_runner(watched(version="2.336.0"), OFFERED) == []


def test_a_runners_countdowns_come_earliest_first():
    runner = watched(
        offline_since=NOW, version="2.1.0", drain_deadline_at=NOW + timedelta(minutes=5)
    )

    kinds = [each.kind for each in of_runner(runner, OFFERED)]

    assert kinds == [Kind.DRAIN, Kind.REMOVAL, Kind.VERSION]


def test_what_nobody_can_tell_comes_last():
    known, unknown = Countdown(Kind.DRAIN, NOW), Countdown(Kind.VERSION, None)

    assert in_order([unknown, known]) == [known, unknown]


def test_a_credential_ends_when_it_says_and_never_otherwise():
    assert of_credential(NOW) == [Countdown(Kind.CREDENTIAL, NOW)]
    assert of_credential(None) == []


SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("kind", "left", "tone"),
    [
        (Kind.REMOVAL, timedelta(0), Tone.OVER),
        (Kind.REMOVAL, SECOND, Tone.NEAR),
        (Kind.REMOVAL, timedelta(days=1) - SECOND, Tone.NEAR),
        (Kind.REMOVAL, timedelta(days=1), Tone.SOON),
        (Kind.REMOVAL, timedelta(days=4), Tone.FAR),
        (Kind.VERSION, timedelta(days=3) - SECOND, Tone.NEAR),
        (Kind.VERSION, timedelta(days=10) - SECOND, Tone.SOON),
        (Kind.VERSION, timedelta(days=10), Tone.FAR),
        (Kind.DRAIN, timedelta(minutes=5) - SECOND, Tone.NEAR),
        (Kind.DRAIN, timedelta(minutes=30), Tone.FAR),
        (Kind.CREDENTIAL, timedelta(days=3), Tone.SOON),
        (Kind.CREDENTIAL, timedelta(days=14), Tone.FAR),
    ],
)
def test_nearness_has_exact_limits(kind, left, tone):
    assert Countdown(kind, NOW + left).tone(NOW) is tone


def test_what_nobody_can_tell_is_unknown_not_far():
    assert Countdown(Kind.VERSION, None).tone(NOW) is Tone.UNKNOWN

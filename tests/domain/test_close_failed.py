"""Failed runners cease to be trouble when they hold nothing and another took their place, and leave
the list by themselves once somebody could see them."""

from datetime import timedelta

import pytest

from runners import housekeeping
from runners.failure import Cause
from runners.models import Runner
from runners.states import RunnerState
from tests.factories import NOW, PoolFactory, RunnerFactory

pytestmark = pytest.mark.django_db
KEEP = timedelta(hours=1)


def failed(**traits):
    done = {"slot": None, "github_deleted_at": NOW, "state_changed_at": NOW - KEEP}
    return RunnerFactory(failed=True, **{**done, **traits})


def close():
    return housekeeping.close_failed(keep=KEEP, now=NOW)


def test_failed_runner_that_holds_nothing_is_closed_with_its_reason_after_an_hour():
    runner = failed()

    assert [close(), close()] == [1, 0]

    row = Runner.objects.get(pk=runner.pk)
    assert (row.state, row.state_reason) == (RunnerState.REMOVED, runner.state_reason)


def test_one_that_never_registered_is_closed_too():
    failed(github_id=None, github_deleted_at=None)

    assert close() == 1


@pytest.mark.parametrize(
    "traits",
    [
        {"state_changed_at": NOW - KEEP + timedelta(seconds=1)},
        {"slot": 1},
        {"github_deleted_at": None},
        {"replace_at": NOW},
        {"quarantined_at": NOW},
    ],
)
def test_one_that_is_new_holds_something_or_waits_for_somebody_stays(traits):
    failed(**traits)

    assert close() == 0


def in_trouble():
    return list(Runner.objects.in_trouble(NOW))


def test_failed_runner_is_trouble_until_another_took_its_place():
    runner = failed()
    assert in_trouble() == [runner]

    RunnerFactory(replaces=runner, starting=True)

    assert in_trouble() == []


@pytest.mark.parametrize(
    ("pool", "runner", "trouble"),
    [
        ({}, {}, False),
        ({"consecutive_failures": 1, "backoff_until": NOW}, {}, False),
        ({"consecutive_failures": 1, "backoff_until": NOW + timedelta(seconds=1)}, {}, True),
        ({"consecutive_failures": 2, "backoff_until": NOW}, {}, True),
        ({"consecutive_failures": 1, "backoff_until": NOW}, {"slot": 1}, True),
        (
            {"consecutive_failures": 1, "backoff_until": NOW},
            {"failure_cause": Cause.DEPRECATED},
            True,
        ),
    ],
)
def test_failed_runner_of_a_pool_is_trouble_until_its_pool_goes_on(pool, runner, trouble):
    row = failed(pool=PoolFactory(**pool), **runner)

    assert in_trouble() == [row] * trouble


@pytest.mark.parametrize(
    "traits",
    [{"slot": 1}, {"github_deleted_at": None}, {"replace_at": NOW}, {"quarantined_at": NOW}],
)
def test_replaced_runner_that_holds_something_or_waits_for_somebody_is_trouble(traits):
    row = failed(**traits)
    RunnerFactory(replaces=row)

    assert in_trouble() == [row]

"""Failed runners leave the list by themselves, once nothing is held and somebody could see them."""

from datetime import timedelta

import pytest

from runners import housekeeping
from runners.models import Runner
from runners.states import RunnerState
from tests.factories import NOW, RunnerFactory

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

"""GitHub away for an hour, in virtual time, while runners work, start, drain and are asked for."""

from __future__ import annotations

import pytest
from django.urls import reverse

from runners.github.errors import GitHubUnavailable
from runners.models import Event, Job, Runner, Scope
from runners.states import RunnerState
from tests.crash.world import ROUND_SECONDS, World

pytestmark = pytest.mark.django_db(transaction=True)

HOUR_ROUNDS = 3600 // ROUND_SECONDS
LONG_ROUNDS = HOUR_ROUNDS // 4  # far past every deadline, where an hour would show no more
DOWN = GitHubUnavailable("GitHub answered 502.", status=502)


@pytest.fixture
def world(monkeypatch) -> World:
    """Four runners: one busy, one idle, one drained in its job, one still starting."""
    world = World(monkeypatch)
    world.provision(3)
    world.rounds(2)
    first, _, third = world.running()
    world.start_job(first)
    world.start_job(third)
    world.round()
    drained = Runner.objects.get(name=third.name)
    world.submit("runner-drain", drained.pk, reason="leaving")
    world.provision()
    return world


def outage(world: World) -> None:
    """The hour itself; heartbeats go on."""
    world.github.down = DOWN
    world.rounds(HOUR_ROUNDS)


def by_name() -> dict[str, str]:
    return dict(Runner.objects.values_list("name", "state"))


def test_hour_without_github_stops_and_deletes_nothing(world):
    before, registered = by_name(), world.names_at_github()
    at_work = [(process.name, process.phase) for process in world.running()]

    outage(world)

    assert by_name() == before
    assert world.names_at_github() == registered
    assert [(p.name, p.phase) for p in world.running()][: len(at_work)] == at_work
    assert (world.machine.jobs_cut, world.machine.jobs_forced) == ([], [])


def test_start_that_waits_for_github_is_not_failed_by_its_deadline(world):
    world.github.down = DOWN
    world.rounds(LONG_ROUNDS)

    assert not Runner.objects.filter(state=RunnerState.FAILED).exists()
    assert Runner.objects.filter(state=RunnerState.PROVISIONING).count() == 1


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("overview", "GitHub can&#x27;t be read for acme"),
        ("drift-list", "GitHub unknown for acme since"),
    ],
)
def test_page_says_since_when_github_is_unknown(world, page, words):
    world.github.down = DOWN
    world.rounds(2)
    since = Scope.objects.get().github_unknown_since

    shown = world.client.get(reverse(page)).content.decode()

    assert words in shown
    assert f'datetime="{since:%Y-%m-%dT%H:%M:%S}' in shown


def test_everything_settles_once_github_is_back(world):
    world.github.down = DOWN
    world.rounds(LONG_ROUNDS)
    ended = [process for process in world.running() if process.phase == "busy"]
    for process in ended:
        world.end_job(process)
    world.github.down = None

    world.rounds(12)

    world.check_always()
    states = sorted(by_name().values())
    assert states == ["active", "active", "removed", "removed"]
    assert sorted(world.names_at_github()) == sorted(p.name for p in world.running())
    assert Job.objects.exclude(status="completed").count() == 0
    assert Job.objects.filter(conclusion="success").count() == len(ended) == 2
    assert not Event.objects.filter(action__in=["runner.failed", "job.lost"]).exists()
    assert Scope.objects.get().github_unknown_since is None


def test_jobs_that_end_in_the_outage_are_recorded_afterwards(world):
    world.github.down = DOWN
    world.rounds(2)
    for process in [process for process in world.running() if process.phase == "busy"]:
        world.end_job(process)
    world.rounds(LONG_ROUNDS)
    world.github.down = None

    world.rounds(12)

    assert list(Job.objects.values_list("conclusion", flat=True)) == ["success", "success"]
    assert world.machine.jobs_ended == ["job-1", "job-3"]
    assert not Event.objects.filter(action__in=["runner.failed", "job.lost"]).exists()

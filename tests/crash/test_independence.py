"""What happens to one runner of a host is nothing to the others."""

from __future__ import annotations

import pytest

from runners.models import Job, Runner
from tests.crash.world import World

pytestmark = pytest.mark.django_db(transaction=True)


def test_of_three_runners_one_dies_one_is_drained_and_the_third_works_on(monkeypatch):
    world = World(monkeypatch)
    world.provision(3)
    world.rounds(2)
    busy, dying, leaving = world.running()
    world.start_job(busy)
    world.round()
    before = registration(busy.name)

    world.machine.crash(dying)
    world.submit("runner-drain", Runner.objects.get(name=leaving.name).pk, reason="Trial")
    world.rounds(4)

    assert (busy.phase, registration(busy.name)) == ("busy", before)
    rows = {row.name: row for row in Runner.objects.all()}
    assert (rows[dying.name].state, rows[leaving.name].state) == ("failed", "removed")
    assert rows[dying.name].failure_cause != ""
    assert rows[leaving.name].failure_cause == rows[busy.name].failure_cause == ""
    world.end_job(busy)
    world.rounds(2)
    assert Job.objects.get().conclusion == "success"
    assert world.machine.jobs_cut == world.machine.jobs_forced == []


def registration(name: str) -> tuple[object, ...]:
    """What must not change of a runner while others come and go."""
    return Runner.objects.values_list("state", "slot", "github_id", "process_started_at").get(
        name=name
    )

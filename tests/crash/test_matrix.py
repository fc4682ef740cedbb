"""Worker and web end at every boundary of every step; the next ones put everything right.

Of each step a first run that nobody ends says how many boundaries it has and how the fleet is
afterwards. A run ended at a boundary must come to that same picture within `ROUNDS` rounds of
ordinary life, or, when a person's request was cut off before it was committed, to the one in which
it was never made. No round asks a hand for anything.
"""

from __future__ import annotations

import pytest

from tests.crash.boundaries import Killed
from tests.crash.covered import IN_MATRIX
from tests.crash.operations import OPERATIONS
from tests.crash.scenarios import SCENARIOS, Scenario
from tests.crash.steps import entered
from tests.crash.world import Kept, Snapshot, World

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 8
"""The lease of an ended worker takes 60 s to pass, four rounds; then what was left is done."""
CALM_ROUNDS = 1


@pytest.fixture
def begin(monkeypatch):
    """A fresh fleet that a scenario has prepared, once: afterwards it is put back as it was."""
    prepared: dict[str, tuple[World, Kept]] = {}

    def begin(scenario: Scenario) -> World:
        if scenario.name not in prepared:
            world = World(monkeypatch)
            scenario.prepare(world)
            prepared[scenario.name] = world, world.keep()
        world, kept = prepared[scenario.name]
        world.put_back(kept)
        return world

    return begin


def settled(world: World) -> Snapshot:
    """The picture after the time within which everything must have come to rest."""
    world.rounds(ROUNDS + CALM_ROUNDS)
    world.check_always()
    return world.snapshot()


def comes_to(world: World, pictures: list[Snapshot]) -> bool:
    """Whether the fleet reaches one of the pictures in time and stays there."""
    for _ in range(ROUNDS):
        world.round()
        world.check_always()
        if world.snapshot() in pictures:
            world.rounds(CALM_ROUNDS)
            world.check_always()
            return world.snapshot() in pictures
    return False


def difference(found: Snapshot, meant: Snapshot) -> str:
    return "\n".join(
        f"  {key}: {found[key]}\n  meant: {meant[key]}" for key in meant if found[key] != meant[key]
    )


@pytest.mark.parametrize("scenario", [*SCENARIOS, *OPERATIONS], ids=lambda scenario: scenario.name)
def test_fleet_recovers_from_an_end_at_every_boundary(scenario, begin, record_property):
    world = begin(scenario)
    with world.watch(), entered() as steps:
        scenario.act(world)
    claimed = {step for step, name in IN_MATRIX.items() if name == scenario.name}
    assert claimed <= steps, "the scenario does not do what it is said to"
    boundaries = world.boundaries.passed
    assert boundaries, "nothing was changed, so there is nothing to end"
    done = settled(world)
    never_asked = settled(begin(scenario))

    lost = []
    for number, boundary in enumerate(boundaries):
        world = begin(scenario)
        with pytest.raises(Killed), world.watch(number):
            scenario.act(world)
        world.restart()
        world.check_always()
        if not comes_to(world, [done, never_asked]):
            lost.append(f"ended {boundary}\n{difference(world.snapshot(), done)}")

    record_property("ends tried", len(boundaries))
    record_property("ends recovered from", len(boundaries) - len(lost))
    assert not lost, f"{len(lost)} of {len(boundaries)} ends not recovered:\n" + "\n".join(lost)

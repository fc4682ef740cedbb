"""Jobs that keep arriving: a made-up team's everyday work, at a rate, until told otherwise.

Uses the same orders as the control API; arrivals are spread at random by the simulator's clock.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from runners.simulator import demand
from runners.simulator.demand import JobOrder
from runners.simulator.wire import Fields, JsonObject
from runners.simulator.world import World

MINUTE_SECONDS = 60
# With this many jobs waiting, no more are added: nobody seems to serve them.
WAITING_MOST = 40
BRANCHES = ("main", "main", "main", "fix/flaky-login", "feature/search", "release/2.4")
PEOPLE = ("octo-admin", "mona", "hubot", "ada", "grace")
EVENTS = ("push", "push", "pull_request", "pull_request", "schedule")

LINT = ("echo 'ruff check .'", "echo 'All checks passed!'")
UNIT = (
    'for n in 1 2 3 4 5; do echo "tests/test_part_$n.py ....... passed"; sleep 1; done',
    "echo '42 passed in 5.01s'",
)
BUILD = (
    "echo 'Fetching dependencies'",
    'for n in $(seq 1 8); do echo "[$n/8] compiling module $n"; sleep 1; done',
    "echo 'artifact: dist/app.tar.gz'",
)
TRAIN = (
    "echo 'CUDA device 0: simulated'",
    'for n in $(seq 1 6); do echo "epoch $n loss 0.$((90 - n * 9))"; sleep 2; done',
)
FLASH = ("echo 'Flashing board'", "sleep 3", "echo 'Verified 262144 bytes'")
BROKEN = ("echo 'tests/test_checkout.py F'", "echo 'AssertionError: expected 200, got 502'; exit 1")

X64 = ("self-hosted", "linux", "x64")
ARM64 = ("self-hosted", "linux", "arm64")
GPU = ("self-hosted", "linux", "x64", "gpu")


@dataclass(frozen=True)
class Habit:
    """A kind of job and how often it comes up compared with the others."""

    order: JobOrder
    weight: int


HABITS = (
    Habit(JobOrder("acme/web", X64, "lint", "CI", LINT, 2), 5),
    Habit(JobOrder("acme/web", X64, "unit tests", "CI", UNIT), 6),
    Habit(JobOrder("acme/web", X64, "build image", "Release", BUILD, 6), 3),
    Habit(JobOrder("acme/api", X64, "unit tests", "CI", UNIT, 3), 5),
    Habit(JobOrder("acme/api", X64, "integration tests", "CI", BROKEN, 4), 2),
    Habit(JobOrder("acme/api", ARM64, "build (arm64)", "Release", BUILD, 8), 4),
    Habit(JobOrder("acme/firmware", ARM64, "hardware in the loop", "Nightly", FLASH, 5), 2),
    Habit(JobOrder("acme/models", GPU, "train smoke model", "Train", TRAIN), 2),
    Habit(JobOrder("acme/models", GPU, "evaluate", "Train", TRAIN, 10), 1),
)


class Traffic:
    """The stream of jobs. Its methods are called under the world's lock."""

    def __init__(self, world: World, seed: int = 0) -> None:
        self.jobs_per_minute = 0.0
        self.queued_count = 0
        self._world = world
        self._random = random.Random(seed)
        # Raised by each change of rate, so that arrivals armed under an older one are ignored.
        self._generation = 0

    def set_rate(self, jobs_per_minute: float) -> None:
        """Let that many jobs arrive a minute on average; 0 stops the stream."""
        self.jobs_per_minute = jobs_per_minute
        self._generation += 1
        self._arm()

    def configure(self, fields: Fields) -> JsonObject:
        """``jobs_per_minute`` of ``POST /_sim/traffic``; answers what is in force."""
        self.set_rate(max(0.0, fields.number("jobs_per_minute")))
        return self.to_json()

    def to_json(self) -> JsonObject:
        """Rate and how many jobs it queued so far."""
        return {"jobs_per_minute": self.jobs_per_minute, "queued_count": self.queued_count}

    def _arm(self) -> None:
        if self.jobs_per_minute <= 0:
            return
        generation = self._generation
        pause_seconds = self._random.expovariate(self.jobs_per_minute / MINUTE_SECONDS)

        def arrive() -> None:
            if generation == self._generation:
                self._queue_one()
                self._arm()

        self._world.timers.at(self._world.clock.time() + pause_seconds, arrive)

    def _queue_one(self) -> None:
        if len(self._world.queue) >= WAITING_MOST:
            return
        known = [h for h in HABITS if self._world.store.repository(h.order.repository)]
        if not known:
            return
        (habit,) = self._random.choices(known, [h.weight for h in known])
        order = replace(
            habit.order,
            branch=self._random.choice(BRANCHES),
            event=self._random.choice(EVENTS),
            actor=self._random.choice(PEOPLE),
            duration_seconds=habit.order.duration_seconds * self._random.uniform(0.5, 2),
        )
        self.queued_count += len(demand.place(self._world, order))

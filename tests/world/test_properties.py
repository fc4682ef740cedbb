"""Random operators, faults and hours against the whole product: what must hold, holds.

`FLEET_PROPERTY_EXAMPLES` and `FLEET_PROPERTY_STEPS` make the search bigger; see the contributing
guide. A failure prints the steps that lead to it.
"""

from __future__ import annotations

import os
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from runners import enrolment, fleet, lifecycle
from runners.audit import Actor
from runners.errors import FleetError
from runners.models import Event, Host, Runner
from tests.world import faults, invariants
from tests.world.faults import STRIKES, Faults
from tests.world.github import REPOSITORIES, JobPlan
from tests.world.world import PoolPlan, World

EXAMPLES = int(os.environ.get("FLEET_PROPERTY_EXAMPLES", "6"))
STEPS = int(os.environ.get("FLEET_PROPERTY_STEPS", "20"))
POOLS = (
    PoolPlan("linux-x64", ("x64",), min_idle=2, max_runners=6),
    PoolPlan("linux-kept", ("x64", "kept"), min_idle=1, max_runners=1, ephemeral=False),
)
ALONE = PoolPlan("by-hand", ("x64", "by-hand"), min_idle=0, max_runners=0)
PERSON = Actor(Event.ActorKind.USER, "olga")
SETTLE_SECONDS = 1800.0
# Jobs that queue for one kept runner need their hours; without jobs the first look is enough
SETTLE_AT_MOST = 40
SPANS = (1.0, 7.0, 30.0, 95.0, 400.0, 1800.0, 6 * 3600.0, 86400.0, 2 * 86400.0)


class FleetMachine(RuleBasedStateMachine):
    """Steps of operators, faults and time."""

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        """Two machines, two pools, running."""
        self.world = World(seed=seed)
        self.world.__enter__()
        self.world.add_machine("forge-01", slots=4)
        self.world.add_machine("forge-02", slots=3)
        for pool in POOLS:
            self.world.add_pool(pool)
        self.faults = Faults(self.world)
        self.world.advance(60)

    def teardown(self) -> None:
        """Let go of the clock."""
        if hasattr(self, "world"):
            try:
                self.converges()
            finally:
                self.world.__exit__(None, None, None)

    # --- operators -----------------------------------------------------------------------------

    def _runner(self, pick: int) -> Runner | None:
        rows = list(Runner.objects.current().select_related("host", "scope").order_by("pk"))
        return rows[pick % len(rows)] if rows else None

    def _host(self, pick: int) -> Host:
        return Host.objects.order_by("pk")[pick % len(self.world.machines)]

    @rule(count=st.integers(1, 3), kept=st.booleans())
    def provision(self, count: int, kept: bool) -> None:
        """Ask for runners by hand."""
        order = lifecycle.Order(
            scope=self.world.scope, labels=ALONE.all_labels, count=count, ephemeral=not kept
        )
        self._try(
            lambda: lifecycle.provision(order, by=PERSON, reason="more", now=self.world.now())
        )

    @rule(pick=st.integers(0, 20), deadline=st.sampled_from((None, 60, 3600)))
    def drain(self, pick: int, deadline: int | None) -> None:
        """Let one finish, by a deadline or not."""
        runner = self._runner(pick)
        if runner is None:
            return
        now = self.world.now()
        at = None if deadline is None else now + timedelta(seconds=deadline)
        if (
            self._try(
                lambda: lifecycle.drain(runner, by=PERSON, reason="drain", now=now, deadline_at=at)
            )
            and at
        ):
            self.world.forced.add(runner.pk)

    @rule(pick=st.integers(0, 20))
    def stop_drain(self, pick: int) -> None:
        """Think better of it."""
        self._on_runner(pick, lifecycle.stop_drain)

    @rule(pick=st.integers(0, 20))
    def deregister(self, pick: int) -> None:
        """Take one out after its job."""
        self._on_runner(pick, lifecycle.deregister)

    @rule(pick=st.integers(0, 20))
    def force(self, pick: int) -> None:
        """Take one out now, whatever it does."""
        runner = self._runner(pick)
        if runner is not None and self._try(
            lambda: lifecycle.deregister(
                runner, by=PERSON, reason="stuck", now=self.world.now(), force=True
            )
        ):
            self.world.forced.add(runner.pk)

    @rule(pick=st.integers(0, 20), label=st.sampled_from(("one", "two")))
    def edit_labels(self, pick: int, label: str) -> None:
        """Give a persistent one other labels."""
        runner = self._runner(pick)
        if runner is not None:
            labels = [*ALONE.all_labels, label]
            self._try(
                lambda: lifecycle.edit_labels(
                    runner, labels, by=PERSON, reason="labels", now=self.world.now()
                )
            )

    @rule(pick=st.integers(0, 5), back=st.booleans())
    def cordon(self, pick: int, back: bool) -> None:
        """Keep new runners off a machine, or let them in again."""
        act = enrolment.uncordon if back else enrolment.cordon
        host = self._host(pick)
        self._try(lambda: act(host, by=PERSON, reason="work on it", now=self.world.now()))

    @rule(pick=st.integers(0, 5))
    def drain_host(self, pick: int) -> None:
        """Empty a machine."""
        host = self._host(pick)
        self._try(
            lambda: enrolment.drain_host(host, by=PERSON, reason="patches", now=self.world.now())
        )

    @rule(on=st.booleans())
    def quiesce(self, on: bool) -> None:
        """Let no runner in, or again."""
        act = fleet.quiesce if on else fleet.resume
        self._try(lambda: act(by=PERSON, reason="freeze", now=self.world.now()))

    def _on_runner(self, pick, act) -> None:
        runner = self._runner(pick)
        if runner is not None:
            self._try(lambda: act(runner, by=PERSON, reason="asked", now=self.world.now()))

    def _try(self, act) -> bool:
        """Do it, or be refused in words; anything else is a bug."""
        try:
            act()
        except FleetError:
            return False
        return True

    # --- the rest of the world -----------------------------------------------------------------

    @rule(
        kind=st.sampled_from((*POOLS, ALONE)),
        seconds=st.sampled_from((1.0, 45.0, 700.0, 4000.0)),
        count=st.integers(1, 4),
    )
    def push(self, kind: PoolPlan, seconds: float, count: int) -> None:
        """Jobs come."""
        for number in range(count):
            self.world.github.queue_job(
                kind.all_labels, REPOSITORIES[number % 3], JobPlan(seconds, "Succeeded")
            )

    @rule(name=st.sampled_from(sorted(STRIKES)))
    def go_wrong(self, name: str) -> None:
        """One fault."""
        self.faults.strike(name)

    @rule(seconds=st.sampled_from(SPANS))
    def pass_time(self, seconds: float) -> None:
        """Time passes."""
        self.world.advance(seconds)

    @rule(minutes=st.integers(1, 59))
    @precondition(lambda self: hasattr(self, "world") and self.world.reachable)
    def cannot_see_github(self, minutes: int) -> None:
        """While GitHub can't be reached at all, nothing is concluded from that."""
        self.world.advance(1)
        self.world.reachable = False
        last = Event.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        self.world.advance(minutes * 60)
        broken = invariants.no_removal_on_the_unknown(self.world, last)
        self.world.reachable = True
        assert broken == []

    @invariant()
    def holds(self) -> None:
        """What must hold after every step."""
        if hasattr(self, "world"):
            assert invariants.always(self.world) == []

    def converges(self) -> None:
        """Once faults stop, everything comes to where it is wanted."""
        world = self.world
        faults.calm(world)
        fleet.resume(by=PERSON, reason="over", now=world.now())
        for host in Host.objects.in_service():
            enrolment.uncordon(host, by=PERSON, reason="over", now=world.now())
        for _ in range(SETTLE_AT_MOST):
            world.advance(SETTLE_SECONDS)
            broken = [each for each in invariants.when_calm(world) if not self._excused(each)]
            if not broken:
                return
        raise AssertionError("\n".join(broken))

    def _excused(self, words: str) -> bool:
        """Jobs for runners by hand wait as long as nobody provides any."""
        return "by-hand" in words and words.endswith("is queued at GitHub")


@pytest.mark.timeout(900)
@pytest.mark.django_db(transaction=True)
def test_whatever_operators_faults_and_time_do_the_fleet_keeps_its_promises():
    run_state_machine_as_test(
        FleetMachine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize="FLEET_PROPERTY_EXAMPLES" not in os.environ,
            database=None,
            print_blob=True,
            phases=(Phase.generate, Phase.shrink) if EXAMPLES > 20 else (Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )

"""One pool while a plan is made: what it may still start, what it was given, and what stops it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from runners.scaling.asks import Ask
from runners.scaling.matching import Source
from runners.scaling.picture import Code, Held, PoolView, Stop
from runners.scaling.policy import Limits, Policy

FINAL = (Code.BELOW_TRIGGER, Code.COOLDOWN, Code.STEP, Code.PACED)
"""Reasons to wait for this very pool: its jobs are not passed on to one that fits less well."""


@dataclass(slots=True)
class Share:
    """A pool's part in a plan.

    `queue`: asks that wait for it, a heap by age. `blocked`: why it starts no more for jobs,
    `cold`: why no more to be kept warm. `given`: runners this plan starts, by host. `refused`: jobs
    it could do nothing for; `short`: runners wanted idle that could not be started.
    """

    source: Source
    pool: PoolView
    limits: Limits
    held: Held | None
    queue: list[tuple[datetime, int, Ask]] = field(default_factory=list)
    in_turn: bool = False
    blocked: Code | None = None
    cold: Code | None = None
    for_jobs: int = 0
    spares: int = 0
    given: dict[int, int] = field(default_factory=dict)
    refused: int = 0
    short: int = 0
    stops: list[Stop] = field(default_factory=list)
    idle_stops: int = 0

    @property
    def policy(self) -> Policy:
        """What a person decided."""
        return self.pool.policy

    @property
    def total(self) -> int:
        """Its runners with those this plan starts."""
        return self.source.counted + self.for_jobs + self.spares

    @property
    def waiting(self) -> int:
        """Jobs that wait for it and that nobody takes yet."""
        return sum(ask.left for _, _, ask in self.queue)

    @property
    def short_jobs(self) -> int:
        """Jobs that it does nothing for in this plan."""
        return self.waiting + self.refused

    @property
    def depth(self) -> int:
        """Jobs without a ready runner: what its trigger is compared with."""
        return self.waiting + self.source.spoken_for + self.for_jobs

    @property
    def ready(self) -> int:
        """Runners free for jobs to come, now or soon; those past their lifetime aside."""
        source = self.source
        return max(0, source.free_idle - source.expired) + source.free_starting

    @property
    def keep(self) -> int:
        """How many runners it keeps idle now: its minimum, its warm spares while it works."""
        works = bool(self.source.busy) or self.source.asked > 0
        warm = self.policy.warm_spares if works else 0
        return min(max(self.limits.min_idle, warm), self.limits.max_runners)

    def shut(self) -> Code | None:
        """Why it may start nothing at all now; None when it may."""
        if self.held is not None:
            return Code.HELD
        return Code.CLOSED if self.limits.max_runners == 0 else None

    def cooling(self, now: datetime) -> Code | None:
        """Why it may start nothing for waiting jobs yet; None when it may."""
        cooled = self.cooled_at
        return Code.COOLDOWN if cooled is not None and now < cooled else None

    @property
    def cooled_at(self) -> datetime | None:
        """When it may start runners for jobs again after it last did."""
        if self.pool.scaled_at is None or not self.policy.cooldown_seconds:
            return None
        return self.pool.scaled_at + timedelta(seconds=self.policy.cooldown_seconds)

    def triggered(self, now: datetime) -> bool:
        """Whether enough jobs wait, or one has waited for long enough."""
        if self.for_jobs or self.depth >= self.policy.trigger_jobs:
            return True
        # The oldest group's own oldest job may be served, and another group's wait for longer
        since = min(ask.left_since for _, _, ask in self.queue)
        return since + self.policy.trigger_after <= now

    def full(self) -> Code | None:
        """Why it may start not one more in this plan; None when it may."""
        if self.total >= self.limits.max_runners:
            return Code.AT_MAX
        step = self.policy.scale_up_step
        return Code.STEP if step and self.for_jobs + self.spares >= step else None

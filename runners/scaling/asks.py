"""Groups of waiting jobs, and what of them the runners that are there or coming will take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from runners.scaling.matching import Index, Source, admits
from runners.scaling.picture import Demand


@dataclass(slots=True)
class Ask:
    """One group of waiting jobs while a plan is made: `left` is what nobody takes yet.

    `sources` may take its jobs, the nearest first. `first`: the first pool asked that gave nothing,
    by order number.
    """

    order: int
    demand: Demand
    sources: tuple[Source, ...]
    left: int
    running: int = 0
    ready: int = 0
    starting: int = 0
    planned: int = 0
    asked: int = 0
    first: Source | None = None

    @property
    def age(self) -> tuple[datetime, int]:
        """Older asks sort first; equal ones by their place in the demand."""
        return self.demand.oldest_at, self.order

    @property
    def left_since(self) -> datetime:
        """Since when the oldest of those that nobody takes waits."""
        return self.demand.queued_at[self.demand.count - self.left]


def ask_all(demand: Sequence[Demand], index: Index) -> list[Ask]:
    """Give every group what is there for it: in the order given, what is left noted in each.

    Those with the least choice choose first, so that others don't take their only runner.
    """
    asks = [
        Ask(order, each, _sources(each, index), each.count) for order, each in enumerate(demand)
    ]
    for ask in sorted(asks, key=lambda ask: (len(ask.sources), ask.age)):
        _serve(ask)
    return asks


def _sources(demand: Demand, index: Index) -> tuple[Source, ...]:
    fitting = index.fitting(demand.labels)
    if not fitting:
        return ()
    reaching = index.reaching(demand)
    return tuple(
        source
        for source in fitting
        if source.order in reaching and admits(source.repositories, demand.repository)
    )


def _serve(ask: Ask) -> None:
    """Runners that work on one already, then those that are idle, then those on their way."""
    for source in ask.sources:
        source.asked += ask.demand.count
        taken = min(ask.left, source.free_untold)
        source.free_untold -= taken
        ask.running += taken
        ask.left -= taken
    for source in ask.sources:
        taken = min(ask.left, source.free_idle)
        source.free_idle -= taken
        ask.ready += taken
        ask.left -= taken
    for source in ask.sources:
        taken = min(ask.left, source.free_starting)
        source.free_starting -= taken
        source.spoken_for += taken
        ask.starting += taken
        ask.left -= taken

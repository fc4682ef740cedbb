"""How many runners each pool should start: pure arithmetic over demand, policy and supply.

No ORM, no clock, no I/O: the live loop and every preview call the same function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PoolSupply:
    """One pool's policy and what it has now, in runners.

    `idle` are proven online and free, `starting` were asked for and are within their start
    deadline, `busy` run a job. `held_back` says in words why the pool may not start runners now; ""
    when it may.
    """

    pool_id: int
    name: str
    min_idle: int
    max_runners: int
    idle: int
    starting: int
    busy: int
    held_back: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do for one pool and why, in a sentence a person can check."""

    pool_id: int
    start: int
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """One decision a pool, in the order given."""

    decisions: tuple[Decision, ...] = field(default=())


def plan(pools: Sequence[PoolSupply]) -> Plan:
    """Keep `min_idle` runners ready or on their way in each pool, never more than `max_runners`."""
    return Plan(tuple(_decide(pool) for pool in pools))


def _decide(pool: PoolSupply) -> Decision:
    if pool.held_back:
        return Decision(pool.pool_id, 0, f"{pool.name}: {pool.held_back}.")
    ready = pool.idle + pool.starting
    missing = max(0, pool.min_idle - ready)
    room = max(0, pool.max_runners - ready - pool.busy)
    start = min(missing, room)
    if start:
        why = f"{ready} of {pool.min_idle} ready: starting {start}"
    elif missing:
        why = f"{ready} of {pool.min_idle} ready, but at its maximum of {pool.max_runners}"
    else:
        why = f"{ready} of {pool.min_idle} ready"
    return Decision(pool.pool_id, start, f"{pool.name}: {why}.")

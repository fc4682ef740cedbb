"""The plan: jobs against what is there and coming, then starts in fair order, then stops."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from runners.scaling.allocation import Allocation
from runners.scaling.asks import ask_all
from runners.scaling.hosts import Hosts
from runners.scaling.leaving import Leaving
from runners.scaling.matching import Index, Source
from runners.scaling.picture import (
    Demand,
    Held,
    HostRoom,
    Pacing,
    Plan,
    PoolView,
    RunnerView,
    Worth,
)
from runners.scaling.policy import limits_at
from runners.scaling.share import Share
from runners.scaling.wording import decision, verdict


def plan(
    demand: Sequence[Demand],
    supply: Iterable[RunnerView],
    pools: Sequence[PoolView],
    hosts: Sequence[HostRoom],
    *,
    now: datetime,
    pacing: Pacing | None = None,
    closed: Held | None = None,
) -> Plan:
    """Say what to start, what to let go and why each group of jobs waits.

    `closed`: the whole fleet admits no runner. Decisions come in the order of `pools`, verdicts in
    that of `demand`.
    """
    pacing = pacing or Pacing()
    sources = _sources(pools, supply, now, pacing)
    index = Index(sources)
    asks = ask_all(demand, index)
    shares = [
        Share(source, source.pool, limits_at(source.pool.policy, now), closed or source.pool.held)
        for source in sources
        if source.pool is not None
    ]
    room = Hosts(hosts)
    allocation = Allocation(shares, asks, room, pacing, now)
    allocation.run()
    stops = Leaving(shares, room, pacing, now).run()
    by_order = {share.source.order: share for share in shares}
    return Plan(
        starts=allocation.starts(),
        stops=stops,
        decisions=tuple(decision(share) for share in shares),
        verdicts=tuple(verdict(ask, by_order, index, room) for ask in asks),
        registrations_left=allocation.left,
    )


def _sources(
    pools: Sequence[PoolView], supply: Iterable[RunnerView], now: datetime, pacing: Pacing
) -> list[Source]:
    """The pools, then the runners without one by what they have in common; each counted."""
    sources = [
        Source(order, pool.name, pool.scope, pool.policy.labels, pool, pool.policy.repositories)
        for order, pool in enumerate(pools)
    ]
    of_pool = {pool.id: source for pool, source in zip(pools, sources, strict=True)}
    alone: dict[tuple[int, frozenset[str]], Source] = {}
    for runner in supply:
        source = of_pool.get(runner.pool_id) if runner.pool_id is not None else None
        if source is None:
            if runner.scope is None:
                continue
            source = alone.get((runner.scope.id, runner.labels))
            if source is None:
                source = Source(len(sources), "", runner.scope, runner.labels)
                sources.append(source)
                alone[(runner.scope.id, runner.labels)] = source
        _count(source, runner, now, pacing)
    for source in sources:
        source.free_untold = sum(runner.untold_job for runner in source.busy)
        source.free_idle, source.free_starting = len(source.idle), len(source.starting)
    return sources


def _count(source: Source, runner: RunnerView, now: datetime, pacing: Pacing) -> None:
    policy = source.pool.policy if source.pool else None
    match runner.worth:
        case Worth.IDLE:
            source.idle.append(runner)
            lifetime = policy.max_lifetime_seconds if policy else 0
            if lifetime and runner.online_at is not None:
                source.expired += runner.online_at + timedelta(seconds=lifetime) <= now
        case Worth.STARTING:
            deadline = policy.start_deadline_seconds if policy else 0
            if deadline and runner.since + timedelta(seconds=deadline) <= now:
                source.overdue += 1
            else:
                source.starting.append(runner)
        case Worth.BUSY:
            source.busy.append(runner)
        case Worth.DRAINING:
            source.draining += 1
            if now - runner.since < pacing.grace:
                source.leaving_hosts.append(runner.host_id)
        case Worth.LEAVING:
            source.leaving_hosts.append(runner.host_id)
        case Worth.OFFLINE:
            source.offline += 1
        case Worth.UNKNOWN:
            source.unknown += 1

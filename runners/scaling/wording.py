"""What a plan says of itself: a verdict for each group of jobs, a sentence for each pool."""

from __future__ import annotations

from collections.abc import Mapping

from runners.scaling.asks import Ask
from runners.scaling.hosts import Hosts
from runners.scaling.matching import Index, Source, asks_for_hosted
from runners.scaling.picture import Code, Facts, PoolDecision, Verdict
from runners.scaling.share import Share


def verdict(ask: Ask, shares: Mapping[int, Share], index: Index, hosts: Hosts) -> Verdict:
    """Say what becomes of a group of jobs; `shares` by the order number of their source."""
    code, source, facts = _judge(ask, shares, index, hosts)
    return Verdict(
        demand=ask.demand,
        code=code,
        pool_id=source.pool.id if source and source.pool else None,
        running=ask.running,
        ready=ask.ready,
        starting=ask.starting,
        planned=ask.planned,
        left=ask.left,
        facts=facts,
    )


def _judge(
    ask: Ask, shares: Mapping[int, Share], index: Index, hosts: Hosts
) -> tuple[Code, Source | None, Facts]:
    if not ask.sources:
        return _unmatched(ask, index)
    if not ask.left:
        return _served(ask)
    waits_for = ask.sources[ask.asked] if ask.asked < len(ask.sources) else ask.first
    if waits_for is None:
        busy = sum(len(source.busy) for source in ask.sources)
        return Code.ALL_BUSY, None, Facts(busy=busy)
    share = shares[waits_for.order]
    code = share.blocked or Code.BELOW_TRIGGER
    return code, waits_for, _facts(code, ask, share, hosts)


def _served(ask: Ask) -> tuple[Code, Source | None, Facts]:
    first = next((source for source in ask.sources if source.pool), ask.sources[0])
    if ask.planned:
        return Code.PLANNED, first, Facts()
    if ask.starting:
        began = [runner.since for source in ask.sources for runner in source.starting]
        return Code.STARTING, first, Facts(since=min(began))
    return (Code.READY if ask.ready else Code.RUNNING), first, Facts()


def _unmatched(ask: Ask, index: Index) -> tuple[Code, Source | None, Facts]:
    labels = ask.demand.labels
    if asks_for_hosted(labels):
        return Code.NOT_OURS, None, Facts()
    reaching = index.reaching(ask.demand)
    fitting = index.fitting(labels)
    for source in fitting:
        if source.order in reaching:
            return Code.REPOSITORY_REFUSED, source, Facts()
    if fitting:
        return Code.WRONG_SCOPE, fitting[0], Facts()
    nearest = index.nearest(labels, sorted(reaching))
    missing = tuple(sorted(labels - nearest.labels if nearest else labels))
    return Code.NO_POOL, nearest, Facts(missing=missing)


def _facts(code: Code, ask: Ask, share: Share, hosts: Hosts) -> Facts:
    source, policy = share.source, share.policy
    busy = len(source.busy)
    if code is Code.HELD and share.held is not None:
        return Facts(held=share.held, until=share.held.until, busy=busy)
    if code is Code.BELOW_TRIGGER:
        until = ask.left_since + policy.trigger_after
        return Facts(jobs=share.depth, limit=policy.trigger_jobs, until=until, busy=busy)
    if code is Code.COOLDOWN:
        return Facts(until=share.cooled_at, busy=busy)
    if code is Code.STEP:
        return Facts(limit=policy.scale_up_step, busy=busy)
    if code is Code.AT_MAX:
        return Facts(jobs=share.total, limit=share.limits.max_runners, busy=busy)
    if code in (Code.HOSTS_FULL, Code.NO_HOST):
        return Facts(limit=hosts.able(policy), hosts=hosts.refusals(policy), busy=busy)
    return Facts(busy=busy)


def decision(share: Share) -> PoolDecision:
    """What was decided for a pool, in numbers and a sentence."""
    source = share.source
    code = share.cold if share.short else share.blocked if share.short_jobs else None
    if share.short_jobs and code is None:
        code = Code.BELOW_TRIGGER
    return PoolDecision(
        pool_id=share.pool.id,
        name=share.pool.name,
        min_idle=share.limits.min_idle,
        max_runners=share.limits.max_runners,
        idle=len(source.idle),
        starting=len(source.starting),
        busy=len(source.busy),
        draining=source.draining,
        unknown=source.unknown + source.offline + source.overdue,
        waiting=share.depth + share.refused,
        start=share.for_jobs + share.spares,
        for_jobs=share.for_jobs,
        stop=len(share.stops),
        short=share.short_jobs + share.short,
        code=code,
        why=f"{share.pool.name}: {_why(share, code)}.",
    )


def _why(share: Share, code: Code | None) -> str:
    if share.held is not None:
        return share.held.words
    source = share.source
    waiting = share.depth + share.refused
    parts = [
        f"{len(source.idle)} idle, {len(source.starting)} starting, {len(source.busy)} busy "
        f"of at most {share.limits.max_runners}",
    ]
    if waiting:
        parts.append(f"{waiting} {'job waits' if waiting == 1 else 'jobs wait'} for a runner")
    if share.for_jobs:
        parts.append(f"starting {share.for_jobs} for them")
    if share.spares:
        parts.append(f"starting {share.spares} to keep {share.keep} idle")
    short = share.short_jobs + share.short
    if short and code is not None:
        parts.append(f"{short} more wanted, but {_BUT[code]}")
    if share.stops:
        reasons = ", ".join(sorted({stop.code.value for stop in share.stops}))
        parts.append(f"letting {len(share.stops)} go ({reasons})")
    return "; ".join(parts)


_BUT: Mapping[Code, str] = {
    Code.AT_MAX: "it is at its maximum",
    Code.BELOW_TRIGGER: "too few jobs wait, and not for long enough",
    Code.CLOSED: "it may have none in these hours",
    Code.COOLDOWN: "it started some a moment ago",
    Code.HELD: "it is held back",
    Code.HOSTS_FULL: "no host that can serve has room",
    Code.NO_HOST: "no host that can serve takes runners now",
    Code.PACED: "the fleet has started all it may for now",
    Code.STEP: "that is all it starts at a time",
}


def span(seconds: float) -> str:
    """A length of time in its largest whole unit: 45 s, 5 min, 2 h, 3 d."""
    whole = int(seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if whole >= size and whole % size == 0:
            return f"{whole // size} {unit}"
    if whole >= 7200:
        return f"{whole / 3600:.1f} h"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"

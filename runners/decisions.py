"""What the scaler decided, kept: one record for each look that did something or found something
new, and one a minute otherwise.

Readable by a person (`words`, and each pool's `why`) and a program (the lines as data).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from runners.models import Decision
from runners.scaling import Code, Demand, Facts, Plan, PoolDecision, Verdict

QUIET_EVERY = timedelta(minutes=1)
WAITING_KEPT = 50
"""Groups of waiting jobs kept with a record, those that wait for longest first."""


def record(
    plan: Plan,
    *,
    scanned: int,
    started: int,
    stopped: int,
    failed: Sequence[str],
    took: timedelta,
    now: datetime,
) -> Decision | None:
    """Keep what one look found and did; None when the last record says the same already."""
    ours = [each for each in plan.verdicts if each.code is not Code.NOT_OURS]
    decision = Decision(
        at=now,
        scanned=scanned,
        demand=sum(each.demand.count for each in ours),
        started=started,
        stopped=stopped,
        failed=len(failed),
        registrations_left=plan.registrations_left,
        took_ms=int(took.total_seconds() * 1000),
        pools=[pool_line(each) for each in plan.decisions],
        waiting=[
            waiting_line(each)
            for each in sorted(ours, key=lambda each: each.demand.oldest_at)[:WAITING_KEPT]
        ],
        words=_words(plan, started, stopped, failed),
    )
    last = Decision.objects.first()
    if last is not None and not _worth_keeping(decision, last):
        return None
    decision.save(force_insert=True)
    return decision


def _worth_keeping(new: Decision, last: Decision) -> bool:
    if new.started or new.stopped or new.failed or new.at - last.at >= QUIET_EVERY:
        return True
    return (new.pools, new.waiting) != (last.pools, last.waiting)


def forget(*, before: datetime) -> int:
    """Throw away the records from before; returns how many."""
    return Decision.objects.filter(at__lt=before).delete()[0]


def pool_line(decision: PoolDecision) -> dict[str, object]:
    """One pool's line, by the names of `PoolDecision`."""
    return {
        "pool_id": decision.pool_id,
        "name": decision.name,
        "min_idle": decision.min_idle,
        "max_runners": decision.max_runners,
        "idle": decision.idle,
        "starting": decision.starting,
        "busy": decision.busy,
        "draining": decision.draining,
        "unknown": decision.unknown,
        "waiting": decision.waiting,
        "start": decision.start,
        "for_jobs": decision.for_jobs,
        "stop": decision.stop,
        "short": decision.short,
        "code": decision.code.value if decision.code else "",
        "why": decision.why,
    }


def waiting_line(verdict: Verdict) -> dict[str, object]:
    """One group of waiting jobs and what becomes of it."""
    demand: Demand = verdict.demand
    return {
        "scope_id": demand.scope.id,
        "scope": demand.scope.slug,
        "repository": demand.repository,
        "labels": sorted(demand.labels),
        "jobs": demand.count,
        "oldest_at": demand.oldest_at.isoformat(),
        "code": verdict.code.value,
        "pool_id": verdict.pool_id,
        "running": verdict.running,
        "ready": verdict.ready,
        "starting": verdict.starting,
        "planned": verdict.planned,
        "left": verdict.left,
        "facts": facts_line(verdict.facts),
    }


def facts_line(facts: Facts) -> dict[str, object]:
    """What a verdict rests on, by the names of `Facts`; what is empty is left out."""
    held = facts.held
    line: dict[str, object] = {
        "missing": list(facts.missing),
        "hosts": [list(pair) for pair in facts.hosts],
        "jobs": facts.jobs,
        "limit": facts.limit,
        "busy": facts.busy,
        "held": held.code.value if held else "",
        "held_words": held.words if held else "",
        "since": facts.since.isoformat() if facts.since else "",
        "until": facts.until.isoformat() if facts.until else "",
    }
    return {name: value for name, value in line.items() if value}


def _words(plan: Plan, started: int, stopped: int, failed: Sequence[str]) -> str:
    """The look in one sentence."""
    left = sum(each.left for each in plan.verdicts if each.code is not Code.NOT_OURS)
    parts = [f"{started} started, {stopped} let go"]
    if left:
        parts.append(f"{left} {'job waits' if left == 1 else 'jobs wait'} for nobody yet")
    short = [each.name for each in plan.decisions if each.short]
    if short:
        parts.append(f"short: {', '.join(short[:5])}")
    return "; ".join([*parts, *failed[:3]])

"""Pools kept at their size: the picture is read, the plan made, carried out and written down.

The plan is pure (`scaling`); starts and stops go through the lifecycle. Every step stands alone: a
kill between any two leaves rows that the next look reads as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic

from django.db import transaction

from runners import (
    audit,
    decisions,
    lifecycle,
    pool_picture,
    pool_policy,
    pool_samples,
    queue_picture,
)
from runners.audit import Actor
from runners.errors import FleetError, IllegalTransition, InvalidRequest, StaleState
from runners.models import Event, Host, Pool, Runner
from runners.pool_picture import Rules
from runners.pool_samples import PoolCounts
from runners.scaling import Plan, PoolDecision, Stop, limits_at


@dataclass(frozen=True, slots=True)
class Scaled:
    """What was planned and what came of it; `failed` says why a start did not come off."""

    plan: Plan
    started: tuple[Runner, ...] = ()
    stopped: tuple[int, ...] = ()
    failed: tuple[str, ...] = ()

    def __str__(self) -> str:
        counts = f"{len(self.started)} started, {len(self.stopped)} let go"
        return "; ".join([counts, *self.failed])


def scale(rules: Rules, *, now: datetime, by: Actor) -> Scaled:
    """Look at everything once, and start and let go what the plan says.

    A start that finds its slot taken is skipped, the others go on; the next look sees it again.
    """
    began = monotonic()
    _end_pauses(now=now, by=by)
    picture = pool_picture.look(rules, now=now)
    planned = picture.plan()
    pools = _pools({start.pool_id for start in planned.starts})
    started, failed = _start(planned, pools, now=now, by=by)
    stopped = _stop(planned.stops, now=now, by=by)
    done = Scaled(planned, tuple(started), tuple(stopped), tuple(failed))
    decisions.record(
        planned,
        scanned=len(picture.supply),
        started=len(started),
        stopped=len(stopped),
        failed=failed,
        took=timedelta(seconds=monotonic() - began),
        now=now,
    )
    queue_picture.take(planned, now=now)
    pool_samples.note(map(_counts, planned.decisions), now=now)
    return done


def _counts(decision: PoolDecision) -> PoolCounts:
    return PoolCounts(
        decision.pool_id,
        waiting=decision.waiting,
        starting=decision.starting,
        idle=decision.idle,
        busy=decision.busy,
    )


def _end_pauses(*, now: datetime, by: Actor) -> None:
    for pool in Pool.objects.filter(paused_at__isnull=False, paused_until__lte=now):
        resume(pool, by=by, reason="Its pause is over", now=now, anew=False)


def _pools(ids: set[int]) -> dict[int, Pool]:
    rows = Pool.objects.select_related("scope").prefetch_related("labels")
    return rows.in_bulk(ids)


def _start(
    planned: Plan,
    pools: Mapping[int, Pool],
    *,
    now: datetime,
    by: Actor,
) -> tuple[list[Runner], list[str]]:
    why = {each.pool_id: each for each in planned.decisions}
    hosts = Host.objects.in_bulk({start.host_id for start in planned.starts})
    started: list[Runner] = []
    failed: list[str] = []
    for start in planned.starts:
        pool, host = pools.get(start.pool_id), hosts.get(start.host_id)
        if pool is None or host is None:
            continue  # removed since the look
        try:
            for count in _parts(start.count):
                started += _start_on(pool, host, count, why[pool.pk], now=now, by=by)
        except FleetError as error:
            failed.append(f"{pool.name}: {error.user_message}")
    return started, failed


def _parts(count: int) -> Iterator[int]:
    """So many runners in as few orders as the lifecycle takes; a host may have more slots."""
    while count > 0:
        yield min(count, lifecycle.COUNT_LIMIT)
        count -= lifecycle.COUNT_LIMIT


def _start_on(
    pool: Pool, host: Host, count: int, decision: PoolDecision, *, now: datetime, by: Actor
) -> list[Runner]:
    """Start runners of a pool on one host, all or none, and note that it scaled for jobs.

    None above the maximum either: a person may have started some since the look.
    """
    order = order_for(pool, host=host, count=count)
    with transaction.atomic():
        made = lifecycle.provision(order, by=by, reason=decision.why, now=now)
        _keep_within(pool, decision.max_runners, started=len(made))
        if decision.for_jobs:
            Pool.objects.filter(pk=pool.pk).update(scaled_at=now)
    return made


def _stop(stops: tuple[Stop, ...], *, now: datetime, by: Actor) -> list[int]:
    """Drain each: GitHub is asked first, and refuses while a job is on it."""
    runners = Runner.objects.select_related("host", "scope").in_bulk(
        [stop.runner_id for stop in stops]
    )
    stopped: list[int] = []
    for stop in stops:
        runner = runners.get(stop.runner_id)
        if runner is None:
            continue
        try:
            lifecycle.drain(runner, by=by, reason=stop.why, now=now)
        except (StaleState, IllegalTransition):
            continue  # it moved since the look
        stopped.append(stop.runner_id)
    return stopped


def order_for(pool: Pool, *, host: Host | None = None, count: int = 1) -> lifecycle.Order:
    """What the pool asks for when it wants more runners."""
    policy = pool_policy.policy_of(pool)
    return lifecycle.Order(
        scope=pool.scope,
        labels=list(policy.labels),
        host=host,
        count=count,
        pool=pool,
        ephemeral=policy.ephemeral,
        name_pattern="{pool}-{host}-{random}",
        runner_group_id=policy.runner_group_id,
        runner_group_name=policy.runner_group_name,
        architecture=policy.architecture,
        needs_gpu=policy.needs_gpu,
        sites=policy.sites,
        sites_only=policy.sites_only,
        host_labels=policy.host_labels,
        emulation=policy.emulation,
        size=pool_policy.size_of(policy),
    )


def start_now(pool: Pool, *, by: Actor, reason: str, now: datetime, count: int = 1) -> list[Runner]:
    """Start runners because a person wants them now, whatever waits; the maximum still holds.

    A runner that nobody uses leaves again after the pool's idle timeout. Raises as `provision`.
    """
    why = reason or f"Asked for by {by.name}"
    return provision(order_for(pool, count=count), by=by, reason=why, now=now)


def provision(order: lifecycle.Order, *, by: Actor, reason: str, now: datetime) -> list[Runner]:
    """Start what a person ordered, all or none; where it is for a pool, within its maximum.

    Raises InvalidRequest above the maximum, and what `lifecycle.provision` raises.
    """
    with transaction.atomic():
        made = lifecycle.provision(order, by=by, reason=reason, now=now)
        if order.pool is not None:
            policy = pool_policy.policy_of(order.pool)
            most = limits_at(pool_policy.scaling_policy(policy, start_deadline_seconds=0), now)
            _keep_within(order.pool, most.max_runners, started=len(made))
        return made


def _keep_within(pool: Pool, most: int, *, started: int) -> None:
    """Refuse what this transaction has just started above the pool's maximum.

    Who starts some at the same moment waits here, and counts these. The hosts were written first,
    as by everybody who writes both: two writers never wait for each other's row.
    """
    if Pool.objects.select_for_update(no_key=True).filter(pk=pool.pk).first() is None:
        raise StaleState(f"{pool.name} was removed a moment ago.")
    there = Runner.objects.towards_maximum().filter(pool=pool).count()
    if there > most:
        raise InvalidRequest(
            f"{pool.name} has {there - started} of the {most} runners it may have now. Raise its "
            "maximum, or wait until some have left."
        )


def pause(
    pool: Pool, *, by: Actor, reason: str, now: datetime, until: datetime | None = None
) -> Event | None:
    """Neither start nor let go for this pool; runners it has go on. None when nothing changed.

    `until` ends it by itself; pausing again moves the end and the reason.
    """
    if until is not None and until <= now:
        raise InvalidRequest("A pause ends later than now.")
    note = reason[:200]
    same = pool.paused_at is not None and (pool.paused_until, pool.paused_reason) == (until, note)
    if same:
        return None
    with transaction.atomic():
        was = Pool.objects.select_for_update().get(pk=pool.pk)
        Pool.objects.filter(pk=pool.pk).update(
            paused_at=was.paused_at or now, paused_until=until, paused_reason=note
        )
        return audit.record(
            pool,
            "pool.pause",
            by=by,
            at=now,
            was="paused" if was.paused_at else "running",
            became=f"paused until {until:%Y-%m-%d %H:%M} UTC" if until else "paused",
            reason=reason,
        )


def resume(pool: Pool, *, by: Actor, reason: str, now: datetime, anew: bool = True) -> Event | None:
    """Let the pool start runners again; clears its back-off and quarantine where it begins `anew`.

    Resuming a running pool changes nothing (None).
    """
    failures = {"backoff_until": None, "quarantined_at": None, "consecutive_failures": 0}
    with transaction.atomic():
        if not Pool.objects.filter(pk=pool.pk, paused_at__isnull=False).update(
            paused_at=None,
            paused_until=None,
            paused_reason="",
            **(failures if anew else {}),
        ):
            return None
        return audit.record(
            pool, "pool.resume", by=by, at=now, was="paused", became="running", reason=reason
        )

"""Pools kept at their size: supply counted from the tables, the plan carried out by the
lifecycle."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from runners import audit, fleet, lifecycle, recovery, scaling
from runners.audit import Actor
from runners.errors import InvalidRequest, NoCapacity, Quiesced
from runners.models import Event, Pool, Runner
from runners.states import DisplayState, RunnerState


@dataclass(frozen=True, slots=True)
class TopUp:
    """What was planned and what came of it; `short` says why a pool got fewer than planned."""

    plan: scaling.Plan
    started: tuple[Runner, ...]
    short: tuple[str, ...]

    def __str__(self) -> str:
        return "; ".join([f"{len(self.started)} started", *self.short])


def top_up(*, now: datetime, by: Actor) -> TopUp:
    """Start what the plan asks for; a pool without room is skipped, the others go on."""
    pools = {pool.pk: pool for pool in Pool.objects.select_related("scope")}
    closed = fleet.quiesced()
    plan = scaling.plan(supply(list(pools.values()), now=now, closed=closed))
    started: list[Runner] = []
    short: list[str] = []
    for decision in plan.decisions:
        pool = pools[decision.pool_id]
        try:
            for _ in range(decision.start):
                started += lifecycle.provision(order_for(pool), by=by, reason=decision.why, now=now)
        except (NoCapacity, InvalidRequest, Quiesced) as error:
            short.append(f"{pool.name}: {error.user_message}")
    return TopUp(plan, tuple(started), tuple(short))


def supply(pools: list[Pool], *, now: datetime, closed: str = "") -> list[scaling.PoolSupply]:
    """Count each pool's runners by what they are worth: lost and failed ones are no supply.

    `closed` says why the whole fleet admits none (`fleet.quiesced`), "" while it does.
    """
    counts: dict[int, Counter[str]] = {pool.pk: Counter() for pool in pools}
    rows = Runner.objects.with_display_state(now).display_by_pool(counts)
    for pool_id, display in rows:
        counts[pool_id][display] += 1
    deprecated = _without_newer_version(pools)
    return [
        scaling.PoolSupply(
            pool_id=pool.pk,
            name=pool.name,
            min_idle=pool.min_idle,
            max_runners=pool.max_runners,
            idle=counts[pool.pk][DisplayState.IDLE],
            starting=counts[pool.pk][DisplayState.STARTING],
            busy=counts[pool.pk][DisplayState.BUSY],
            held_back=closed.rstrip(".") or _held_back(pool, now) or deprecated.get(pool.pk, ""),
        )
        for pool in pools
    ]


def _without_newer_version(pools: list[Pool]) -> dict[int, str]:
    """Pools whose last runner's version GitHub refused, while it offers none that is newer.

    Looks only at pools whose starts fail; those are few.
    """
    why: dict[int, str] = {}
    for pool in pools:
        if not pool.consecutive_failures:
            continue
        last = (
            Runner.objects.filter(pool=pool, state=RunnerState.FAILED)
            .select_related("host")
            .order_by("-state_changed_at")
            .first()
        )
        if last is not None and (words := recovery.no_newer_version(last)):
            why[pool.pk] = words
    return why


def _held_back(pool: Pool, now: datetime) -> str:
    if pool.paused_at is not None:
        return f"paused{f', {pool.paused_reason}' if pool.paused_reason else ''}"
    if pool.quarantined_at is not None:
        return f"quarantined after {pool.consecutive_failures} failures, until it is released"
    if pool.scope.github_unknown_since is not None:
        return "GitHub can't be reached"
    if pool.backoff_until is not None and pool.backoff_until > now:
        failures = pool.consecutive_failures
        return f"waiting until {pool.backoff_until:%H:%M:%S} after {failures} failures"
    return ""


def order_for(pool: Pool) -> lifecycle.Order:
    """What the pool asks for when it wants one more runner."""
    return lifecycle.Order(
        scope=pool.scope,
        labels=[label.name for label in pool.labels.all()],
        pool=pool,
        ephemeral=pool.ephemeral,
        name_pattern="{pool}-{host}-{random}",
        runner_group_id=pool.runner_group_id,
        architecture=pool.architecture,
        needs_gpu=pool.needs_gpu,
        site=pool.site,
    )


def pause(pool: Pool, *, by: Actor, reason: str, now: datetime) -> Event | None:
    """Start no runners for this pool; those it has go on. Pausing twice changes nothing (None)."""
    with transaction.atomic():
        if not Pool.objects.filter(pk=pool.pk, paused_at__isnull=True).update(
            paused_at=now, paused_reason=reason[:200]
        ):
            return None
        return audit.record(
            pool, "pool.pause", by=by, at=now, was="running", became="paused", reason=reason
        )


def resume(pool: Pool, *, by: Actor, reason: str, now: datetime) -> Event | None:
    """Let the pool start runners again; clears its back-off and quarantine.

    Resuming a running pool changes nothing (None).
    """
    with transaction.atomic():
        if not Pool.objects.filter(pk=pool.pk, paused_at__isnull=False).update(
            paused_at=None,
            paused_reason="",
            backoff_until=None,
            quarantined_at=None,
            consecutive_failures=0,
        ):
            return None
        return audit.record(
            pool, "pool.resume", by=by, at=now, was="paused", became="running", reason=reason
        )

"""Watch what each pool could do, and write down when a matching job would not have started in time.

The only writer of `Outage` and of `PoolTarget.watched_at`. What nobody watched counts as down: a
dashboard that is away starts no runner.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import QuerySet

from runners import fleet, placement, pools
from runners.histograms import Histogram
from runners.models import Host, Outage, Pool, PoolTarget, Runner
from runners.placement import Need, Room
from runners.readiness import NotReady, OutageCause, PoolFacts, judge
from runners.states import SERVING, DisplayState
from runners.targets import STARTUP_SECONDS

# Two looks that fail to come are chance; after that nobody watched.
GAP: Final = timedelta(minutes=3)
LAST_STARTS: Final = timedelta(hours=1)
READY: Final = (DisplayState.IDLE, DisplayState.STARTING)


@dataclass(frozen=True, slots=True)
class Watched:
    """What one look found."""

    pools: int
    not_ready: int

    def __str__(self) -> str:
        return f"{self.not_ready} of {self.pools} pools are not ready"


def watch(*, now: datetime) -> Watched:
    """Look at every pool once; nine queries, more only for a pool whose state changed."""
    pools = list(Pool.objects.select_related("scope", "target").prefetch_related("labels"))
    found = {pool.pk: verdict for pool, verdict in _verdicts(pools, now)}
    open_ = {row.pool_id: row for row in Outage.objects.filter(ended_at__isnull=True)}
    for pool in pools:
        target: PoolTarget | None = getattr(pool, "target", None)
        row, verdict = open_.get(pool.pk), found[pool.pk]
        gap = target is not None and now - target.watched_at > GAP
        changed = (row.cause if row else None) != (verdict.cause if verdict else None)
        if target is not None and not gap and not changed:
            continue
        with transaction.atomic():
            if target is None:
                PoolTarget.objects.get_or_create(
                    pool=pool, defaults={"watched_since": now, "watched_at": now}
                )
            elif gap and row is None:
                _note_gap(pool, target, now)
            _note(pool, verdict, row, now)
    PoolTarget.objects.filter(pool__in=pools).update(watched_at=now)
    return Watched(len(pools), sum(verdict is not None for verdict in found.values()))


def _note_gap(pool: Pool, target: PoolTarget, now: datetime) -> None:
    """Write down the time nobody watched; an outage that was open goes on through it."""
    Outage.objects.create(
        pool=pool,
        cause=OutageCause.UNWATCHED,
        words="Fleetui's worker was away: no new runner could start.",
        began_at=target.watched_at,
        ended_at=now,
    )


def _note(pool: Pool, verdict: NotReady | None, open_: Outage | None, now: datetime) -> None:
    if open_ is not None and (verdict is None or verdict.cause != open_.cause):
        Outage.objects.filter(pk=open_.pk, ended_at__isnull=True).update(ended_at=now)
        open_ = None
    if verdict is not None and open_ is None:
        Outage.objects.create(
            pool=pool, cause=verdict.cause, words=verdict.words[:300], began_at=now
        )


def _verdicts(pools: list[Pool], now: datetime) -> list[tuple[Pool, NotReady | None]]:
    quiesced = fleet.quiesced()
    room = placement.room()
    counts: dict[int | None, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for pool_id, state, display, number in Runner.objects.counted(now):
        if state in SERVING:
            counts[pool_id][display] += number
    startups = _startups(now)
    return [
        (
            pool,
            judge(
                _facts(pool, quiesced, room, counts[pool.pk], startups.get(pool.pk), now),
                startup_target_seconds=STARTUP_SECONDS,
            ),
        )
        for pool in pools
    ]


def _startups(now: datetime) -> dict[int, float | None]:
    """p95 of how long the last hour's starts took, by pool."""
    rows: QuerySet[Runner] = Runner.objects.filter(
        online_at__gte=now - LAST_STARTS, pool__isnull=False
    ).order_by()
    found: dict[int, Histogram] = defaultdict(Histogram)
    for pool_id, created, online in rows.values_list("pool_id", "created_at", "online_at"):
        if pool_id is not None and online is not None:
            found[pool_id].add(max(0.0, (online - created).total_seconds()))
    return {pool_id: histogram.percentile(95) for pool_id, histogram in found.items()}


def _facts(
    pool: Pool,
    quiesced: str,
    room: Room,
    counts: Mapping[str, int],
    startup: float | None,
    now: datetime,
) -> PoolFacts:
    need = pools.order_for(pool).need
    able = [host for host in room.hosts if not placement.refusal(need, host, now=now)]
    return PoolFacts(
        ready=sum(counts.get(state, 0) for state in READY),
        live=sum(counts.values()),
        max_runners=pool.max_runners,
        free_slots=sum(room.free(host) for host in able),
        hosts_lost=sum(_lost(need, host, now) for host in room.hosts),
        hosts_cordoned=sum(_cordoned(need, host, now) for host in room.hosts),
        policy=quiesced or _paused(pool),
        github="GitHub can't be reached." if pool.scope.github_unknown_since else "",
        failing=_failing(pool, now),
        startup_seconds=startup,
    )


def _paused(pool: Pool) -> str:
    if pool.paused_at is None:
        return ""
    return f"The pool is paused{f': {pool.paused_reason}' if pool.paused_reason else ''}."


def _failing(pool: Pool, now: datetime) -> str:
    if pool.quarantined_at is not None:
        return "The pool is quarantined: its starts failed."
    if pool.backoff_until is not None and pool.backoff_until > now:
        return f"Its last {pool.consecutive_failures} starts failed."
    return ""


def _lost(need: Need, host: Host, now: datetime) -> bool:
    """Whether it would serve if it were heard of."""
    silent = host.late_after is not None and host.late_after <= now
    return silent and not host.cordoned and _fits(need, host)


def _cordoned(need: Need, host: Host, now: datetime) -> bool:
    return host.cordoned and _fits(need, host)


def _fits(need: Need, host: Host) -> bool:
    architecture = placement.wanted_architecture(need)
    return not host.emulated and (not architecture or host.architecture == architecture)

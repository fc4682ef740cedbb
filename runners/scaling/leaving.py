"""Who leaves: idle runners nobody needs, and those past their lifetime. Each is drained.

Nothing leaves on what is unknown: runners of silent hosts, scopes that GitHub does not answer for,
and queues that were not seen whole since the runner became idle.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from runners.scaling.hosts import Hosts
from runners.scaling.picture import Blocked, Code, Pacing, RunnerView, Stop, StopCode, Worth
from runners.scaling.share import Share
from runners.scaling.wording import span

MAY_LEAVE_WHILE_HELD = (Blocked.BACKING_OFF, Blocked.QUARANTINED, Blocked.VERSION_REFUSED)
"""Pools that can't start may still let go; a paused or unknown one changes nothing."""
NO_REPLACEMENT = (Code.AT_MAX, Code.HOSTS_FULL, Code.NO_HOST, Code.CLOSED)
"""A pool that can't have another runner first lets its old ones go without."""
EXPIRE_AT_ONCE = 4
"""At most one in so many runners of a pool leaves for its age at a time."""


class Leaving:
    """The stops of one plan; `run` once the starts are given out."""

    def __init__(
        self,
        shares: Sequence[Share],
        hosts: Hosts,
        pacing: Pacing,
        now: datetime,
    ) -> None:
        self._shares = shares
        self._hosts = hosts
        self._pacing = pacing
        self._now = now

    def run(self) -> tuple[Stop, ...]:
        """Say who leaves and why, by pool in the order given."""
        for share in self._shares:
            if self._frozen(share):
                continue
            self._over_age(share)
            self._over_max(share)
            self._idle(share)
        self._make_room()
        return tuple(stop for share in self._shares for stop in share.stops)

    def _frozen(self, share: Share) -> bool:
        if share.pool.scope.unknown_since is not None:
            return True
        return share.held is not None and share.held.code not in MAY_LEAVE_WHILE_HELD

    def _over_age(self, share: Share) -> None:
        """Let old runners finish and go, a few at a time, and idle ones once others are ready."""
        lifetime = share.policy.max_lifetime_seconds
        if not lifetime:
            return
        source = share.source
        there = len(source.idle) + len(source.busy)
        quota = max(1, there // EXPIRE_AT_ONCE) - source.draining
        replaced = share.ready >= share.keep or share.cold in NO_REPLACEMENT
        born_before = self._now - timedelta(seconds=lifetime)
        for runner in _oldest_first([*source.busy, *(source.idle if replaced else ())]):
            if quota <= 0:
                return
            # A runner for one job only ends with the job it has
            lasts = runner.worth is Worth.IDLE or not runner.ephemeral
            if lasts and runner.online_at is not None and runner.online_at <= born_before:
                self._stop(share, runner, StopCode.LIFETIME, f"Older than {span(lifetime)}")
                quota -= 1

    def _over_max(self, share: Share) -> None:
        """Idle runners above the maximum in force leave without waiting for their timeout."""
        leaving = len(share.stops) + share.source.draining
        over = share.source.counted - leaving - share.limits.max_runners
        over = min(over, self._spare(share, 0))
        if over <= 0:
            return
        for runner in self._candidates(share, timedelta(0))[:over]:
            why = f"The pool may have {share.limits.max_runners} runners now"
            self._stop(share, runner, StopCode.OVER_MAX, why)

    def _idle(self, share: Share) -> None:
        surplus = self._spare(share, share.keep)
        if surplus <= 0:
            return
        timeout = share.policy.idle_timeout
        for runner in self._candidates(share, timeout)[:surplus]:
            idle = int((self._now - runner.since).total_seconds())
            limit = int(timeout.total_seconds())
            why = f"Idle for {span(idle)}, longer than {span(limit)}, and not needed"
            self._stop(share, runner, StopCode.IDLE, why)

    def _make_room(self) -> None:
        """Where jobs wait for a slot, idle runners that other pools don't need give theirs."""
        for share in self._shares:
            if share.blocked is not Code.HOSTS_FULL or not share.refused:
                continue
            needed = share.refused - self._coming(share)
            for other in self._shares:
                if needed <= 0:
                    break
                if other is not share and not self._frozen(other):
                    needed -= self._give_way(other, share, needed)

    def _coming(self, share: Share) -> int:
        """Slots on hosts that could serve the pool which are about to be given back."""
        return sum(
            self._hosts.serves(share.policy, host_id)
            for other in self._shares
            for host_id in other.source.leaving_hosts
        )

    def _give_way(self, share: Share, to: Share, needed: int) -> int:
        """Let idle runners go for another pool's jobs; returns how many."""
        surplus = min(needed, self._spare(share, share.keep))
        if surplus <= 0:
            return 0
        there = [
            runner
            for runner in self._candidates(share, self._pacing.grace)
            if self._hosts.serves(to.policy, runner.host_id)
        ][:surplus]
        for runner in there:
            why = f"Idle and not needed, while jobs for {to.pool.name} wait for room"
            self._stop(share, runner, StopCode.MAKES_ROOM, why)
        return len(there)

    def _spare(self, share: Share, keep: int) -> int:
        """Idle runners beyond waiting jobs and `keep`, those that leave already aside."""
        if share.for_jobs or share.queue or share.refused:
            return 0
        return share.source.free_idle - keep - share.idle_stops

    def _candidates(self, share: Share, idle_for: timedelta) -> list[RunnerView]:
        """Idle runners that may go: the worst placed first, then those idle for longest."""
        gone = {stop.runner_id for stop in share.stops}
        policy = share.policy
        may_go = [
            runner
            for runner in share.source.idle
            if runner.id not in gone
            and self._now - runner.since >= idle_for
            and self._seasoned(runner)
            and self._queue_seen_since(share, runner)
        ]

        def order(runner: RunnerView) -> tuple[bool, int, datetime, int]:
            emulated, distance = self._hosts.distance(policy, runner.host_id)
            return not emulated, -distance, runner.since, runner.id

        return sorted(may_go, key=order)

    def _seasoned(self, runner: RunnerView) -> bool:
        """Whether GitHub had the time to give it a job (its grace)."""
        return runner.online_at is not None and self._now - runner.online_at >= self._pacing.grace

    def _queue_seen_since(self, share: Share, runner: RunnerView) -> bool:
        """Whether the whole queue was seen since it became idle, and some of it a moment ago."""
        stale = self._pacing.stale_after
        if stale is None:
            return True
        seen_at = share.pool.scope.picture_at
        last = share.pool.scope.looked_at or seen_at
        if seen_at is None or last is None:
            return False
        return runner.since <= seen_at and self._now - last <= stale

    def _stop(self, share: Share, runner: RunnerView, code: StopCode, why: str) -> None:
        share.stops.append(Stop(runner.id, share.pool.id, code, why))
        share.idle_stops += runner.worth is Worth.IDLE


def _oldest_first(runners: Iterable[RunnerView]) -> list[RunnerView]:
    """By the moment they came online; those never seen online are none of these."""
    seen = [runner for runner in runners if runner.online_at is not None]
    return sorted(seen, key=lambda runner: (runner.online_at, runner.id))

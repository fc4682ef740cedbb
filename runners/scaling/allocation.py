"""Who starts the next runner: fair shares of hosts that pools have in common.

First for waiting jobs, then to keep pools warm. Within a priority the next start goes to the owner
(organization, user, enterprise) that holds the least for its weight, there to the scope and there
to the pool that does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from heapq import heappop, heappush

from runners.scaling.asks import Ask
from runners.scaling.hosts import Hosts
from runners.scaling.picture import Code, Pacing, Start
from runners.scaling.share import FINAL, Share

_Turn = tuple[int, float, float, float, str]


class Allocation:
    """Starts, one after another, until nobody wants one more or nothing is left to give."""

    def __init__(
        self,
        shares: Sequence[Share],
        asks: Sequence[Ask],
        hosts: Hosts,
        pacing: Pacing,
        now: datetime,
    ) -> None:
        self._shares = {share.source.order: share for share in shares}
        self._asks = asks
        self._hosts = hosts
        self._now = now
        limits = [limit for limit in (pacing.left, pacing.burst) if limit is not None]
        self._may_start = min(limits) if limits else None
        self.left = pacing.left
        self._held_by_owner: Counter[str] = Counter()
        self._held_by_scope: Counter[int] = Counter()
        self._owner_weight: dict[str, int] = {}
        self._scope_weight: dict[int, int] = {}
        for share in shares:
            scope, weight = share.pool.scope, share.policy.weight
            self._held_by_owner[scope.owner] += share.source.counted
            self._held_by_scope[scope.id] += share.source.counted
            self._owner_weight[scope.owner] = max(weight, self._owner_weight.get(scope.owner, 1))
            self._scope_weight[scope.id] = max(weight, self._scope_weight.get(scope.id, 1))
        self._turns: list[tuple[_Turn, int]] = []

    def run(self) -> None:
        """Give out every start this plan makes."""
        self._for_jobs()
        self._to_keep_warm()

    def starts(self) -> tuple[Start, ...]:
        """What was given, by pool in the order given and host."""
        return tuple(
            Start(share.pool.id, host_id, count)
            for share in self._shares.values()
            for host_id, count in sorted(share.given.items())
        )

    # --- for waiting jobs ----------------------------------------------------------------------

    def _for_jobs(self) -> None:
        for share in self._shares.values():
            share.cold = share.shut()
            share.blocked = share.cold or share.cooling(self._now)
        for ask in sorted(self._asks, key=lambda ask: ask.age):
            if ask.left:
                self._send(ask)
        while (turn := self._next_turn()) is not None:
            # One that is not triggered yet is put in again by the next ask sent to it
            if turn.queue and turn.blocked is None and turn.triggered(self._now):
                self._serve(turn)

    def _serve(self, share: Share) -> None:
        """Start one runner for the oldest ask that waits for this pool, or pass all of them on."""
        share.blocked = self._start(share)
        if share.blocked is None:
            share.for_jobs += 1
            ask = share.queue[0][2]
            ask.left -= 1
            ask.planned += 1
            if not ask.left:
                heappop(share.queue)
            self._put(share)
        elif share.blocked not in FINAL:
            self._pass_on(share)

    def _send(self, ask: Ask) -> None:
        """Put the ask to the nearest pool that is not past helping it."""
        while ask.asked < len(ask.sources):
            source = ask.sources[ask.asked]
            share = self._shares.get(source.order)
            if share is not None:
                if ask.first is None:
                    ask.first = source
                if share.blocked is None or share.blocked in FINAL:
                    heappush(share.queue, (*ask.age, ask))
                    self._put(share)
                    return
                share.refused += ask.left
            ask.asked += 1

    def _pass_on(self, share: Share) -> None:
        """Send everybody who waits for this pool on to the next that fits."""
        waiting, share.queue = share.queue, []
        for _, _, ask in sorted(waiting, key=lambda each: each[:2]):
            share.refused += ask.left
            ask.asked += 1
            self._send(ask)

    # --- to keep pools warm --------------------------------------------------------------------

    def _to_keep_warm(self) -> None:
        for share in self._shares.values():
            share.short = max(0, share.keep - share.ready)
            if share.short and share.cold is None:
                self._put(share)
        while (turn := self._next_turn()) is not None:
            # A pool that waits for jobs no more may still have its turn left over
            if not turn.short or turn.cold is not None:
                continue
            turn.cold = self._start(turn)
            if turn.cold is None:
                turn.spares += 1
                turn.short -= 1
                self._put(turn)

    # --- turns ---------------------------------------------------------------------------------

    def _start(self, share: Share) -> Code | None:
        """Give the pool a host for one more runner, or say why not."""
        if (code := share.full()) is not None:
            return code
        if self._may_start is not None and self._may_start <= 0:
            return Code.PACED
        host = self._hosts.take(share.pool.id, share.policy)
        if host is None:
            return Code.HOSTS_FULL if self._hosts.able(share.policy) else Code.NO_HOST
        share.given[host.id] = share.given.get(host.id, 0) + 1
        self._held_by_owner[share.pool.scope.owner] += 1
        self._held_by_scope[share.pool.scope.id] += 1
        if self._may_start is not None:
            self._may_start -= 1
        if self.left is not None:
            self.left -= 1
        return None

    def _put(self, share: Share) -> None:
        if share.in_turn:
            return
        share.in_turn = True
        heappush(self._turns, (self._turn(share), share.source.order))

    def _next_turn(self) -> Share | None:
        """The pool whose turn it is; turns that were put off meanwhile are put where they belong.

        Holdings only grow within a plan, so a turn is never better than when it was put in.
        """
        while self._turns:
            turn, order = heappop(self._turns)
            share = self._shares[order]
            current = self._turn(share)
            if current == turn:
                share.in_turn = False
                return share
            heappush(self._turns, (current, order))
        return None

    def _turn(self, share: Share) -> _Turn:
        scope = share.pool.scope
        return (
            -share.policy.priority,
            self._held_by_owner[scope.owner] / self._owner_weight[scope.owner],
            self._held_by_scope[scope.id] / self._scope_weight[scope.id],
            share.total / share.policy.weight,
            share.pool.name,
        )

"""What a policy would have done: the plan of the live loop, run over recorded jobs on a clock that
jumps. Pure; the same trace and policy give the same outcome.

One pool alone: its jobs are those it may take, its hosts as free as they are given. GitHub hands a
job to an idle runner at once; a runner is online `start_seconds` after it was asked for, and its
slot is free `end_seconds` after its job. The plan is made on the loop's beats, but only on those
at which something can have changed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import IntEnum
from heapq import heappop, heappush
from math import ceil
from typing import Final

from runners.scaling import (
    Demand,
    HostRoom,
    Pacing,
    Policy,
    PoolView,
    RunnerView,
    ScopeView,
    Worth,
    plan,
)

LONG_WAIT: Final = timedelta(minutes=2)
# Jobs that wait with nobody on the way are looked at again this often, whatever the timers say
_LOOK_AGAIN: Final = timedelta(minutes=1)
_POOL_ID: Final = 1


@dataclass(frozen=True, slots=True)
class Arrival:
    """One recorded job: when it was queued and how long it ran; labels in lower case."""

    at: datetime
    seconds: float
    labels: frozenset[str]
    repository: str = ""


@dataclass(frozen=True, slots=True)
class Trace:
    """Jobs in order of time between two moments, all of one scope."""

    scope: ScopeView
    begin: datetime
    end: datetime
    arrivals: tuple[Arrival, ...]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a policy is tried in; lengths in seconds."""

    hosts: tuple[HostRoom, ...]
    start_seconds: float = 20.0
    end_seconds: float = 5.0
    beat_seconds: float = 5.0
    pacing: Pacing = field(default_factory=Pacing)


@dataclass(frozen=True, slots=True)
class Moment:
    """How many there were from this moment on; runners that give their slot back left out."""

    at: datetime
    busy: int
    runners: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it. `waits` of all jobs in seconds, the shortest first; one that still waits at
    the end counts as long as it waited, and in `left`.

    `runner_seconds`: of all runners, from the order to the free slot; `busy_seconds` of those at
    work.
    """

    waits: tuple[float, ...]
    left: int
    started: int
    peak: int
    runner_seconds: float
    busy_seconds: float
    curve: tuple[Moment, ...]

    @property
    def jobs(self) -> int:
        """How many jobs came."""
        return len(self.waits)

    def wait(self, percent: int) -> float:
        """The wait that this share of the jobs did not exceed; 0 without jobs. Nearest rank."""
        if not self.waits:
            return 0.0
        return self.waits[max(0, ceil(len(self.waits) * percent / 100) - 1)]

    @property
    def long_waits(self) -> int:
        """Jobs that waited longer than two minutes."""
        return sum(wait > LONG_WAIT.total_seconds() for wait in self.waits)

    @property
    def runner_hours(self) -> float:
        """Hours of runners, idle and starting ones too."""
        return self.runner_seconds / 3600

    @property
    def idle_share(self) -> float:
        """The share of runner time without a job, 0 to 1; 0 when there was none."""
        if not self.runner_seconds:
            return 0.0
        return max(0.0, 1 - self.busy_seconds / self.runner_seconds)


def replay(name: str, policy: Policy, trace: Trace, around: Surroundings) -> Outcome:
    """Play the trace to a pool of this policy, which begins without a runner."""
    return _Play(name, policy, trace, around).run()


class _Event(IntEnum):
    """What happens between beats; of one moment, ends come first."""

    GONE = 0
    DONE = 1
    ONLINE = 2
    ARRIVAL = 3


@dataclass(slots=True)
class _Runner:
    view: RunnerView
    ordered_at: datetime


class _Play:
    """One run over a trace."""

    def __init__(self, name: str, policy: Policy, trace: Trace, around: Surroundings) -> None:
        self._policy, self._trace, self._around = policy, trace, around
        self._pool = PoolView(_POOL_ID, name, trace.scope, policy)
        self._hosts = {host.id: host for host in around.hosts}
        self._runners: dict[int, _Runner] = {}
        self._idle: deque[int] = deque()
        self._waiting: deque[tuple[int, Arrival]] = deque()
        self._events: list[tuple[datetime, _Event, int]] = []
        self._demand: tuple[Demand, ...] = ()
        self._demand_is_old = False
        self._next_id = 1
        self._waits: list[float] = []
        self._started = self._busy = self._leaving = self._peak = 0
        self._runner_seconds = self._busy_seconds = 0.0
        self._curve: list[Moment] = []
        self._beat = timedelta(seconds=around.beat_seconds)
        # Whether something happened that a plan may answer, and when to look in any case
        self._look, self._look_at = True, trace.begin
        self._short = False

    def run(self) -> Outcome:
        trace = self._trace
        for number, arrival in enumerate(trace.arrivals):
            heappush(self._events, (arrival.at, _Event.ARRIVAL, number))
        now = trace.begin
        while now <= trace.end:
            self._happen(now)
            if self._look or now >= self._look_at:
                self._plan(now)
                self._note(now)
            now = self._next_beat(now)
        self._happen(trace.end)
        self._close()
        return Outcome(
            waits=tuple(sorted(self._waits)),
            left=len(self._waiting),
            started=self._started,
            peak=self._peak,
            runner_seconds=self._runner_seconds,
            busy_seconds=self._busy_seconds,
            curve=tuple(self._curve),
        )

    # --- what happens by itself -----------------------------------------------------------------

    def _happen(self, until: datetime) -> None:
        """Let everything happen that does up to this moment, in order."""
        while self._events and self._events[0][0] <= until:
            at, event, key = heappop(self._events)
            self._look = self._look or self._matters(event)
            if event is _Event.ARRIVAL:
                self._waiting.append((key, self._trace.arrivals[key]))
                self._demand_is_old = True
            elif event is _Event.ONLINE:
                self._become(key, Worth.IDLE, at, online_at=at)
                self._idle.append(key)
            elif event is _Event.DONE:
                self._finish(key, at)
            else:
                self._remove(key, at)
            self._assign(at)
            self._note(at)

    def _matters(self, event: _Event) -> bool:
        """Whether a plan may differ after this.

        While none is short, one that comes online for a job that waits for it, or ends with its
        job, leaves as many there and as many wanted.
        """
        if self._short or event is _Event.ARRIVAL:
            return True
        if event is _Event.ONLINE:
            return not self._waiting
        ends = not self._policy.ephemeral or self._policy.warm_spares > 0
        return event is _Event.DONE and ends

    def _assign(self, now: datetime) -> None:
        """Give waiting jobs to idle runners, the oldest to the one that is idle longest."""
        while self._waiting and self._idle:
            _, arrival = self._waiting.popleft()
            self._demand_is_old = True
            runner_id = self._idle.popleft()
            self._become(runner_id, Worth.BUSY, now)
            self._busy += 1
            self._waits.append((now - arrival.at).total_seconds())
            ends = now + timedelta(seconds=arrival.seconds)
            self._busy_seconds += (min(ends, self._trace.end) - now).total_seconds()
            heappush(self._events, (ends, _Event.DONE, runner_id))

    def _finish(self, runner_id: int, now: datetime) -> None:
        self._busy -= 1
        drained = self._runners[runner_id].view.worth is Worth.DRAINING
        if self._policy.ephemeral or drained:
            self._leave(runner_id, now)
        else:
            self._become(runner_id, Worth.IDLE, now)
            self._idle.append(runner_id)

    def _leave(self, runner_id: int, now: datetime) -> None:
        self._become(runner_id, Worth.LEAVING, now)
        self._leaving += 1
        gone_at = now + timedelta(seconds=self._around.end_seconds)
        heappush(self._events, (gone_at, _Event.GONE, runner_id))

    def _remove(self, runner_id: int, now: datetime) -> None:
        runner = self._runners.pop(runner_id)
        self._leaving -= 1
        self._runner_seconds += (now - runner.ordered_at).total_seconds()
        self._give_room(runner.view.host_id, 1)

    def _become(
        self, runner_id: int, worth: Worth, now: datetime, *, online_at: datetime | None = None
    ) -> None:
        runner = self._runners[runner_id]
        online_at = online_at or runner.view.online_at
        runner.view = replace(runner.view, worth=worth, since=now, online_at=online_at)

    # --- what the plan does ---------------------------------------------------------------------

    def _plan(self, now: datetime) -> None:
        """Make a plan and carry it out."""
        made = plan(
            self._demands(),
            [runner.view for runner in self._runners.values()],
            [self._pool],
            list(self._hosts.values()),
            now=now,
            pacing=self._around.pacing,
        )
        for start in made.starts:
            for _ in range(start.count):
                self._order(start.host_id, now)
        if any(decision.for_jobs for decision in made.decisions):
            self._pool = replace(self._pool, scaled_at=now)
        for stop in made.stops:
            if stop.runner_id in self._idle:
                self._idle.remove(stop.runner_id)
                self._leave(stop.runner_id, now)
            else:
                # It works: it goes once its job is done
                self._become(stop.runner_id, Worth.DRAINING, now)
        self._short = any(decision.short for decision in made.decisions)
        # What it acted on but could not finish is looked at with the next beat
        self._look = self._short and bool(made.starts or made.stops)
        self._look_at = min(self._due(now), default=self._trace.end + self._beat)

    def _order(self, host_id: int, now: datetime) -> None:
        runner_id, self._next_id = self._next_id, self._next_id + 1
        view = RunnerView(
            runner_id,
            Worth.STARTING,
            now,
            pool_id=_POOL_ID,
            host_id=host_id,
            ephemeral=self._policy.ephemeral,
        )
        self._runners[runner_id] = _Runner(view, now)
        self._started += 1
        self._give_room(host_id, -1)
        online_at = now + timedelta(seconds=self._around.start_seconds)
        heappush(self._events, (online_at, _Event.ONLINE, runner_id))

    def _give_room(self, host_id: int, runners: int) -> None:
        """Give a host the room of one runner back (1), or take it (-1)."""
        host, size = self._hosts[host_id], self._policy.size
        left = host.left + size if runners > 0 else host.left - size
        self._hosts[host_id] = replace(host, free=host.free + runners, left=left)

    def _demands(self) -> tuple[Demand, ...]:
        if self._demand_is_old:
            groups: dict[tuple[str, frozenset[str]], list[tuple[int, Arrival]]] = {}
            for number, arrival in self._waiting:
                groups.setdefault((arrival.repository, arrival.labels), []).append(
                    (number, arrival)
                )
            self._demand = tuple(
                Demand(
                    self._trace.scope,
                    repository,
                    labels,
                    tuple(number for number, _ in there),
                    tuple(arrival.at for _, arrival in there),
                )
                for (repository, labels), there in groups.items()
            )
            self._demand_is_old = False
        return self._demand

    # --- the clock ------------------------------------------------------------------------------

    def _next_beat(self, now: datetime) -> datetime:
        """The next beat at which something can have changed."""
        following = now + self._beat
        if self._look:
            return following
        due = min(self._look_at, self._events[0][0]) if self._events else self._look_at
        beats = ceil((due - self._trace.begin) / self._beat)
        return max(following, self._trace.begin + beats * self._beat)

    def _due(self, now: datetime) -> Iterator[datetime]:
        """The moments to come at which a plan may differ though nothing happened."""
        policy = self._policy
        if self._waiting:
            yield now + _LOOK_AGAIN
            yield from _after(now, self._waiting[0][1].at + policy.trigger_after)
        if self._pool.scaled_at and policy.cooldown_seconds:
            cooled_at = self._pool.scaled_at + timedelta(seconds=policy.cooldown_seconds)
            yield from _after(now, cooled_at)
        for runner in self._runners.values():
            yield from self._expiries(runner.view, now)
        if policy.windows:
            # Windows begin and end on whole minutes, in whatever time zone
            yield now.replace(second=0, microsecond=0) + timedelta(minutes=1)

    def _expiries(self, view: RunnerView, now: datetime) -> Iterator[datetime]:
        """When a runner may be let go; one on its way is idle as soon as it is online."""
        policy, grace = self._policy, self._around.pacing.grace
        if view.worth is Worth.IDLE and view.online_at is not None:
            yield from _after(now, view.since + policy.idle_timeout)
            yield from _after(now, view.online_at + grace)
        elif view.worth is Worth.STARTING:
            online_at = view.since + timedelta(seconds=self._around.start_seconds)
            yield online_at + min(policy.idle_timeout, grace)
        if policy.max_lifetime_seconds and view.online_at is not None:
            # Past it, it waits its turn: only a few leave for their age at a time
            lifetime = timedelta(seconds=policy.max_lifetime_seconds)
            yield max(view.online_at + lifetime, now + self._beat)

    def _note(self, now: datetime) -> None:
        there = len(self._runners) - self._leaving
        self._peak = max(self._peak, there)
        moment = Moment(now, self._busy, there, len(self._waiting))
        if self._curve and self._curve[-1].at == now:
            self._curve[-1] = moment
        elif not self._curve or _counts(self._curve[-1]) != _counts(moment):
            self._curve.append(moment)

    def _close(self) -> None:
        """Count what is still there at the end."""
        end = self._trace.end
        for _, arrival in self._waiting:
            self._waits.append((end - arrival.at).total_seconds())
        for runner in self._runners.values():
            self._runner_seconds += (end - runner.ordered_at).total_seconds()


def _after(now: datetime, moment: datetime) -> Sequence[datetime]:
    return (moment,) if moment > now else ()


def _counts(moment: Moment) -> tuple[int, int, int]:
    return moment.busy, moment.runners, moment.waiting

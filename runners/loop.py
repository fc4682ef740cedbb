"""One beat of the fleet: queue the work that is due, and see that the queue still moves.

django-q2 cannot schedule below its 30 s tick and stops without a word when an idle worker process
is killed while it holds the queue's lock. So this beat queues the short-period work, sends a canary
task through the queue, and asks for the worker's restart when the canary does not come back.
Any number of loops may run: the one that holds the lease acts. See docs/adr/0005.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime

from django.db import transaction
from django_q.tasks import async_task

from runners import audit, leases, queue
from runners.beat import Pulse, Recurring, canary_is_due, due, worker_is_stuck
from runners.models import Beat, Runner
from runners.states import RunnerState

logger = logging.getLogger(__name__)

LOOP = "loop"
WORKER = "worker"
CANARY = "canary"
WORKER_RESTART = "worker-restart"

CANARY_TASK = "runners.tasks.canary"
MOVING = (RunnerState.PROVISIONING, RunnerState.DRAINING, RunnerState.REMOVING)


def recurring(*, reconcile_seconds: int, reconcile_active_seconds: int) -> tuple[Recurring, ...]:
    """The work of the beat: asking GitHub is paced by settings, our own tables are looked at often.

    A pool may become short of runners while nothing moves, so scaling does not slow down.
    """
    return (
        Recurring(
            "runners.tasks.reconcile_due_scopes",
            moving_seconds=reconcile_active_seconds,
            quiet_seconds=reconcile_seconds,
        ),
        Recurring("runners.tasks.watch_jobs", moving_seconds=5, quiet_seconds=5),
        Recurring("runners.tasks.sweep_hosts", moving_seconds=10, quiet_seconds=10),
        Recurring("runners.tasks.scale_pools", moving_seconds=5, quiet_seconds=5),
        Recurring("runners.tasks.replace_failed", moving_seconds=5, quiet_seconds=5),
        Recurring("runners.tasks.close_failed", moving_seconds=60, quiet_seconds=60),
        Recurring("runners.tasks.watch_pools", moving_seconds=30, quiet_seconds=30),
        Recurring("runners.tasks.keep_history", moving_seconds=60, quiet_seconds=60),
    )


@dataclass
class Loop:
    """One process's part in the beat; `queued_at` is what it remembers from beat to beat."""

    owner: str
    recurring: tuple[Recurring, ...]
    beat_seconds: int
    canary_seconds: int
    worker_silent_seconds: int
    queued_at: dict[str, datetime] = field(default_factory=dict)

    def step(self, now: datetime) -> list[str]:
        """Do what is due and return the tasks that were queued."""
        touch(LOOP, now, detail=self.owner)
        # Three beats long: one slow beat does not pass the work on, a death does within seconds.
        if not leases.acquire(LOOP, self.owner, 3 * self.beat_seconds + 5, now):
            return []
        waiting = queue.backlog()
        tasks = [
            task
            for task in due(now, self.queued_at, self.recurring, moving=runners_move())
            if not waiting.may_hold(task)
        ]
        for task in tasks:
            # Not tried again by the queue: the next beat asks for it afresh.
            async_task(task, ack_failure=True)
            self.queued_at[task] = now
        return tasks + self._watch_worker(waiting, now)

    def stop(self) -> None:
        """Let another loop take over at once."""
        leases.release(LOOP, self.owner)

    def _watch_worker(self, waiting: queue.Backlog, now: datetime) -> list[str]:
        pulse = read_pulse()
        lost = pulse.waiting and not waiting.may_hold(CANARY_TASK)
        if lost or canary_is_due(now, pulse, every_seconds=self.canary_seconds):
            with transaction.atomic():
                touch(CANARY, now)
                async_task(CANARY_TASK, now.isoformat(), ack_failure=True)
            return [CANARY_TASK]
        if worker_is_stuck(now, pulse, silent_seconds=self.worker_silent_seconds):
            ask_for_worker_restart(pulse, now)
        return []


def runners_move() -> bool:
    """Whether some runner is on its way, so that the beat must be quick."""
    return Runner.objects.filter(state__in=MOVING).exists()


def answer_canary(sent_at: str, now: datetime) -> None:
    """What the canary task does: show that a task sent at `sent_at` (ISO 8601) was run."""
    touch(WORKER, now, detail=datetime.fromisoformat(sent_at).astimezone(UTC).isoformat())


def read_pulse() -> Pulse:
    """What the last beats tell of the worker."""
    beats = Beat.objects.in_bulk([CANARY, WORKER, WORKER_RESTART])
    canary, worker, restart = (beats.get(name) for name in (CANARY, WORKER, WORKER_RESTART))
    return Pulse(
        canary_sent_at=canary.at if canary else None,
        canary_answered_at=datetime.fromisoformat(worker.detail) if worker else None,
        restart_asked_at=restart.at if restart else None,
    )


def ask_for_worker_restart(pulse: Pulse, now: datetime) -> None:
    """Tell every `fleet_worker` to start its processes anew, and write down why."""
    silent_since = pulse.canary_sent_at or now
    reason = f"No task has been run since {silent_since:%Y-%m-%d %H:%M:%S} UTC"
    with transaction.atomic():
        beat = touch(WORKER_RESTART, now, detail=reason)
        audit.record(beat, "worker.restart", by=audit.Actor.system("loop"), at=now, reason=reason)
    logger.warning("The worker is silent since %s; asked for its restart", silent_since)


def touch(name: str, now: datetime, *, detail: str = "") -> Beat:
    """Write down that `name` happened now."""
    beat = Beat(name=name, at=now, detail=detail)
    Beat.objects.bulk_create(
        [beat], update_conflicts=True, unique_fields=["name"], update_fields=["at", "detail"]
    )
    return beat

"""What the loop does at each beat, as pure arithmetic: which work is due, and is the queue stuck.

No clock, no database: `runners.loop` brings the facts and acts on the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

# After a restart that changed nothing, the next is asked for this many times later.
ASK_AGAIN_AFTER = 10


@dataclass(frozen=True)
class Recurring:
    """A task and how often it is due: while runners move, and while nothing does."""

    task: str
    moving_seconds: int
    quiet_seconds: int


@dataclass(frozen=True)
class Pulse:
    """What is known of the worker: the last canary sent, the last that came back, the last cure.

    Canaries are known by the moment the loop sent them, so that no two clocks are compared.
    """

    canary_sent_at: datetime | None
    canary_answered_at: datetime | None
    restart_asked_at: datetime | None

    @property
    def waiting(self) -> bool:
        """Whether a canary is out and has not come back."""
        return self.canary_sent_at is not None and (
            self.canary_answered_at is None or self.canary_answered_at < self.canary_sent_at
        )


def due(
    now: datetime,
    queued_at: Mapping[str, datetime],
    recurring: tuple[Recurring, ...],
    *,
    moving: bool,
) -> list[str]:
    """Tasks whose time has come, in the given order; `queued_at` says when each last was."""
    return [
        each.task
        for each in recurring
        if each.task not in queued_at
        or now - queued_at[each.task]
        >= timedelta(seconds=each.moving_seconds if moving else each.quiet_seconds)
    ]


def canary_is_due(now: datetime, pulse: Pulse, *, every_seconds: int) -> bool:
    """Whether to send the next canary: never a second one while one is out."""
    if pulse.canary_sent_at is None:
        return True
    return not pulse.waiting and now - pulse.canary_sent_at >= timedelta(seconds=every_seconds)


def worker_is_stuck(now: datetime, pulse: Pulse, *, silent_seconds: int) -> bool:
    """Whether a restart of the worker should be asked for now."""
    if pulse.canary_sent_at is None or not pulse.waiting:
        return False
    if now - pulse.canary_sent_at <= timedelta(seconds=silent_seconds):
        return False
    if pulse.restart_asked_at is None or pulse.restart_asked_at < pulse.canary_sent_at:
        return True
    return now - pulse.restart_asked_at > timedelta(seconds=silent_seconds * ASK_AGAIN_AFTER)

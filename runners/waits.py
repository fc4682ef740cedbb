"""Where the time before a job's start went: its wait split by cause, to the second. Pure.

What happened meanwhile is laid over the wait in order of precedence; what nothing explains is a
lack of capacity until the job's own runner was begun, a cold start until that was online, and
GitHub's from there on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import TextChoices

Span = tuple[datetime, datetime]


class WaitCause(TextChoices):
    """Why a job did not start at once."""

    POLICY = "policy", "Policy: fleet quiesced or pool paused"
    GITHUB = "github", "GitHub: unreachable, or slow to assign"
    HOST_LOST = "host-lost", "Host lost"
    DRAIN = "drain", "Drain or cordon"
    COLD_START = "cold-start", "Cold start of its runner"
    NO_CAPACITY = "no-capacity", "No capacity"


PRECEDENCE: Final = (
    WaitCause.POLICY,
    WaitCause.GITHUB,
    WaitCause.HOST_LOST,
    WaitCause.DRAIN,
)
"""What people or the outside did comes before what the fleet lacked; the first that covers a second
has it."""


@dataclass(frozen=True, slots=True)
class Wait:
    """One job's wait: from queued to started, and when its runner was begun and came online."""

    begin: datetime
    end: datetime
    runner_created_at: datetime | None = None
    runner_online_at: datetime | None = None


def split(wait: Wait, spans: Mapping[WaitCause, Sequence[Span]]) -> dict[WaitCause, float]:
    """Seconds of the wait by cause; they add up to its length.

    `spans` says when which cause of `PRECEDENCE` held for runners of this kind.
    """
    rest = [(wait.begin, wait.end)] if wait.begin < wait.end else []
    found: dict[WaitCause, float] = {}
    for cause in PRECEDENCE:
        rest, taken = _take(rest, spans.get(cause, ()))
        _add(found, cause, taken)
    created = wait.runner_created_at or wait.end
    online = max(created, wait.runner_online_at or wait.end)
    for cause, begin, end in (
        (WaitCause.NO_CAPACITY, wait.begin, created),
        (WaitCause.COLD_START, created, online),
        (WaitCause.GITHUB, online, wait.end),
    ):
        rest, taken = _take(rest, [(begin, end)])
        _add(found, cause, taken)
    return found


def main_cause(wait: Wait, spans: Mapping[WaitCause, Sequence[Span]]) -> WaitCause:
    """The cause that had most of the wait; of equals, the first in `WaitCause`."""
    found = split(wait, spans)
    order = list(WaitCause)
    return max(found, key=lambda cause: (found[cause], -order.index(cause)), default=order[-1])


def _add(found: dict[WaitCause, float], cause: WaitCause, seconds: float) -> None:
    if seconds > 0:
        found[cause] = found.get(cause, 0.0) + seconds


def _take(rest: list[Span], spans: Sequence[Span]) -> tuple[list[Span], float]:
    """Cut `spans` out of `rest`; returns what is left and how many seconds went."""
    taken = 0.0
    for begin, end in spans:
        left: list[Span] = []
        for first, last in rest:
            from_, to = max(first, begin), min(last, end)
            if from_ >= to:
                left.append((first, last))
                continue
            taken += (to - from_).total_seconds()
            left += [part for part in ((first, from_), (to, last)) if part[0] < part[1]]
        rest = left
    return rest, taken

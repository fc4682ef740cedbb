"""What runs out, and when: pure, from facts and dates; whoever shows them reads the rows.

A moment that can't be told is None, never a guess.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from runners.mismatches import is_older

# GitHub removes what did not connect for so long: "Removing self-hosted runners", GitHub docs.
OFFLINE_DAYS: Final = timedelta(days=14)
OFFLINE_DAYS_EPHEMERAL: Final = timedelta(days=1)
# It queues no jobs to an older application then: "Self-hosted runners reference", GitHub docs.
VERSION_WINDOW: Final = timedelta(days=30)


class Kind(StrEnum):
    """What runs out."""

    REMOVAL = "removal"
    VERSION = "version"
    DRAIN = "drain"
    CREDENTIAL = "credential"


class Tone(StrEnum):
    """How near it is."""

    OVER = "over"
    NEAR = "near"
    SOON = "soon"
    FAR = "far"
    UNKNOWN = "unknown"


# Kind → (near when less is left than this, soon when less than that).
_NEAR: Final[dict[Kind, tuple[timedelta, timedelta]]] = {
    Kind.REMOVAL: (timedelta(days=1), timedelta(days=4)),
    Kind.VERSION: (timedelta(days=3), timedelta(days=10)),
    Kind.DRAIN: (timedelta(minutes=5), timedelta(minutes=30)),
    Kind.CREDENTIAL: (timedelta(days=3), timedelta(days=14)),
}


@dataclass(frozen=True, slots=True)
class Countdown:
    """One thing that runs out; `at` is None while nobody can tell."""

    kind: Kind
    at: datetime | None

    def tone(self, now: datetime) -> Tone:
        """How near it is at `now`."""
        if self.at is None:
            return Tone.UNKNOWN
        if self.at <= now:
            return Tone.OVER
        near, soon = _NEAR[self.kind]
        left = self.at - now
        if left < near:
            return Tone.NEAR
        return Tone.SOON if left < soon else Tone.FAR


@dataclass(frozen=True, slots=True)
class Watched:
    """A runner as its countdowns see it.

    `offline_since`: GitHub has it registered and offline since then. `drain_deadline_at`: only
    while it drains. `version` "" when its host has not told.
    """

    ephemeral: bool
    offline_since: datetime | None
    version: str
    drain_deadline_at: datetime | None


@dataclass(frozen=True, slots=True)
class Offer:
    """The application version GitHub offers, and since when we know of it (None: unknown)."""

    version: str
    since: datetime | None


def of_runner(runner: Watched, offer: Offer | None) -> list[Countdown]:
    """Everything that runs out for one runner, the earliest first."""
    found = []
    if runner.offline_since is not None:
        days = OFFLINE_DAYS_EPHEMERAL if runner.ephemeral else OFFLINE_DAYS
        found.append(Countdown(Kind.REMOVAL, runner.offline_since + days))
    if offer is not None and is_older(runner.version, offer.version):
        ends = None if offer.since is None else offer.since + VERSION_WINDOW
        found.append(Countdown(Kind.VERSION, ends))
    if runner.drain_deadline_at is not None:
        found.append(Countdown(Kind.DRAIN, runner.drain_deadline_at))
    return in_order(found)


def of_credential(expires_at: datetime | None) -> list[Countdown]:
    """The end of a token or of an App's key; nothing when it has none."""
    return [] if expires_at is None else [Countdown(Kind.CREDENTIAL, expires_at)]


def in_order(countdowns: Iterable[Countdown]) -> list[Countdown]:
    """The earliest first, what nobody can tell last."""
    return sorted(countdowns, key=sort_key)


def sort_key(countdown: Countdown) -> tuple[bool, float]:
    """Orders countdowns of different things by when they run out."""
    at = countdown.at
    return (at is None, 0.0 if at is None else at.timestamp())

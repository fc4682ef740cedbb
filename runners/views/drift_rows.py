"""Drift as ready values: rows grouped by kind, each with what becomes of it. Queries nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Final

from runners.drift import OF_HOSTS
from runners.drift_kinds import MEANINGS, DriftKind, Meaning
from runners.models import Drift

# Kind → the state whose glyph and tone it shows.
STATES: Final[dict[DriftKind, str]] = {
    DriftKind.GHOST: "removed",
    DriftKind.NEVER_ONLINE: "failed",
    DriftKind.UNKNOWN_PROCESS: "warning",
    DriftKind.ALIVE_BUT_OFFLINE: "offline",
    DriftKind.BUSY_BUT_IDLE: "busy",
    DriftKind.LABELS: "warning",
    DriftKind.DUPLICATE_NAME: "warning",
    DriftKind.WRONG_VERSION: "late",
    DriftKind.FOREIGN: "info",
    DriftKind.REMOVED_AT_GITHUB: "failed",
    DriftKind.LEFTOVER: "removed",
}


@dataclass(frozen=True, slots=True)
class DriftRow:
    """One mismatch. `note` says what an asked-for fix waits for.

    `url` is the runner's, host's or scope's page. `can_fix`: a fix may be asked for; somebody
    else's runner has to be adopted first (`can_adopt`).
    """

    pk: int
    name: str
    url: str
    where: str
    since: datetime
    wanted: str
    observed: str
    github: str
    fix: str
    note: str
    asked_at: datetime | None
    error: str
    can_fix: bool
    can_adopt: bool


@dataclass(frozen=True, slots=True)
class Group:
    """The rows of one kind; `by_itself` when they are mended without asking."""

    kind: str
    word: str
    state: str
    meaning: Meaning
    by_itself: bool
    rows: list[DriftRow]


def groups(rows: Iterable[Drift], auto: Collection[DriftKind]) -> list[Group]:
    """Group rows that are in the order of their kinds; scope, host and runner must be loaded."""
    return [
        Group(
            kind=kind,
            word=DriftKind(kind).label,
            state=STATES[DriftKind(kind)],
            meaning=MEANINGS[DriftKind(kind)],
            by_itself=DriftKind(kind) in auto,
            rows=[drift_row(row) for row in found],
        )
        for kind, found in groupby(rows, key=lambda row: row.kind)
    ]


def fix_words(kind: DriftKind) -> str:
    """What the fix of a kind does; somebody else's runner, once adopted, is a ghost."""
    return MEANINGS[DriftKind.GHOST if kind == DriftKind.FOREIGN else kind].fix


def drift_row(row: Drift) -> DriftRow:
    """Return one row."""
    kind = DriftKind(row.kind)
    strange = kind == DriftKind.FOREIGN and row.adopted_at is None
    return DriftRow(
        pk=row.pk,
        name=row.name,
        url=_url(row),
        where=_where(row),
        since=row.since,
        wanted=row.wanted,
        observed=row.observed,
        github=row.github,
        fix=fix_words(kind),
        note=_note(row, kind),
        asked_at=row.fix_wanted_at,
        error=row.fix_error,
        can_fix=not strange and (row.fix_wanted_at is None or bool(row.fix_error)),
        can_adopt=strange,
    )


def _url(row: Drift) -> str:
    subject = row.runner or row.host or row.scope
    return subject.get_absolute_url() if subject is not None else ""


def _where(row: Drift) -> str:
    """Host and scope, whichever the name does not tell already."""
    host = row.host.name if row.host is not None and row.kind not in OF_HOSTS else ""
    return " · ".join(part for part in (host, row.scope.slug if row.scope else "") if part)


def _note(row: Drift, kind: DriftKind) -> str:
    if row.fix_wanted_at is not None:
        return "the host's next heartbeat" if kind in OF_HOSTS else "the next pass"
    return "Adopted" if row.adopted_at is not None else ""

"""What holds for the whole fleet: its owner mark, and whether it admits new runners (quiesce)."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass
from datetime import datetime
from math import ceil

from django.db import IntegrityError, transaction

from runners import audit
from runners.audit import Actor
from runners.errors import InvalidRequest, Quiesced
from runners.models import Event, Fleet, Runner
from runners.states import RunnerState

ONLY = 1
MARK_PREFIX = "fleetui-"
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Reserve:
    """What every host keeps for itself when sized runners are placed: a share, but at least so
    much. Disk in GiB alone."""

    cpu_percent: int = 20
    cpus: int = 2
    memory_percent: int = 15
    memory_gib: int = 2
    disk_gib: int = 10

    def cpus_of(self, cpus: int) -> int:
        """Cores kept of so many, whole ones."""
        return max(self.cpus, ceil(cpus * self.cpu_percent / 100))

    def memory_of(self, memory_bytes: int) -> int:
        """Bytes of memory kept of so many."""
        return max(self.memory_gib * GIB, ceil(memory_bytes * self.memory_percent / 100))


RESERVE_RANGES = {
    "cpu_percent": (0, 90),
    "cpus": (0, 256),
    "memory_percent": (0, 90),
    "memory_gib": (0, 1024),
    "disk_gib": (0, 10_240),
}


def get() -> Fleet:
    """The one row, made at first use with an owner mark of its own."""
    row = Fleet.objects.filter(pk=ONLY).first()
    if row is not None:
        return row
    try:
        with transaction.atomic():
            return Fleet.objects.create(pk=ONLY, owner_mark=MARK_PREFIX + secrets.token_hex(4))
    except IntegrityError:  # another process made it in the same moment
        return Fleet.objects.get(pk=ONLY)


def reserve() -> Reserve:
    """What hosts keep for themselves; one query."""
    row = Fleet.objects.filter(pk=ONLY).only("reserve").first()
    return Reserve(**row.reserve) if row is not None and row.reserve else Reserve()


def set_reserve(wanted: Reserve, *, by: Actor, reason: str, now: datetime) -> Event | None:
    """Have hosts keep so much from now on; runners that are there stay. None when nothing changed.

    Raises InvalidRequest for a number out of its range.
    """
    for name, (low, high) in RESERVE_RANGES.items():
        if not low <= getattr(wanted, name) <= high:
            raise InvalidRequest(f"{name}: Give between {low} and {high}.")
    was, row = reserve(), get()
    if was == wanted:
        return None
    with transaction.atomic():
        Fleet.objects.filter(pk=row.pk).update(reserve=asdict(wanted))
        return audit.record(
            row, "fleet.reserve", by=by, at=now, was=str(was), became=str(wanted), reason=reason
        )


def wish_scaling() -> bool:
    """Note that the pools should be looked at; whether nobody had asked already."""
    if Fleet.objects.filter(scaling_wanted=False).update(scaling_wanted=True):
        return True
    return not Fleet.objects.exists()  # a fleet that did nothing yet has no row to note it in


def take_scaling_wish() -> None:
    """A look begins: who asks from here on asks for the next."""
    Fleet.objects.filter(scaling_wanted=True).update(scaling_wanted=False)


def scaling_wished() -> bool:
    """Whether somebody asked since the last look began."""
    return Fleet.objects.filter(scaling_wanted=True).exists()


def owner_mark() -> str:
    """The label by which runners of this installation are told from everybody else's at GitHub."""
    return get().owner_mark


def quiesced() -> str:
    """Why the fleet admits no new runners now, as a sentence; "" while it does. One query."""
    row = Fleet.objects.filter(pk=ONLY, quiesced_at__isnull=False).first()
    if row is None:
        return ""
    return (
        f"The fleet is quiesced since {row.quiesced_at:%Y-%m-%d %H:%M} UTC: "
        f"{row.quiesced_reason.rstrip('.')}. No new runner starts until it is resumed."
    )


def require_open() -> None:
    """What every path that lets a runner in asks first. Raises Quiesced."""
    if why := quiesced():
        raise Quiesced(why)


def quiesce(*, by: Actor, reason: str, now: datetime) -> Event | None:
    """Admit no new runner on any path; jobs go on. Doing it twice changes nothing (None)."""
    if not reason.strip():
        raise InvalidRequest("Say why the fleet stops admitting runners; others will see it.")
    row = get()
    with transaction.atomic():
        if not Fleet.objects.filter(pk=row.pk, quiesced_at__isnull=True).update(
            quiesced_at=now, quiesced_reason=reason.strip()[:200]
        ):
            return None
        return audit.record(
            row, "fleet.quiesce", by=by, at=now, was="open", became="quiesced", reason=reason
        )


def resume(*, by: Actor, reason: str, now: datetime) -> Event | None:
    """Admit runners again. Resuming an open fleet changes nothing (None).

    Runners that were held back get their whole time to start from now on.
    """
    row = get()
    with transaction.atomic():
        if not Fleet.objects.filter(pk=row.pk, quiesced_at__isnull=False).update(
            quiesced_at=None, quiesced_reason=""
        ):
            return None
        # A clock, not a move: the start deadline counts from here
        Runner.objects.filter(state=RunnerState.PROVISIONING).update(state_changed_at=now)
        return audit.record(
            row, "fleet.resume", by=by, at=now, was="quiesced", became="open", reason=reason
        )

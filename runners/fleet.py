"""What holds for the whole fleet: its owner mark, and whether it admits new runners (quiesce)."""

from __future__ import annotations

import secrets
from datetime import datetime

from django.db import IntegrityError, transaction

from runners import audit
from runners.audit import Actor
from runners.errors import InvalidRequest, Quiesced
from runners.models import Event, Fleet, Runner
from runners.states import RunnerState

ONLY = 1
MARK_PREFIX = "fleetui-"


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

"""What holds for the whole fleet: its owner mark, and whether it admits new runners (quiesce)."""

from __future__ import annotations

import secrets
from datetime import datetime

from django.db import IntegrityError, transaction

from runners import audit
from runners.audit import Actor
from runners.errors import InvalidRequest
from runners.models import Event, Fleet

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
    """Why the fleet admits no new runners now, as a sentence; "" while it does."""
    row = get()
    if row.quiesced_at is None:
        return ""
    why = f": {row.quiesced_reason}" if row.quiesced_reason else ""
    return f"The fleet is quiesced since {row.quiesced_at:%Y-%m-%d %H:%M} UTC{why}."


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
    """Admit runners again. Resuming an open fleet changes nothing (None)."""
    row = get()
    with transaction.atomic():
        if not Fleet.objects.filter(pk=row.pk, quiesced_at__isnull=False).update(
            quiesced_at=None, quiesced_reason=""
        ):
            return None
        return audit.record(
            row, "fleet.resume", by=by, at=now, was="quiesced", became="open", reason=reason
        )

"""Leases: the right to do one thing alone for a while, held in the database.

Every change is one conditional statement, so that of two processes that ask at the same moment
exactly one is told yes. A holder that dies simply stops renewing.
"""

from __future__ import annotations

import os
import socket
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q

from runners.models.process import Lease


def acquire(name: str, owner: str, seconds: float, now: datetime) -> bool:
    """Take the lease, or renew the one that `owner` holds. False: somebody else has it."""
    expires_at = now + timedelta(seconds=seconds)
    free_or_ours = Q(owner=owner) | Q(expires_at__lte=now)
    if Lease.objects.filter(free_or_ours, name=name).update(owner=owner, expires_at=expires_at):
        return True
    if Lease.objects.filter(name=name).exists():
        return False
    try:
        with transaction.atomic():
            Lease.objects.create(name=name, owner=owner, expires_at=expires_at)
    except IntegrityError:
        # Another process created it between our look and our insert.
        return False
    return True


def release(name: str, owner: str) -> None:
    """Give the lease back early; nothing happens when `owner` does not hold it."""
    Lease.objects.filter(name=name, owner=owner).delete()


def free_dead(now: datetime) -> list[str]:
    """Give back the leases that ran out, and those of processes of this machine that are gone.

    Returns their names. A process of another machine is believed to live until its lease ends.
    """
    freed = []
    for lease in Lease.objects.order_by("name"):
        over = lease.expires_at <= now or _is_gone(lease.owner)
        if over and Lease.objects.filter(pk=lease.pk, owner=lease.owner).delete()[0]:
            freed.append(lease.name)
    return freed


def _is_gone(owner: str) -> bool:
    machine, _, process = owner.rpartition(":")
    if machine != socket.gethostname() or not process.isdigit():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False  # it lives, as somebody else's
    return False


def this_process() -> str:
    """The owner's name of this process: its machine and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"

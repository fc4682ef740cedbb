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


def this_process() -> str:
    """The owner's name of this process: its machine and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"

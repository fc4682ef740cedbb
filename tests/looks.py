"""A look at the queue, as the scaler takes it, without carrying anything out."""

from __future__ import annotations

from datetime import datetime

from runners import pool_picture, queue_picture
from runners.pool_picture import Rules
from tests.factories import NOW


def look(now: datetime = NOW) -> int:
    """Plan, and keep what was found; returns how many groups nothing serves are new."""
    return queue_picture.take(pool_picture.look(Rules(), now=now).plan(), now=now)

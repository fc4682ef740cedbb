"""What each pool had and was asked for over time, for its graph; thinned by age."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from runners.models import Pool, PoolSample

EVERY = timedelta(minutes=1)
WHOLE_FOR = timedelta(days=2)
COARSE_MINUTES = 10
KEPT_FOR = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class PoolCounts:
    """One pool's waiting jobs and its runners by what they are worth."""

    pool_id: int
    waiting: int
    starting: int
    idle: int
    busy: int


def note(counts: Iterable[PoolCounts], *, now: datetime) -> int:
    """Write this minute down unless somebody has; returns how many pools were written."""
    minute = now.replace(second=0, microsecond=0)
    if PoolSample.objects.filter(at__gte=minute).exists():
        return 0
    rows = [
        PoolSample(
            pool_id=each.pool_id,
            at=minute,
            waiting=each.waiting,
            starting=each.starting,
            idle=each.idle,
            busy=each.busy,
        )
        for each in counts
    ]
    try:
        with transaction.atomic():
            # Two processes in one minute write the same
            PoolSample.objects.bulk_create(rows, ignore_conflicts=True)
    except IntegrityError:
        return 0  # a pool was removed since the look: the next one writes this minute without it
    return len(rows)


def of_pool(pool: Pool, *, begin: datetime, end: datetime) -> list[PoolSample]:
    """One pool's samples in order of time."""
    return list(PoolSample.objects.filter(pool=pool, at__gte=begin, at__lte=end).order_by("at"))


def thin(*, now: datetime) -> int:
    """Keep each minute for two days, then each tenth for a month; returns how many went."""
    tenths = list(range(0, 60, COARSE_MINUTES))
    old, _ = PoolSample.objects.filter(at__lt=now - KEPT_FOR).delete()
    fine, _ = (
        PoolSample.objects.filter(at__lt=now - WHOLE_FOR).exclude(at__minute__in=tenths).delete()
    )
    return old + fine

"""What pools had and were asked for: one row a minute, fewer as they age."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runners import housekeeping, pool_policy, pool_samples
from runners.audit import Actor
from runners.models import PoolSample
from runners.pool_samples import PoolCounts
from tests.factories import NOW, PoolFactory

pytestmark = pytest.mark.django_db


def counts(pool, waiting=0):
    return PoolCounts(pool.pk, waiting=waiting, starting=1, idle=2, busy=3)


def minutes():
    return [row.at for row in PoolSample.objects.order_by("at")]


def test_a_minute_is_written_once():
    pool = PoolFactory()

    first = pool_samples.note([counts(pool, 4)], now=NOW + timedelta(seconds=5))
    second = pool_samples.note([counts(pool, 9)], now=NOW + timedelta(seconds=10))
    third = pool_samples.note([counts(pool, 9)], now=NOW + timedelta(seconds=61))

    assert (first, second, third) == (1, 0, 1)
    assert minutes() == [NOW, NOW + timedelta(minutes=1)]
    assert PoolSample.objects.get(at=NOW).waiting == 4


def test_two_at_once_write_the_same(monkeypatch):
    pool = PoolFactory()
    monkeypatch.setattr(PoolSample.objects, "filter", lambda **_: PoolSample.objects.none())

    pool_samples.note([counts(pool)], now=NOW)
    pool_samples.note([counts(pool)], now=NOW)

    assert minutes() == [NOW]


@pytest.mark.django_db(transaction=True)
def test_a_pool_removed_during_a_look_leaves_the_minute_to_the_next():
    pool, gone = PoolFactory(), PoolFactory()
    looked = [counts(pool), counts(gone)]
    pool_policy.remove(gone, by=Actor.system("test"), reason="", now=NOW)

    first = pool_samples.note(looked, now=NOW + timedelta(seconds=5))
    next_look = pool_samples.note(looked[:1], now=NOW + timedelta(seconds=10))

    assert (first, next_look, minutes()) == (0, 1, [NOW])


def test_a_pools_samples_come_in_order_of_time():
    pool, other = PoolFactory(), PoolFactory()
    for minute in (90, 3, 2, 1):
        now = NOW - timedelta(minutes=minute)
        pool_samples.note([counts(pool), counts(other)], now=now)

    rows = pool_samples.of_pool(pool, begin=NOW - timedelta(hours=1), end=NOW)

    assert [row.at for row in rows] == [NOW - timedelta(minutes=m) for m in (3, 2, 1)]


def test_old_samples_are_thinned_and_then_forgotten():
    pool = PoolFactory()
    ages = [
        timedelta(days=31),
        timedelta(days=3),
        timedelta(days=3, minutes=-1),
        timedelta(hours=1),
    ]
    PoolSample.objects.bulk_create(
        PoolSample(pool=pool, at=NOW - age, waiting=0, starting=0, idle=0, busy=0) for age in ages
    )

    housekeeping.keep_house(decisions_kept=timedelta(days=1), now=NOW)

    assert minutes() == [NOW - timedelta(days=3), NOW - timedelta(hours=1)]

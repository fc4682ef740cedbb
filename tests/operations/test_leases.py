from datetime import timedelta

import pytest

from runners import leases
from runners.models import Lease

pytestmark = pytest.mark.django_db


def test_free_lease_goes_to_who_asks(now):
    assert leases.acquire("x", "me", 10, now)
    assert Lease.objects.get(name="x").owner == "me"


def test_held_lease_is_refused_to_others(now):
    leases.acquire("x", "me", 10, now)

    assert not leases.acquire("x", "you", 10, now + timedelta(seconds=9))


def test_holder_renews_its_lease(now):
    leases.acquire("x", "me", 10, now)

    assert leases.acquire("x", "me", 10, now + timedelta(seconds=9))
    assert not leases.acquire("x", "you", 10, now + timedelta(seconds=15))


def test_expired_lease_goes_to_who_asks_next(now):
    leases.acquire("x", "me", 10, now)

    assert leases.acquire("x", "you", 10, now + timedelta(seconds=10))
    assert not leases.acquire("x", "me", 10, now + timedelta(seconds=11))


def test_leases_of_other_names_do_not_matter(now):
    leases.acquire("x", "me", 10, now)

    assert leases.acquire("y", "you", 10, now)


def test_released_lease_is_free(now):
    leases.acquire("x", "me", 10, now)

    leases.release("x", "me")

    assert leases.acquire("x", "you", 10, now)


def test_nobody_releases_the_lease_of_another(now):
    leases.acquire("x", "me", 10, now)

    leases.release("x", "you")

    assert not leases.acquire("x", "you", 10, now)


def test_second_of_two_that_ask_at_once_is_refused(now, monkeypatch):
    """The other process creates the row between our look and our insert."""
    create = Lease.objects.create

    def create_after_the_other(**fields):
        create(**fields | {"owner": "other"})
        return create(**fields)

    monkeypatch.setattr(Lease.objects, "create", create_after_the_other)

    assert not leases.acquire("x", "me", 10, now)

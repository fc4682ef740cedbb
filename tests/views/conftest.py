"""People who look at pages, at one frozen moment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest
from django.test import Client

from tests.factories import NOW, UserFactory

SignIn = Callable[[str], Client]
HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """The views' one clock stands still at the factories' moment."""
    monkeypatch.setattr("django.utils.timezone.now", lambda: NOW)
    return NOW


@pytest.fixture
def sign_in(db: None) -> SignIn:
    """Return a browser of somebody with this role; "" for a role nobody gave yet."""

    def sign_in(role: str) -> Client:
        client = Client()
        client.force_login(UserFactory(role=role))
        return client

    return sign_in


@pytest.fixture
def viewer(sign_in: SignIn) -> Client:
    return sign_in("viewer")


@pytest.fixture
def operator(sign_in: SignIn) -> Client:
    return sign_in("operator")

"""Fixtures of the domain's tests."""

import pytest

from runners.audit import Actor
from runners.models import Event


@pytest.fixture
def ada() -> Actor:
    """A person who acts."""
    return Actor(Event.ActorKind.USER, "ada")

"""Fixtures of the domain's tests."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ

from runners.audit import Actor
from runners.models import Event


@pytest.fixture
def ada() -> Actor:
    """A person who acts."""
    return Actor(Event.ActorKind.USER, "ada")


@pytest.fixture
def count_queries() -> Callable[[Callable[[], object]], int]:
    """How many queries an action takes."""

    def count(action: Callable[[], object]) -> int:
        with CaptureQueriesContext(connection) as captured:
            action()
        return len(captured)

    return count


@pytest.fixture
def queued() -> Callable[[], list[tuple[str, tuple[object, ...]]]]:
    """The tasks that wait for the worker: dotted path and arguments, oldest first."""
    return lambda: [(row.func(), row.args()) for row in OrmQ.objects.order_by("pk")]

"""Fixtures that every part of the suite may use."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import hypothesis
import pytest
from django.core.cache import cache

from runners import log_context
from tests.installation import Installation, database_like

# How quick a busy machine draws its examples says nothing about them.
hypothesis.settings.register_profile(
    "suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("suite")


@pytest.fixture(autouse=True)
def nothing_to_say_of_another_test() -> None:
    """Begin with log lines that are about nothing yet."""
    log_context.begin()


@pytest.fixture(autouse=True)
def nothing_kept_of_another_test() -> None:
    """Begin with nothing that a process keeps for a while."""
    cache.clear()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that wait for real processes, so that none of them is left for last."""
    items.sort(key=lambda item: item.get_closest_marker("e2e") is None)


@pytest.fixture
def now() -> datetime:
    """The moment at which a test happens; nothing under test reads a real clock."""
    return datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """A data folder, an empty database and a free port for real processes."""
    with database_like(os.environ.get("DATABASE_URL", ""), tmp_path) as url:
        yield Installation(data_dir=tmp_path, database_url=url)

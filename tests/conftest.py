"""Fixtures that every part of the suite may use."""

from datetime import UTC, datetime

import pytest


@pytest.fixture
def now() -> datetime:
    """The moment at which a test happens; nothing under test reads a real clock."""
    return datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)

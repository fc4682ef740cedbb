"""The started fleet that end-to-end tests work on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.fleet import running_fleet
from tests.installation import database_like


@pytest.fixture
def database_url(tmp_path: Path):
    """An empty database of the kind the suite runs on."""
    with database_like(os.environ.get("DATABASE_URL", ""), tmp_path) as url:
        yield url


@pytest.fixture
def fleet(tmp_path: Path, database_url: str):
    """Simulator and control plane, connected; no host yet."""
    with running_fleet(tmp_path, database_url) as running:
        yield running

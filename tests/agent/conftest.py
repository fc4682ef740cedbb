"""Fixtures: a stand-in GitHub, a dashboard that speaks the agent protocol, and real agents."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

AGENT_FOLDER = Path(__file__).resolve().parents[2] / "runners" / "agent"
if str(AGENT_FOLDER) not in sys.path:  # the agent is a distribution of its own, not installed here
    sys.path.insert(0, str(AGENT_FOLDER))

from runners.simulator import Simulator  # noqa: E402
from tests.agent.dashboard import Dashboard  # noqa: E402
from tests.agent.machine import Machine  # noqa: E402


@pytest.fixture
def github() -> Iterator[Simulator]:
    """A stand-in GitHub with the organization ``acme``."""
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def dashboard() -> Iterator[Dashboard]:
    """A dashboard without a GitHub: enough for everything that registers no runner."""
    with Dashboard() as server:
        yield server


@pytest.fixture
def fleet(github: Simulator) -> Iterator[Dashboard]:
    """A dashboard that registers runners at the stand-in GitHub."""
    with Dashboard(github=github) as server:
        yield server


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A state directory and the agents started on it; everything they started ends with it."""
    with Machine(tmp_path / "state") as host:
        yield host

"""A host that speaks, the GitHub behind the API, and the one moment at which it all happens."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django_q.models import OrmQ

from runners.models import Host
from tests.factories import NOW, HostFactory, give_token
from tests.fakes import FakeGitHub

AGENT = Path(__file__).parent.parent / "payloads" / "agent"


@dataclass
class Agent:
    """What a host's agent does: POST JSON with its bearer token."""

    host: Host
    token: str
    client: Client

    def post(self, path: str, body: object, **headers: str) -> Any:
        """Send `body` as JSON; bytes go as they are."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Authorization": f"Bearer {self.token}", **headers}
        return self.client.post(path, content, content_type="application/json", headers=given)


def example(name: str) -> Any:
    """One of the example messages that the agent's tests use as well."""
    return json.loads((AGENT / f"{name}.json").read_text("utf-8"))


@pytest.fixture
def agent(db: None, client: Client) -> Agent:
    host = HostFactory()
    return Agent(host, give_token(host), client)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request of a test arrives at NOW."""
    monkeypatch.setattr("runners.wiring.now", lambda: NOW)


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> FakeGitHub:
    """The GitHub that every scope's client speaks to."""
    fake = FakeGitHub()
    monkeypatch.setattr("runners.wiring.github_client", lambda scope: fake)
    return fake


@pytest.fixture
def queued() -> Callable[[], list[tuple[str, tuple[object, ...]]]]:
    """The tasks that wait for the worker."""
    return lambda: [(row.func(), row.args()) for row in OrmQ.objects.order_by("pk")]

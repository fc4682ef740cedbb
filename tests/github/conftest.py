"""Fixtures for the client's tests: a scripted server, a clock that is a value, a client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from runners.github.auth import Auth, TokenAuth
from runners.github.client import GitHubClient
from runners.github.http import Times
from runners.simulator import Simulator
from tests.github.contract import checked_session
from tests.github.scripted import ScriptedServer
from tests.github.world import World

TOKEN = f"ghp_{'a1B2c3D4e5' * 3}F6g7H8"


@dataclass
class FakeClock:
    """Time that passes only by sleeping."""

    now: datetime = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
    slept_seconds: list[float] = field(default_factory=list)

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept_seconds.append(seconds)
        self.now += timedelta(seconds=seconds)


MakeClient = Callable[..., GitHubClient]
Connect = Callable[..., GitHubClient]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    scripted = ScriptedServer()
    yield scripted
    scripted.close()


@pytest.fixture
def make_client(server: ScriptedServer, clock: FakeClock) -> Iterator[MakeClient]:
    """Build clients of the scripted server; every exchange is held against the description."""
    made: list[GitHubClient] = []

    def make(*, checked: bool = True, **options: Any) -> GitHubClient:
        settings: dict[str, Any] = {
            "base_url": server.url,
            "auth": TokenAuth(TOKEN),
            "session": checked_session(server.url) if checked else None,
            "clock": clock,
            "sleep": clock.sleep,
            "max_wait_seconds": 60.0,
            "times": Times(connect_seconds=2, read_seconds=2, call_seconds=5),
        }
        client = GitHubClient(**{**settings, **options})
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(make_client: MakeClient) -> GitHubClient:
    return make_client()


@pytest.fixture(scope="session")
def key() -> rsa.RSAPrivateKey:
    """The private key of a GitHub App."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="session")
def pem(key: rsa.RSAPrivateKey) -> str:
    """The same as GitHub hands it out."""
    form = PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()


@pytest.fixture
def world(server: ScriptedServer) -> World:
    return World(server)


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator() as simulator:
        simulator.clock.freeze()
        yield simulator


@pytest.fixture
def connect(sim: Simulator) -> Iterator[Connect]:
    """Build clients of the simulator; sleeping advances its clock."""
    made: list[GitHubClient] = []

    def make(auth: Auth | None = None, **options: Any) -> GitHubClient:
        client = GitHubClient(
            sim.api_url,
            TokenAuth(sim.token) if auth is None else auth,
            checked_session(sim.api_url),
            clock=lambda: datetime.fromtimestamp(sim.clock.time(), tz=UTC),
            sleep=sim.clock.advance,
            **{"max_wait_seconds": 60.0, "times": Times(read_seconds=2), **options},
        )
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()

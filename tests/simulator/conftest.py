"""A simulator with its clock standing still, and clients of it."""

from collections.abc import Callable, Iterator

import pytest

from runners.simulator import Simulator
from tests.simulator.client import Client
from tests.simulator.receiver import Receiver


@pytest.fixture
def sim() -> Iterator[Simulator]:
    """A fresh stand-in GitHub whose time moves only when told."""
    with Simulator() as simulator:
        simulator.clock.freeze()
        yield simulator


@pytest.fixture
def admin(sim: Simulator) -> Client:
    """A client that may do everything."""
    return Client(sim, sim.token)


@pytest.fixture
def client_with(sim: Simulator) -> Callable[..., Client]:
    """Make a client with a token of the given kind and rights."""

    def make(kind: str, **rights: object) -> Client:
        return Client(sim, sim.mint_token({"kind": kind, **rights}))  # type: ignore[dict-item]

    return make


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Something to deliver webhooks to."""
    with Receiver() as listening:
        yield listening

"""Two GitHubs for the contract tests: the one in memory, and the simulator over HTTP."""

from __future__ import annotations

import base64
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import requests

from runners.github.auth import TokenAuth
from runners.github.client import GitHubClient
from runners.github.types import JitConfig
from runners.github.urls import ScopePath
from runners.simulator import Simulator
from tests.fakes import FakeGitHub
from tests.github.contract import checked_session
from tests.simulator.listener import Listener


class Stage(ABC):
    """A GitHub with organization acme, repository acme/web and enterprise big-corp."""

    client: GitHubClient

    @abstractmethod
    def make_busy(self, scope: ScopePath, jit: JitConfig) -> None:
        """Put a job on a runner."""

    @abstractmethod
    def add_group(self, scope: ScopePath, name: str) -> int:
        """Make a runner group; answers its id."""

    @abstractmethod
    def queue_job(self, repository: str, labels: tuple[str, ...]) -> int:
        """Queue a job in a run of its own; answers its id."""

    @abstractmethod
    def unseen(self) -> ScopePath:
        """A scope that the credential may not see."""


class FakeStage(Stage):
    """GitHub in memory."""

    def __init__(self) -> None:
        self.client = self.fake = FakeGitHub()
        self.fake.add_repository("acme/web")

    def make_busy(self, scope: ScopePath, jit: JitConfig) -> None:
        self.fake.set_runner(scope, jit.runner.name, online=True, busy=True)

    def add_group(self, scope: ScopePath, name: str) -> int:
        return self.fake.add_group(scope, name).id

    def queue_job(self, repository: str, labels: tuple[str, ...]) -> int:
        return self.fake.add_job(self.fake.add_run(repository), labels=labels).id

    def unseen(self) -> ScopePath:
        scope = ScopePath.organization("unseen")
        self.fake.hide(scope)
        return scope


class SimulatorStage(Stage):
    """The real client against the simulator; every exchange is held against the description."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        simulator.clock.freeze()
        self.client = GitHubClient(
            simulator.api_url,
            TokenAuth(simulator.token),
            checked_session(simulator.api_url),
            clock=lambda: datetime.fromtimestamp(simulator.clock.time(), tz=UTC),
            max_wait_seconds=0,
        )

    def make_busy(self, scope: ScopePath, jit: JitConfig) -> None:
        files = json.loads(base64.b64decode(jit.encoded_jit_config))
        secret = json.loads(base64.b64decode(files[".credentials"]))["Data"]["clientSecret"]
        listener = Listener(self.simulator, jit.runner.id, secret)
        assert listener.open().status_code == 201
        self.simulator.queue_job("acme/web", labels=jit.runner.label_names)
        listener.take()

    def add_group(self, scope: ScopePath, name: str) -> int:
        answer = requests.post(
            f"{self.simulator.api_url}{scope.api_path}/actions/runner-groups",
            json={"name": name},
            headers={"Authorization": f"Bearer {self.simulator.token}", "User-Agent": "tests"},
            timeout=10,
        )
        group_id: int = answer.json()["id"]
        return group_id

    def queue_job(self, repository: str, labels: tuple[str, ...]) -> int:
        return self.simulator.queue_job(repository, labels=labels).id

    def unseen(self) -> ScopePath:
        return ScopePath.organization("unseen")


@contextmanager
def stage_named(name: str) -> Iterator[Stage]:
    """Set a stage up and take it down."""
    if name == "fake":
        yield FakeStage()
        return
    with Simulator() as simulator:
        stage = SimulatorStage(simulator)
        yield stage
        stage.client.close()

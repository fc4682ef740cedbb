"""Fixtures: the protocol server, an unpacked package, and runners started from it."""

import io
import os
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from runners.simulator.runner_package.build import build_package
from tests.simulator.runner_package.protocol_server import ProtocolServer

VERSION = "2.336.0"
PATIENCE_SECONDS = 30.0
LOOK_SECONDS = 0.02
Seen = TypeVar("Seen")
# Short where the official runner is slow; a test that needs another value says so.
QUICK = {
    "STANDIN_POLL_WAIT_SECONDS": "5",
    "STANDIN_BUSY_POLL_SECONDS": "1",
    "STANDIN_RENEW_SECONDS": "0.05",
    "STANDIN_RECONNECT_SECONDS": "0.05",
    "STANDIN_COMPLETE_RETRY_SECONDS": "0.05",
    "STANDIN_SIGINT_GRACE_SECONDS": "0.3",
    "STANDIN_SIGTERM_GRACE_SECONDS": "0.3",
    "STANDIN_LEFT_CHILDREN_SECONDS": "120",
    "STANDIN_RELAUNCH_SECONDS": "0",
}


def eventually(look: Callable[[], Seen]) -> Seen:
    """Look until the answer is true; fails after a deadline."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(LOOK_SECONDS)


class Runner:
    """One process started from the package, with its output in a file."""

    def __init__(self, root: Path, words: list[str], environment: dict[str, str]) -> None:
        """Start it in a process group of its own, as an agent would."""
        self.root = root
        self._output = root / "test-output.txt"
        inherited = {"PATH": "/usr/bin:/bin", "HOME": str(root), "RUNNER_ALLOW_RUNASROOT": "1"}
        with self._output.open("ab") as output:
            self.process = subprocess.Popen(
                words,
                cwd=root,
                env=inherited | QUICK | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """What it printed so far."""
        return self._output.read_text("utf-8", "replace")

    def says(self, text: str) -> None:
        """Wait until it printed `text`."""
        eventually(lambda: text in self.output)

    def wait(self) -> int:
        """Wait for its end; answers the exit code."""
        return self.process.wait(PATIENCE_SECONDS)

    def tree(self, name: str) -> list[psutil.Process]:
        """Its living descendants, itself included, that show as `name`."""
        try:
            top = psutil.Process(self.process.pid)
            family = [top, *top.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []
        return [each for each in family if _name(each) == name]

    def one(self, name: str) -> psutil.Process:
        """Wait for exactly one such process; one about to become another still shows its name."""
        found: list[psutil.Process] = eventually(
            lambda: tree if len(tree := self.tree(name)) == 1 else []
        )
        return found[0]


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


def end_everything_in(root: Path) -> None:
    """Kill what still runs with `root` in its directory, environment or arguments."""
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            traces = [process.cwd(), *process.cmdline(), *process.environ().values()]
        except (psutil.Error, OSError):
            continue
        if any(str(root) in trace for trace in traces):
            try:
                os.kill(process.pid, signal.SIGKILL)
            except OSError:
                continue


@pytest.fixture
def server() -> Iterator[ProtocolServer]:
    with ProtocolServer() as running:
        yield running


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """An unpacked package; whatever a test leaves running in it is ended."""
    root = tmp_path / "runner"
    content = build_package(VERSION, "linux", "x64").content
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        archive.extractall(root, filter="data")
    yield root
    end_everything_in(root)


Start = Callable[..., Runner]


@pytest.fixture
def start(root: Path, server: ProtocolServer) -> Iterator[Start]:
    """Start `words` in the unpacked package (by default the listener with a JIT configuration)."""
    started: list[Runner] = []

    def start_runner(*words: str, jit: bool = True, **environment: str) -> Runner:
        chosen = list(words) or ["./bin/Runner.Listener", "run"]
        if jit:
            environment.setdefault("ACTIONS_RUNNER_INPUT_JITCONFIG", server.jit_config())
        runner = Runner(root, chosen, environment)
        started.append(runner)
        return runner

    yield start_runner
    for runner in started:
        if runner.process.poll() is None:
            runner.process.kill()
        runner.process.wait()

"""A small world for one crash: a dashboard, a shell script as the runner, agents that may die."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fleet_agent.config import Config, StateDir
from fleet_agent.marks import marked_trees
from fleet_agent.process_table import read_process
from fleet_agent.process_tree import end_tree

from tests.agent.dashboard import CODE, TOKEN, Dashboard
from tests.agent.machine import AGENT_FOLDER, clean_host

RUNNER = 12
JIT = base64.b64encode(b'{".runner":"e30=",".credentials":"e30="}').decode()
PATIENCE_SECONDS = 40.0
LISTENER = """#!/bin/sh
trap 'exit 0' INT TERM
echo secret >.credentials
echo '{}' >.runner
echo "Current runner version: '2.336.0'"
echo "2026-01-01 00:00:00Z: Listening for Jobs"
while [ ! -e "$RUNNER_GATES/job" ]; do sleep 0.1 & wait $!; done
echo "2026-01-01 00:00:00Z: Running job: build"
./bin/Runner.Worker
echo "2026-01-01 00:00:00Z: Job build completed with result: Succeeded"
rm .credentials .runner
echo "Removed .runner"
"""
WORKER = """#!/bin/sh
while [ ! -e "$RUNNER_GATES/gate" ]; do sleep 0.1; done
"""


def package() -> tuple[str, bytes, str]:
    """Return a runner package of a few lines: file name, content, digest."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in {
            "bin/Runner.Listener": LISTENER,
            "bin/Runner.Worker": WORKER,
            "bin/lib/library": "x",
            "externals/node": "x",
        }.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text), 0o755
            tar.addfile(member, io.BytesIO(text.encode()))
    content = buffer.getvalue()
    return "runner.tar.gz", content, hashlib.sha256(content).hexdigest()


PACKAGE = package()


class Forge:
    """The process that forks the agents; may be used from several threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        program = Path(__file__).with_name("crash_server.py")
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", str(program)],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(AGENT_FOLDER), "LANG": "C.UTF-8"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.communicate()

    def fork(self, order: dict[str, Any]) -> int:
        """Start an agent and return its process id."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with self.lock:
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
            return int(self.process.stdout.readline())


class Lab:
    """One state directory, one dashboard, and one agent at a time."""

    def __init__(self, forge: Forge, root: Path, target: str = "", occurrence: int = 1) -> None:
        root.mkdir(parents=True)
        self.forge = forge
        self.root = root
        self.state = root / "state"
        self.gates = root / "gates"
        self.gates.mkdir()
        self.armed = root / "armed"
        self.record = root / "steps"
        self.log = root / "log"
        self.target = target
        self.occurrence = occurrence
        self.dashboard = Dashboard()
        self.dashboard.next_seconds = 0.25
        self.conflicts: list[str] = []
        self.doomed = True
        self.pid = 0
        jit = {"ok": True, "github_id": 77, "encoded_jit_config": JIT}
        self.dashboard.answers[f"runners/{RUNNER}/jit-config"] = (200, jit)

    def __enter__(self) -> Self:
        self.dashboard.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        for tree in marked_trees(self.state / "slots"):
            end_tree(tree.tree)
        clean_host(self.state)
        self.dashboard.__exit__(kind, error, trace)

    # --- agents -----------------------------------------------------------------------------

    def start(self, *arguments: str) -> None:
        """Start an agent; one that is doomed dies at the step asked for."""
        order = {
            "arguments": [*(arguments or ("run",)), "--state-dir", str(self.state)],
            "environment": {
                "FLEET_AGENT_SHARE": str(self.gates),
                "RUNNER_GATES": str(self.gates),
                **({"FLEET_ENROLMENT_CODE": CODE} if "enrol" in arguments else {}),
            },
            "log": str(self.log),
            "armed": str(self.armed),
            "record": str(self.record if self.doomed else self.root / "steps-after"),
            "target": self.target if self.doomed else "",
            "occurrence": self.occurrence,
        }
        self.pid = self.forge.fork(order)

    def enrol(self) -> None:
        """Enrol by the command, once."""
        self.start("enrol", "--server", self.dashboard.url, "--name", "forge-01")

    def enrolled(self) -> None:
        """Lay out an enrolled state directory."""
        state = StateDir(self.state)
        state.create()
        state.save(Config(self.dashboard.url, 1, "forge-01", 1.0), TOKEN)

    def alive(self) -> bool:
        """Return whether the agent runs."""
        process = read_process(self.pid) if self.pid else None
        return process is not None and process.state not in "ZX"

    def kill(self) -> None:
        """SIGKILL the agent if it runs."""
        if self.alive():
            os.kill(self.pid, signal.SIGKILL)
        self.until(lambda: not self.alive(), "the agent's end")

    def terminate(self) -> None:
        """Ask the agent to end, and wait for it."""
        if self.alive():
            os.kill(self.pid, signal.SIGTERM)
        self.until(lambda: not self.alive(), "the agent's end")

    # --- waiting ----------------------------------------------------------------------------

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for something, and see to it that there is never more than one runner."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            self.check_single()
            if time.monotonic() > deadline:
                raise AssertionError(f"{what} did not come\n{self.log.read_text()[-4000:]}")
            time.sleep(0.08)

    def until_or_dead(self, condition: Callable[[], object], what: str) -> bool:
        """Wait for something unless the agent dies before; returns whether it lives."""
        self.until(lambda: condition() or not self.alive(), what)
        return self.alive()

    def listeners(self) -> list[int]:
        """Return the runners that live, by process id."""
        trees = marked_trees(self.state / "slots")
        return [tree.listener.pid for tree in trees if tree.listener is not None]

    def check_single(self) -> None:
        """Fail if two runners live."""
        assert len(self.listeners()) <= 1, f"two runners at once: {self.listeners()}"

    # --- the runner -------------------------------------------------------------------------

    def want(self, **fields: Any) -> None:
        """Want the runner, or change what is wanted of it."""
        name, content, digest = PACKAGE
        fields.setdefault("package", self.dashboard.offer(name, content, digest))
        self.dashboard.want(RUNNER, **fields)

    def phase(self) -> str:
        """Return the runner's last phase."""
        return self.dashboard.phase(RUNNER)

    def signal_runner(self, name: str) -> None:
        """Give the runner a job (``job``) or let its job end (``gate``)."""
        (self.gates / name).touch()

    def bring_up(self) -> None:
        """Bring the runner up with an agent that meets no crash yet."""
        self.enrolled()
        self.want()
        self.start()
        self.until(lambda: self.phase() == "listening", "listening")

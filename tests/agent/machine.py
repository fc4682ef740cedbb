"""A machine for one test: a state directory, the agents started on it, and their end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fleet_agent.limits import find_control_groups, remove_groups
from fleet_agent.marks import place_of
from fleet_agent.process_table import ProcessTable, carries_mark
from fleet_agent.process_tree import Tree, end_tree
from fleet_agent.slot_directory import memory_root

from tests.agent.dashboard import CODE, Dashboard
from tests.agent.patience import until

AGENT_FOLDER = Path(__file__).resolve().parents[2] / "runners" / "agent"
PROGRAM = [sys.executable, "-W", "error", "-m", "fleet_agent"]


def clean_host(state: Path) -> None:
    """Delete what an agent that was killed leaves outside its state directory."""
    memory = memory_root(state / "slots")
    if memory is not None:
        shutil.rmtree(memory, ignore_errors=True)
    groups = find_control_groups(f"fleet-agent-{place_of(state / 'slots')[:8]}")
    for base in groups.bases.values():
        remove_groups(path for path in base.iterdir() if path.is_dir())
    groups.leave()


class Machine:
    """Agents run here as real processes, with an environment that holds traps for leaks."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.agents: list[subprocess.Popen[bytes]] = []
        self.log = state.parent / "agent.log"
        self.marks: set[str] = set()
        # What jobs share with the test: they see nothing else of the test's files.
        # Not below /tmp, which is the slot's own for them, and goes with its directory.
        self.shared = Path(tempfile.mkdtemp(prefix="fleet-test-", dir="/dev/shm"))
        self.shared.chmod(0o777)
        self.environment = {
            "FLEET_AGENT_SHARE": str(self.shared),
            "RUNNER_GATES": str(self.shared),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(AGENT_FOLDER),
            "GITHUB_TOKEN": "ghp_agent-canary" + "x" * 30,
            "RUNNER_SECRET_TOKEN": "agent-canary-runner",
            "AWS_SECRET_ACCESS_KEY": "agent-canary-aws",
            # So that a coverage run can follow into the agents.
            **{name: value for name, value in os.environ.items() if name.startswith("COV")},
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.note_marks()
        for agent in self.agents:
            agent.terminate()
            try:
                agent.wait(timeout=5)
            except subprocess.TimeoutExpired:
                agent.kill()
                agent.wait(timeout=10)
        self.note_marks()
        for mark in self.marks:
            end_tree(Tree(mark, None, None))
        clean_host(self.state)
        shutil.rmtree(self.shared)
        if self.log.exists():  # shown by pytest beside a failure only
            sys.stderr.write(self.log.read_text("utf-8", errors="replace"))

    def command(
        self, *arguments: str, code: str = "", stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run one command of the agent to its end."""
        environment = self.environment | ({"FLEET_ENROLMENT_CODE": code} if code else {})
        return subprocess.run(
            [*PROGRAM, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            input=stdin,
            timeout=60,
            check=False,
        )

    def enrol(self, dashboard: Dashboard, *arguments: str) -> None:
        """Enrol at a dashboard."""
        done = self.command(
            "enrol",
            *("--server", dashboard.url, "--name", "forge-01", "--state-dir", str(self.state)),
            *arguments,
            code=CODE,
        )
        assert done.returncode == 0, done.stderr

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the agent in the background."""
        return self._start("run", *arguments)

    def start_join(self, dashboard: Dashboard, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the agent with the one command that also enrols."""
        where = ("--server", dashboard.url, "--name", "forge-01")
        return self._start("join", *where, *arguments, code=CODE)

    def _start(self, *arguments: str, code: str = "") -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            agent = subprocess.Popen(
                [*PROGRAM, *arguments, "--state-dir", str(self.state), "--verbose"],
                env=self.environment | ({"FLEET_ENROLMENT_CODE": code} if code else {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.agents.append(agent)
        return agent

    def join(self, dashboard: Dashboard, *arguments: str) -> subprocess.Popen[bytes]:
        """Enrol, start, and wait for the first heartbeat."""
        self.enrol(dashboard, *arguments)
        agent = self.start()
        until(lambda: dashboard.heartbeats, "the first heartbeat")
        return agent

    def kill(self) -> None:
        """SIGKILL the agent, and nothing else."""
        self.note_marks()
        self.agents[-1].send_signal(signal.SIGKILL)
        self.agents[-1].wait(timeout=10)

    def terminate(self, seconds: float = 20) -> int:
        """Ask the agent to end and return its exit status."""
        self.note_marks()
        self.agents[-1].send_signal(signal.SIGTERM)
        return self.agents[-1].wait(timeout=seconds)

    def slot_path(self, runner_id: int) -> Path:
        """The directory of a slot."""
        return self.state / "slots" / str(runner_id)

    def record(self, runner_id: int) -> dict[str, Any]:
        """The record of a slot."""
        return dict(json.loads((self.slot_path(runner_id) / "slot.json").read_text("utf-8")))

    def keeper_record(self, runner_id: int) -> dict[str, int]:
        """Whom the keeper of a slot keeps."""
        return dict(json.loads((self.slot_path(runner_id) / "keeper.json").read_text("utf-8")))

    def note_marks(self) -> None:
        """Remember the marks of all slots there are, to end what carries them."""
        for path in self.state.glob("slots/*/slot.json"):
            try:
                self.marks.add(json.loads(path.read_text("utf-8"))["mark"])
            except (OSError, ValueError, KeyError):
                continue

    def marked_processes(self) -> list[int]:
        """The live processes of all slots there ever were, keepers included."""
        self.note_marks()
        return [
            process.pid
            for process in ProcessTable.read().processes.values()
            if process.state not in "ZX"
            and any(carries_mark(process.pid, mark) for mark in self.marks)
        ]

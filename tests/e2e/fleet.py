"""A fleet of real processes for one test run: started, watched, and ended with everything it made.

Nothing here knows the product's insides: it runs the commands an operator runs, and looks at the
database, the simulator and the process table from outside.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests

ROOT = Path(__file__).resolve().parent.parent.parent
AGENT_FOLDER = ROOT / "runners" / "agent"
PATIENCE_SECONDS = 90.0


def free_port() -> int:
    """A TCP port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], Any], what: str, *, seconds: float = PATIENCE_SECONDS) -> Any:
    """Poll `condition` until it is true and return its value; fail naming what did not come."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come within {seconds:.0f} s")
        time.sleep(0.2)


@dataclass
class Program:
    """One process the test started, with its output in a file."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def stop(self) -> None:
        """End it as an operator would, and whatever it leaves after that by force."""
        family = [self.process]
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.process.pid).children(recursive=True)
            self.process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=25)
            for child in children:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        for member in family:
            if member.poll() is None:
                member.kill()
                member.wait(timeout=10)

    def kill(self) -> None:
        """End it without a word, as the out-of-memory killer would."""
        self.process.kill()
        self.process.wait(timeout=10)


@dataclass
class Fleet:
    """Where everything lives and what runs."""

    folder: Path
    env: dict[str, str]
    web_port: int
    sim_port: int
    token: str
    programs: dict[str, Program] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def sim_url(self) -> str:
        return f"http://127.0.0.1:{self.sim_port}"

    @property
    def scope_url(self) -> str:
        return f"{self.sim_url}/acme"

    def manage(self, *arguments: str, stdin: str = "", check: bool = True) -> str:
        """Run a management command from a process of its own, as an operator does."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(
                f"manage.py {' '.join(arguments)} exited with {done.returncode}:\n"
                f"{done.stdout}\n{done.stderr}"
            )
        return done.stdout

    def manage_json(self, *arguments: str, stdin: str = "") -> Any:
        """Run a management command with --json and return what it says."""
        return json.loads(self.manage(*arguments, "--json", stdin=stdin))

    def start(self, name: str, *command: str, extra_env: dict[str, str] | None = None) -> Program:
        """Start a program in a session of its own, output to a file."""
        log = self.folder / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                list(command),
                cwd=ROOT,
                env={**self.env, **(extra_env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.programs[name] = Program(name, process, log)
        return self.programs[name]

    def start_simulator(self) -> None:
        token_file = self.folder / "simulator.token"
        token_file.write_text(self.token)
        self.start(
            "simulator",
            *(sys.executable, "-m", "runners.simulator", "--port", str(self.sim_port)),
            *("--org", "acme", "--repo", "acme/web", "--repo", "acme/engine"),
            *("--token-file", str(token_file)),
        )
        until(lambda: _answers(f"{self.sim_url}/_sim/state"), "the simulator's first answer")

    def start_control_plane(self) -> None:
        self.manage("migrate", "--verbosity", "0")
        self.start("fleet", sys.executable, "manage.py", "fleet_up")
        until(lambda: _answers(f"{self.url}/healthz"), "the dashboard's first answer")
        until(lambda: _answers(f"{self.url}/readyz"), "a working worker")

    def connect_github(self) -> None:
        """Give the control plane its credential and scope, the secret over standard input."""
        self.manage(
            "add_credential",
            *("acme", "--kind", "token", "--api-url", f"{self.sim_url}/api/v3"),
            stdin=self.token,
        )
        self.manage("add_scope", self.scope_url, "--credential", "acme")

    def enrolment_code(self, **options: str) -> str:
        """Have a one-time code made."""
        flags = [part for name, value in options.items() for part in (f"--{name}", value)]
        code = self.manage_json("issue_host_token", *flags)["code"]
        assert isinstance(code, str)
        return code

    def start_agent(
        self, name: str, *, code: str = "", slots: int = 2, pose: dict[str, Any] | None = None
    ) -> Program:
        """Start an agent; with a code it enrols first, without one it goes on where it was."""
        state = self.folder / "hosts" / name
        state.mkdir(parents=True, exist_ok=True)
        extra = {"PYTHONPATH": str(AGENT_FOLDER)}
        if code:
            extra["FLEET_ENROLMENT_CODE"] = code
        options = ["--server", self.url, "--name", name, "--state-dir", str(state)]
        options += ["--slots", str(slots)]
        if pose is not None:
            pose_file = self.folder / f"{name}-pose.json"
            pose_file.write_text(json.dumps(pose))
            options += ["--pose", str(pose_file)]
        return self.start(
            f"agent-{name}",
            *(sys.executable, "-m", "fleet_agent", "join", *options),
            extra_env=extra,
        )

    def state_folder(self, host: str) -> Path:
        return self.folder / "hosts" / host

    def sim(self, method: str, path: str, **fields: Any) -> Any:
        """Talk to the simulator's control API or, with the token, to its GitHub API."""
        answer = requests.request(
            method,
            f"{self.sim_url}{path}",
            json=fields or None,
            headers={"Authorization": f"Bearer {self.token}", "User-Agent": "tests"},
            timeout=10,
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def queue_job(self, **fields: Any) -> Any:
        """Queue a workflow job at the simulator."""
        return self.sim("POST", "/_sim/jobs", **fields)

    def github_runners(self) -> list[dict[str, Any]]:
        runners: list[dict[str, Any]] = self.sim("GET", "/orgs/acme/actions/runners?per_page=100")[
            "runners"
        ]
        return runners

    def processes_with(self, text: str) -> list[psutil.Process]:
        """Live processes whose command line or environment holds `text`."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if text in " ".join(process.cmdline()) or text in str(process.environ()):
                    found.append(process)
        return found

    def logs(self) -> str:
        """The last lines of every program, for a failing test's report."""
        parts = []
        for program in self.programs.values():
            tail = program.log.read_text(errors="replace").splitlines()[-40:]
            parts.append(f"--- {program.name}\n" + "\n".join(tail))
        return "\n".join(parts)

    def stop(self) -> None:
        """End everything, agents and their runners first."""
        for name in sorted(self.programs, key=lambda name: not name.startswith("agent-")):
            self.programs[name].stop()
        for process in self.processes_with(str(self.folder)):
            with suppress(psutil.Error):
                process.kill()


@contextmanager
def running_fleet(folder: Path) -> Iterator[Fleet]:
    """A started simulator and control plane, connected to each other; no host yet."""
    web_port, sim_port = free_port(), free_port()
    keep = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("FLEET_", "DJANGO_", "PYTEST_", "COV_")) and name != "DATA_DIR"
    }
    fleet = Fleet(
        folder=folder,
        web_port=web_port,
        sim_port=sim_port,
        token=f"ghp_{os.urandom(18).hex()}",
        env={
            **keep,
            "DATA_DIR": str(folder / "data"),
            "PORT": str(web_port),
            "FLEET_ALLOW_LOOPBACK_GITHUB": "true",
            "FLEET_HEARTBEAT_SECONDS": "5",
            "FLEET_HEARTBEAT_ACTIVE_SECONDS": "1",
            "FLEET_LOOP_SECONDS": "1",
            "DJANGO_SETTINGS_MODULE": "fleetui.settings",
        },
    )
    try:
        fleet.start_simulator()
        fleet.start_control_plane()
        fleet.connect_github()
        yield fleet
    except BaseException:
        print(fleet.logs())  # noqa: T201 - pytest shows it with the failure
        raise
    finally:
        fleet.stop()


def _answers(url: str) -> bool:
    try:
        return requests.get(url, headers={"User-Agent": "tests"}, timeout=2).ok
    except requests.RequestException:
        return False

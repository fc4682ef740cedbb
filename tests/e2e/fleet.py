"""A fleet of real processes for one test run: started, watched, and ended with everything it made.

Nothing here knows the product's insides: it runs the commands an operator runs, and looks at the
database, the simulator and the process table from outside.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import requests

from tests.installation import ROOT, Installation, free_port, wait_for

AGENT_FOLDER = ROOT / "runners" / "agent"
QUICK = {
    "FLEET_HEARTBEAT_SECONDS": "5",
    "FLEET_HEARTBEAT_ACTIVE_SECONDS": "1",
    "FLEET_LOOP_SECONDS": "1",
    "FLEET_RECONCILE_SECONDS": "5",
}


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

    def kill_family(self) -> None:
        """End it and all it started without a word, as a power cut would."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.kill()
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(family, timeout=10)


@dataclass
class Fleet:
    """Where everything lives and what runs."""

    folder: Path
    installation: Installation
    sim_port: int
    token: str
    programs: dict[str, Program] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.installation.base_url

    @property
    def sim_url(self) -> str:
        return f"http://127.0.0.1:{self.sim_port}"

    @property
    def scope_url(self) -> str:
        return f"{self.sim_url}/acme"

    def manage(self, *arguments: str, stdin: str = "") -> str:
        """Run a management command from a process of its own, as an operator does."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.installation.environment(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
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
                env=self.installation.environment(extra_env),
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
        wait_for("the simulator's first answer", lambda: answers(f"{self.sim_url}/_sim/state"))

    def start_control_plane(self) -> None:
        """Start web, worker and loop on a migrated database."""
        self.start("fleet", sys.executable, "manage.py", "fleet_up")
        wait_for("the dashboard's first answer", lambda: answers(f"{self.url}/healthz"))
        wait_for("a working worker", lambda: answers(f"{self.url}/readyz"))

    def connect_github(self) -> None:
        """Give the control plane its credential and scope, the secret over standard input."""
        self.manage(
            "add_credential",
            *("acme", "--kind", "token", "--api-url", f"{self.sim_url}/api/v3"),
            stdin=self.token,
        )
        self.manage("add_scope", self.scope_url, "--credential", "acme")

    def connect_webhook(self) -> None:
        """Have GitHub tell of the organization's jobs as they happen."""
        made = self.manage_json("webhook_secret", "acme")
        answer = requests.post(
            f"{self.sim_url}/api/v3/orgs/acme/hooks",
            json={
                "name": "web",
                "events": ["workflow_job"],
                "config": {
                    "url": made["url"],
                    "secret": made["secret"],
                    "content_type": "json",
                },
            },
            headers={"Authorization": f"Bearer {self.token}", "User-Agent": "tests"},
            timeout=10,
        )
        answer.raise_for_status()

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
        state = self.state_folder(name)
        state.mkdir(parents=True, exist_ok=True)
        options = ["--server", self.url, "--name", name, "--state-dir", str(state)]
        options += ["--slots", str(slots)]
        if code:
            code_file = self.folder / f"{name}.code"
            code_file.write_text(code)
            options += ["--code-file", str(code_file)]
        if pose is not None:
            pose_file = self.folder / f"{name}-pose.json"
            pose_file.write_text(json.dumps(pose))
            options += ["--pose", str(pose_file)]
        return self.start(
            f"agent-{name}",
            *(sys.executable, "-m", "fleet_agent", "join", *options),
            extra_env={"PYTHONPATH": str(AGENT_FOLDER), "FLEET_AGENT_SHARE": str(self.shared)},
        )

    def drill(self, host: str, *arguments: str) -> str:
        """Run a failure drill on a host; returns what it says."""
        done = subprocess.run(
            [
                *(sys.executable, "-m", "fleet_agent", "drill", *arguments),
                *("--state-dir", str(self.state_folder(host))),
            ],
            env=self.installation.environment({"PYTHONPATH": str(AGENT_FOLDER)}),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"drill {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    @property
    def shared(self) -> Path:
        """What jobs share with the test: they see nothing else of the test's files."""
        folder = self.folder / "shared"
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)
        return folder

    def state_folder(self, host: str) -> Path:
        return self.folder / "hosts" / host

    def sim(self, method: str, path: str, **fields: Any) -> Any:
        """Talk to the simulator's control API, which knows no limits."""
        answer = requests.request(
            method, f"{self.sim_url}/_sim/{path}", json=fields or None, timeout=10
        )
        answer.raise_for_status()
        return answer.json()

    def queue_job(self, name: str, script: str, *, labels: Sequence[str], **fields: Any) -> int:
        """Queue a workflow job of one shell step at the simulator; returns its id."""
        made = self.sim(
            "POST",
            "jobs",
            repository="acme/web",
            name=name,
            labels=list(labels),
            steps=[script],
            **fields,
        )
        return int(made["jobs"][0]["id"])

    def github_job(self, job: int) -> dict[str, Any]:
        """The job as GitHub shows it."""
        jobs: list[dict[str, Any]] = self.sim("GET", "jobs?per_page=100")["jobs"]
        return next(shown for shown in jobs if shown["id"] == job)

    def github_runners(self) -> list[dict[str, Any]]:
        """Every runner GitHub has."""
        runners: list[dict[str, Any]] = self.sim("GET", "state")["runners"]
        return runners

    def processes_with(self, text: str, *, running: str = "") -> list[psutil.Process]:
        """Live processes whose command line or environment holds `text`, and the former
        `running`."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                command = " ".join(process.cmdline())
                if running in command and (text in command or text in str(process.environ())):
                    found.append(process)
        return found

    def runner_processes(self, host: str) -> list[psutil.Process]:
        """What runs of this host's runners."""
        return self.processes_with(str(self.state_folder(host)), running="Runner.")

    def leftovers(self, host: str) -> list[str]:
        """Credential files and work directories still under the agent's state directory."""
        names = {".credentials", ".credentials_rsaparams", ".runner", "_work"}
        found = []
        for folder, folders, files in os.walk(self.state_folder(host)):
            here = (*folders, *files)
            found += [os.path.join(folder, name) for name in here if name in names]
        return found

    # Looked up in the tables: a command to ask costs a second, and is asked again and again.

    def host_states(self) -> list[str]:
        """The word of each host in service, sorted."""
        now = datetime.now(UTC)
        rows = self.installation.rows(
            "SELECT late_after, offline_after FROM runners_host WHERE retired_at IS NULL"
        )
        return sorted(_host_state(late, offline, now) for late, offline in rows)

    def current_runners(self) -> list[str]:
        """The names of the runners that are neither removed nor kept as failed."""
        sql = "SELECT name FROM runners_runner WHERE state NOT IN ('removed', 'failed')"
        return [row[0] for row in self.installation.rows(sql)]

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
def running_fleet(
    folder: Path,
    database_url: str,
    *,
    simulator: bool = True,
    connected: bool = True,
    quick: bool = True,
    variables: Mapping[str, str] | None = None,
) -> Iterator[Fleet]:
    """A started simulator and control plane, connected to each other; no host yet.

    Without `simulator` the caller serves a GitHub on `sim_port` before it connects the two;
    without `connected` the control plane is as empty as on its first day; without `quick` it keeps
    the intervals it comes with.
    """
    installation = Installation(
        data_dir=folder / "data",
        database_url=database_url,
        variables={**(QUICK if quick else {}), **(variables or {})},
    )
    installation.data_dir.mkdir()
    token = f"ghp_{os.urandom(18).hex()}"
    fleet = Fleet(folder, installation, sim_port=free_port(), token=token)
    try:
        if simulator:
            fleet.start_simulator()
        installation.migrate()
        fleet.start_control_plane()
        if simulator and connected:
            fleet.connect_github()
        yield fleet
    except BaseException:
        print(fleet.logs())  # noqa: T201 - pytest shows it with the failure
        raise
    finally:
        fleet.stop()


def _host_state(late: Any, offline: Any, now: datetime) -> str:
    if late is None:
        return "enrolling"
    # SQLite has times as text, in UTC
    late, offline = (
        datetime.fromisoformat(at).replace(tzinfo=UTC) if isinstance(at, str) else at
        for at in (late, offline)
    )
    return "offline" if offline <= now else "late" if late <= now else "online"


def answers(url: str) -> bool:
    """Whether a GET is answered well."""
    try:
        return requests.get(url, headers={"User-Agent": "tests"}, timeout=2).ok
    except requests.RequestException:
        return False

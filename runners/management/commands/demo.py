"""A living fleet on this machine: stand-in GitHub, dashboard, three hosts, jobs arriving.

Everything it starts ends with it. Run again on the same DATA_DIR, it goes on where it was.

Exit codes: 0 stopped by Ctrl-C or SIGTERM, 1 a port is taken, another one runs in this DATA_DIR or
something did not come up, 5 the database does not answer, 78 a setting does not fit.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import requests
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import close_old_connections

from fleetui.env import CONFIGURATION_EXIT_CODE
from runners import wiring
from runners.access import Role
from runners.management import demo_fleet
from runners.management.cli import prepare_database
from runners.management.demo_fleet import HOSTS, DemoHost
from runners.management.listening import require_port, require_web_port
from runners.models import Host
from runners.processes import kill_all
from runners.programs import SOURCE_DIR, management_command
from runners.supervisor import Program, Supervisor

JOBS_PER_MINUTE = 14
LISTENER = "Runner.Listener"
PROGRESS_SECONDS = 10.0
STEP_SECONDS = 0.2
PATIENCE_SECONDS = 120.0
# What the runners get to tell the stand-in GitHub that their jobs end with them.
PARTING_SECONDS = 20.0
# A demonstration should be seen to move.
QUICK = {"FLEET_HEARTBEAT_SECONDS": "10", "FLEET_HEARTBEAT_ACTIVE_SECONDS": "2"}


class Command(BaseCommand):
    help = "Run a living fleet against a stand-in GitHub until Ctrl-C."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--jobs-a-minute", type=float, default=JOBS_PER_MINUTE, help="how many jobs arrive"
        )

    def handle(self, *, jobs_a_minute: float, **options: object) -> None:
        self.folder: Path = settings.DATA_DIR / "demo"
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.web_url = f"http://127.0.0.1:{settings.PORT}"
        self.github_url = f"http://127.0.0.1:{settings.SIM_PORT}"
        with only_one(self.folder / "lock"):
            if settings.PORT == settings.SIM_PORT:
                raise CommandError(
                    f"SIM_PORT: {settings.SIM_PORT} is PORT, too; set one of them to another port.",
                    returncode=CONFIGURATION_EXIT_CODE,
                )
            require_web_port()
            require_port(settings.SIM_PORT, "SIM_PORT")
            self.say(f"Everything of this demonstration is kept in {settings.DATA_DIR}")
            with Supervisor(self._write) as supervisor:
                self._run(supervisor, jobs_a_minute)
        raise SystemExit(supervisor.exit_code)

    def _run(self, supervisor: Supervisor, jobs_a_minute: float) -> None:
        supervisor.start(self._simulator(jobs_a_minute))
        prepare_database()
        self.say("The database is ready")
        for program in self._dashboard():
            supervisor.start(program)
        github = f"The stand-in GitHub answers at {self.github_url}"
        web = f"The dashboard answers at {self.web_url}"
        if not self._wait(supervisor, github, self._github_answers):
            return
        if not self._wait(supervisor, web, self._web_answers):
            return
        password = self._password()
        names = demo_fleet.people(password, now=wiring.now())
        self._seed()
        for host in HOSTS:
            supervisor.start(self._agent(host))
        self._invite(names, password)
        hosts = ", ".join(f"{host.name} ({host.site})" for host in HOSTS)
        if self._wait(supervisor, f"Three hosts report: {hosts}", self._hosts_report):
            self._watch(supervisor)
        self._part(supervisor)

    def _watch(self, supervisor: Supervisor) -> None:
        """Say how the fleet is, whenever that changed, until told to stop."""
        said, looked_at = "", 0.0
        while not supervisor.stopping:
            supervisor.step(1.0)
            if time.monotonic() - looked_at < PROGRESS_SECONDS:
                continue
            looked_at = time.monotonic()
            close_old_connections()
            line = demo_fleet.progress(now=wiring.now())
            if line != said:
                self.say(line)
                said = line

    def _part(self, supervisor: Supervisor) -> None:
        """End the runners first, as the shutdown of their hosts would, while GitHub listens.

        So the next start finds ends that were told, and no wrecks. Runners that an earlier
        demonstration left, when it was killed, end as well.
        """
        # A closed terminal takes no more words.
        with suppress(OSError):
            self.say("Stopping the runners, then everything else; Ctrl-C again ends all at once")
        supervisor.stop(*(host.name for host in HOSTS))
        for process in (runners := self._runner_processes()):
            if any(LISTENER in word for word in process.info["cmdline"]):
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + PARTING_SECONDS
        while any(process.is_running() for process in runners) and not supervisor.hurried:
            if time.monotonic() > deadline:
                break
            supervisor.step(STEP_SECONDS)
        kill_all(self._runner_processes())

    def _runner_processes(self) -> list[psutil.Process]:
        """What runs out of the hosts' folders: keepers, listeners, workers, steps."""
        folder = f"{self.folder / 'hosts'}{os.sep}"
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if any(word.startswith(folder) for word in process.info["cmdline"] or ())
        ]

    def _wait(self, supervisor: Supervisor, text: str, condition: Callable[[], object]) -> bool:
        """Wait for what `text` says; False when told to stop. Raises CommandError in the end."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not supervisor.stopping:
            supervisor.step(STEP_SECONDS)
            if condition():
                self.say(text)
                return True
            if time.monotonic() > deadline:
                raise CommandError(
                    f"This did not come true in {PATIENCE_SECONDS:.0f} s: {text}. "
                    f"The logs are in {self._log('').parent}."
                )
        return False

    def _simulator(self, jobs_a_minute: float) -> Program:
        return Program(
            name="github",
            argv=(
                *(sys.executable, "-m", "runners.simulator"),
                *("--port", str(settings.SIM_PORT)),
                *("--state", str(self.folder / "github.json")),
                *("--token-file", str(self._token_file)),
                *("--traffic", str(jobs_a_minute)),
                "--no-limits",
            ),
            environment={"PYTHONPATH": str(SOURCE_DIR)},
            log_file=self._log("github"),
        )

    def _dashboard(self) -> Iterator[Program]:
        quick = {name: value for name, value in QUICK.items() if name not in os.environ}
        for name in ("web", "worker", "loop"):
            yield management_command(
                f"fleet_{name}",
                "--skip-checks",
                program=name,
                stop_seconds=settings.FLEET_STOP_SECONDS + 5,
                environment=quick,
                log_file=self._log(name),
            )

    def _agent(self, host: DemoHost) -> Program:
        state = self.folder / "hosts" / host.name
        environment = {"PYTHONPATH": str(SOURCE_DIR / "runners" / "agent")}
        if not self._is_enrolled(host, state):
            shutil.rmtree(state, ignore_errors=True)
            code = demo_fleet.enrolment_code(host, now=wiring.now())
            environment["FLEET_ENROLMENT_CODE"] = code
        pose = self.folder / f"{host.name}.json"
        pose.write_text(json.dumps(host.facts), encoding="utf-8")
        return Program(
            name=host.name,
            argv=(
                *(sys.executable, "-m", "fleet_agent", "join", "--server", self.web_url),
                *("--name", host.name, "--state-dir", str(state), "--pose", str(pose)),
            ),
            environment=environment,
            log_file=self._log(host.name),
            # An agent that is started again finds its runners at work.
            leaves_children=True,
        )

    def _is_enrolled(self, host: DemoHost, state: Path) -> bool:
        """Whether both sides know each other, at the address that the dashboard has now."""
        try:
            config = json.loads((state / "agent.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        known = Host.objects.in_service().filter(name=host.name).exists()
        return known and config.get("server_url") == self.web_url

    def _seed(self) -> None:
        token = self._token_file.read_text(encoding="utf-8").strip()
        scope = demo_fleet.seed(github_url=self.github_url, token=token, now=wiring.now())
        with wiring.github_client(scope) as github:
            address = f"{self.web_url}/webhooks/{scope.pk}/"
            demo_fleet.connect_webhook(scope, github=github, address=address, now=wiring.now())

    def _password(self) -> str:
        """The one password of all demonstration users, made once."""
        file = self.folder / "password"
        if not file.exists():
            with open(file, "x", encoding="utf-8", opener=owner_only) as new:
                new.write(f"demo-{secrets.token_hex(4)}\n")
        return file.read_text(encoding="utf-8").strip()

    def _invite(self, names: list[str], password: str) -> None:
        others = ", ".join(name for name in names if name != Role.ADMIN)
        self.say(f"\n    Open      {self.web_url}/", stamp=False)
        self.say(f"    Sign in   {Role.ADMIN} / {password}", stamp=False)
        self.say(f"              (or as {others}: same password)", stamp=False)
        self.say("    Ctrl-C    ends everything\n", stamp=False)

    def _github_answers(self) -> bool:
        return self._token_file.exists() and answers(f"{self.github_url}/meta")

    def _web_answers(self) -> bool:
        return answers(f"{self.web_url}/healthz")

    def _hosts_report(self) -> bool:
        close_old_connections()
        return {host.name for host in HOSTS} <= demo_fleet.online_hosts(now=wiring.now())

    @property
    def _token_file(self) -> Path:
        return self.folder / "github.token"

    def _log(self, name: str) -> Path:
        folder: Path = settings.DATA_DIR / "logs"
        return folder / f"{name}.log"

    def say(self, text: str, *, stamp: bool = True) -> None:
        self._write(f"{time.strftime('%H:%M:%S')}  {text}\n" if stamp else f"{text}\n")

    def _write(self, text: str) -> None:
        self.stdout.write(text, ending="")
        self.stdout.flush()


@contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """Hold the lock for this DATA_DIR. Raises CommandError when another demonstration does."""
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(
                "A demonstration runs in this DATA_DIR already. Set DATA_DIR, PORT and SIM_PORT "
                "to run a second one."
            ) from None
        yield


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False


def owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)

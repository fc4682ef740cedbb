"""Every secret is unique; after each phase everything reachable is searched for each of them.

Searched: all files of the control plane, the hosts and the logs, the database, arguments and
environments of every process of the fleet, the metrics, and every page an administrator can open.
Each secret may be in its one place.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import requests

from runners.simulator import Simulator
from runners.simulator import fleet as simulated_fleet
from tests.e2e.fleet import Fleet, running_fleet
from tests.installation import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
LABELS = ["self-hosted", "linux", "x64"]
PASSWORD = "canary-password-7c1f0e5b9a"
PAGES_LIMIT = 150


@dataclass
class Canaries:
    """The secrets by name, and where each may be found (a test on the place's name)."""

    secrets: dict[str, str] = field(default_factory=dict)
    at_home: dict[str, re.Pattern[str]] = field(default_factory=dict)

    def add(self, name: str, secret: str, *, home: str = "$^") -> None:
        assert len(secret) >= 16, f"{name} is too short to search for"
        self.secrets[name] = secret
        self.at_home[name] = re.compile(home)

    def found_in(self, place: str, content: bytes) -> list[str]:
        """The names of the secrets in this content whose home it is not."""
        return [
            f"{name} in {place}"
            for name, secret in self.secrets.items()
            if secret.encode() in content and not self.at_home[name].search(place)
        ]


@pytest.fixture
def canaries(monkeypatch: pytest.MonkeyPatch) -> Canaries:
    """Canaries that learn every runner secret and JIT config the stand-in GitHub gives out."""
    known = Canaries()
    make_jit = simulated_fleet.jit_config

    def remembered(world, runner, urls):
        encoded = make_jit(world, runner, urls)
        # The process it is made for is its one place; the file it unpacks to holds the secret
        known.add(f"JIT config {runner.id}", encoded, home=r"environment of .*Runner\.Listener")
        known.add(f"secret of runner {runner.id}", runner.secret, home=r"/\.credentials$")
        inner = json.loads(base64.b64decode(encoded))[".credentials"]
        known.add(f"packed secret {runner.id}", inner, home=r"environment of .*Runner\.Listener")
        return encoded

    monkeypatch.setattr(simulated_fleet, "jit_config", remembered)
    return known


def test_no_secret_is_found_outside_its_one_place(
    tmp_path: Path, database_url: str, canaries: Canaries
):
    with running_fleet(tmp_path, database_url, simulator=False) as fleet, ExitStack() as stack:
        github = stack.enter_context(Simulator(port=fleet.sim_port))
        fleet.token = github.token
        canaries.add("GitHub token", github.token)
        canaries.add("password", PASSWORD)
        fleet.connect_github()
        key = (fleet.installation.data_dir / "secret.key").read_text().strip()
        canaries.add("secret key", key, home=r"/secret\.key$")
        fleet.manage("create_fleet_user", "canary", "--role", "admin", stdin=PASSWORD)
        canaries.add("webhook secret", fleet.manage_json("webhook_secret", "acme")["secret"])
        connect_app(fleet, canaries)
        enrol(fleet, canaries, "forge-01")
        provision(fleet)
        provision(fleet, "--persistent")
        wait_for("two runners online", lambda: online(fleet) == 2)
        learn_tokens(github, canaries)
        assert search(fleet, canaries) == []

        job = fleet.queue_job("env", "env; sleep 6", labels=LABELS)
        wait_for("the job at work", lambda: fleet.github_job(job)["status"] == "in_progress")
        assert search(fleet, canaries) == []
        wait_for("the job's end", lambda: fleet.github_job(job)["status"] == "completed")
        log = requests.get(f"{fleet.sim_url}/_sim/jobs/{job}/log", timeout=10).content
        assert b"RUNNER_NAME" in log, "the job did not print its environment"
        assert canaries.found_in("the job's log", log) == []

        deregister_all(fleet)
        wait_for("an empty list at GitHub", lambda: not fleet.github_runners())
        assert search(fleet, canaries) == []
    names = " ".join(canaries.secrets)
    assert "JIT config" in names, "no JIT config was ever made"
    assert "registration token" in names, "no registration token was ever made"
    assert "installation token" in names, "the App was never used"


def test_the_search_finds_a_planted_secret(tmp_path: Path):
    canaries = Canaries()
    canaries.add("planted", "0123456789abcdef-planted", home=r"/home\.txt$")
    (tmp_path / "home.txt").write_text("0123456789abcdef-planted")
    (tmp_path / "elsewhere.txt").write_text("x 0123456789abcdef-planted y")
    assert files(tmp_path, canaries) == [f"planted in {tmp_path / 'elsewhere.txt'}"]


def enrol(fleet: Fleet, canaries: Canaries, host: str) -> None:
    code = fleet.enrolment_code(site="here")
    canaries.add("enrolment code", code)
    fleet.start_agent(host, code=code, slots=3)
    token_file = fleet.state_folder(host) / "token"
    wait_for("the host enrolled", token_file.exists)
    (fleet.folder / f"{host}.code").unlink()
    token = wait_for("the agent's token", lambda: token_file.read_text().strip())
    canaries.add("agent token", token, home=r"/hosts/[^/]+/token$")


def connect_app(fleet: Fleet, canaries: Canaries) -> None:
    """Let a GitHub App speak for a scope of its own."""
    permissions = {"administration": "write", "actions": "read"}
    app = fleet.sim("POST", "apps", account="acme", name="Canary", permissions=permissions)
    # One line of it: a file has it as it is, JSON and HTML with other line ends
    canaries.add("App key", app["private_key"].splitlines()[3])
    fleet.manage(
        *("add_credential", "app", "--kind", "app", "--api-url", f"{fleet.sim_url}/api/v3"),
        *("--app-id", app["client_id"], "--installation-id", str(app["installation_id"])),
        stdin=app["private_key"],
    )
    fleet.manage("add_scope", f"{fleet.scope_url}/web", "--credential", "app")


def learn_tokens(github: Simulator, canaries: Canaries) -> None:
    """What the App was given, what config.sh was given, and what it was answered."""
    store = github.world.store
    for number, credential in enumerate(store.credentials.values()):
        if credential.kind in ("installation", "registration", "remove"):
            canaries.add(f"{credential.kind} token {number}", credential.token)
    for runner in store.runners.values():
        if not runner.jit:
            canaries.add(f"secret of runner {runner.id}", runner.secret, home=r"/\.credentials$")


def provision(fleet: Fleet, *flags: str) -> None:
    labels = [part for label in LABELS for part in ("--label", label)]
    fleet.manage("provision", "--scope", "acme", "--host", "forge-01", *labels, *flags)


def online(fleet: Fleet) -> int:
    return sum(runner["status"] == "online" for runner in fleet.github_runners())


def deregister_all(fleet: Fleet) -> None:
    for runner in fleet.manage_json("fleet_status")["runners"]:
        fleet.manage("deregister", runner["name"], "--reason", "Canary test")


def search(fleet: Fleet, canaries: Canaries) -> list[str]:
    """Everywhere a secret of ours could be reached; returns each find outside its home."""
    return [
        *files(fleet.folder, canaries),
        *database(fleet, canaries),
        *processes(fleet, canaries),
        *pages(fleet, canaries),
    ]


def files(folder: Path, canaries: Canaries) -> list[str]:
    found = []
    for path in folder.rglob("*"):
        with suppress(OSError):
            if path.is_file() and not path.is_symlink():
                found += canaries.found_in(str(path), path.read_bytes())
    return found


def database(fleet: Fleet, canaries: Canaries) -> list[str]:
    """All rows of all tables, as an export gives them; SQLite's file is searched as a file too."""
    return canaries.found_in("the database", fleet.manage("dumpdata", "--indent", "0").encode())


def processes(fleet: Fleet, canaries: Canaries) -> list[str]:
    found = []
    for process in fleet_processes(fleet):
        with suppress(psutil.Error):
            command = " ".join(process.cmdline())
            found += canaries.found_in(f"arguments of {command}", command.encode())
            environment = json.dumps(process.environ()).encode()
            found += canaries.found_in(f"environment of {command}", environment)
    return found


def fleet_processes(fleet: Fleet) -> Iterator[psutil.Process]:
    """Every process of the control plane, the agents and their runners, but not this one."""
    for program in fleet.programs.values():
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(program.process.pid)
            yield from (parent, *parent.children(recursive=True))
    yield from fleet.processes_with(str(fleet.folder))


def pages(fleet: Fleet, canaries: Canaries) -> list[str]:
    """The metrics, and every page reachable by links from the overview, as an administrator."""
    session = signed_in(fleet)
    waiting, seen, found = ["/", "/metrics"], {"/", "/metrics"}, []
    while waiting and len(seen) < PAGES_LIMIT:
        path = waiting.pop(0)
        answer = session.get(f"{fleet.url}{path}", timeout=20)
        assert answer.status_code < 500, f"{path} is answered with {answer.status_code}"
        assert answer.ok or path != "/metrics", "the metrics were refused"
        found += canaries.found_in(f"page {path}", answer.content)
        for link in re.findall(r'(?:href|hx-get)="(/[^"#]*)', answer.text):
            if link not in seen and not link.startswith(("/static/", "/admin/logout")):
                seen.add(link)
                waiting.append(link.replace("&amp;", "&"))
    assert len(seen) > 5, "the crawl saw next to nothing"
    return found


def signed_in(fleet: Fleet) -> requests.Session:
    session = requests.Session()
    login = f"{fleet.url}/accounts/login/"
    form = session.get(login, timeout=20).text
    (csrf,) = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', form)[:1]
    answer = session.post(
        login,
        data={
            "username": "canary",
            "password": PASSWORD,
            "csrfmiddlewaretoken": csrf,
        },
        headers={"Referer": login},
        timeout=20,
    )
    assert "/accounts/login/" not in answer.url, "the sign-in was refused"
    return session

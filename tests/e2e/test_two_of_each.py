"""Two web, two worker and two loop processes on one PostgreSQL, killed at random while jobs run."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.e2e.balancer import balanced
from tests.e2e.fleet import Fleet, answers
from tests.installation import Installation, database_like, free_port, wait_for

SERVER = os.environ.get("DATABASE_URL", "")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not SERVER.startswith("postgres"),
        reason="two of each need a database server: run with DATABASE_URL=postgres://…",
    ),
]

SEED = 20261123
KILLS = 6
JOBS = 10
JOB_SECONDS = 25
LABELS = ["self-hosted", "linux", "x64"]
QUICK = {
    "FLEET_HEARTBEAT_SECONDS": "3",
    "FLEET_HEARTBEAT_ACTIVE_SECONDS": "1",
    "FLEET_LOOP_SECONDS": "1",
    "FLEET_RECONCILE_SECONDS": "5",
    "FLEET_RECONCILE_ACTIVE_SECONDS": "2",
    "FLEET_CANARY_SECONDS": "2",
    "FLEET_WORKER_SILENT_SECONDS": "20",
    "FLEET_STOP_SECONDS": "5",
    "FLEET_WORKERS": "1",
    "FLEET_WEB_WORKERS": "1",
    # Below the usual: what a killed holder keeps others from is over within the test
    "FLEET_TASK_TIMEOUT_SECONDS": "20",
}


class Twins:
    """A fleet whose control plane runs twice."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.web_ports = {"web-a": free_port(), "web-b": free_port()}
        self.names = (*self.web_ports, "worker-a", "worker-b", "loop-a", "loop-b")

    def start(self, name: str) -> None:
        kind = name.partition("-")[0]
        port = self.web_ports.get(name)
        extra = {"PORT": str(port)} if port else {}
        self.fleet.start(name, sys.executable, "manage.py", f"fleet_{kind}", extra_env=extra)

    def kill(self, name: str) -> None:
        """End a process and all it started without a word, as a power cut would."""
        process = self.fleet.programs[name].process
        with suppress(psutil.NoSuchProcess):
            main = psutil.Process(process.pid)
            for member in (main, *main.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    member.kill()
        process.wait(timeout=10)

    def count(self, sql: str) -> int:
        number: int = self.fleet.installation.rows(sql)[0][0]
        return number


@pytest.fixture
def twins(tmp_path: Path) -> Iterator[Twins]:
    with database_like(SERVER, tmp_path) as url:
        installation = Installation(tmp_path / "data", url, variables=dict(QUICK))
        installation.data_dir.mkdir()
        token = f"ghp_{os.urandom(18).hex()}"
        fleet = Fleet(tmp_path, installation, sim_port=free_port(), token=token)
        twins = Twins(fleet)
        backends = [("127.0.0.1", port) for port in twins.web_ports.values()]
        try:
            fleet.start_simulator()
            installation.migrate()
            fleet.manage("setup_schedules")
            with balanced(installation.port, backends):
                for name in twins.names:
                    twins.start(name)
                wait_for("a working fleet", lambda: answers(f"{fleet.url}/readyz"), seconds=120)
                fleet.connect_github()
                yield twins
                fleet.stop()
        except BaseException:
            print(fleet.logs())  # noqa: T201 - pytest shows it with the failure
            raise
        finally:
            fleet.stop()


def begin_jobs(twins: Twins) -> list[int]:
    """Ten runners on one host, and a job on each."""
    fleet = twins.fleet
    fleet.start_agent("forge-01", code=fleet.enrolment_code(), slots=JOBS)
    wait_for("the host", lambda: fleet.host_states() == ["online"], seconds=60)
    labels = [part for label in LABELS for part in ("--label", label)]
    fleet.manage("provision", "--scope", "acme", "--count", str(JOBS), *labels)
    script = f"sleep {JOB_SECONDS}; echo done"
    jobs = [fleet.queue_job(f"job-{number}", script, labels=LABELS) for number in range(JOBS)]
    wait_for("ten running jobs", lambda: running(fleet) == JOBS, seconds=180)
    return jobs


def running(fleet: Fleet) -> int:
    return len(fleet.sim("GET", "jobs?status=in_progress&per_page=100")["jobs"])


def assert_all_done_and_nothing_left(twins: Twins, jobs: list[int]) -> None:
    """Every job is accounted for at GitHub and here, once; no runner is left anywhere."""
    fleet = twins.fleet
    done = "SELECT count(*) FROM runners_job WHERE status='completed' AND conclusion='success'"
    open_rows = "SELECT count(*) FROM runners_runner WHERE state<>'removed'"
    wait_for(
        "ten finished jobs",
        lambda: all(fleet.github_job(job)["status"] == "completed" for job in jobs),
        seconds=180,
    )
    assert {fleet.github_job(job)["conclusion"] for job in jobs} == {"success"}
    wait_for("ten recorded jobs", lambda: twins.count(done) == JOBS, seconds=180)
    wait_for("no runner at GitHub", lambda: not fleet.github_runners(), seconds=180)
    wait_for("every runner closed", lambda: twins.count(open_rows) == 0, seconds=180)
    assert twins.count("SELECT count(*) FROM runners_runner") == JOBS
    assert twins.count("SELECT count(*) FROM runners_job") == JOBS
    for action in ("runner.provision", "runner.active", "runner.removed"):
        told = f"SELECT count(*) FROM runners_event WHERE action='{action}'"  # noqa: S608
        assert twins.count(told) == JOBS, action
    assert twins.count("SELECT count(*) FROM runners_event WHERE action='runner.failed'") == 0
    assert fleet.runner_processes("forge-01") == []


def test_ten_jobs_outlive_kills_of_everything_and_an_upgrade(twins: Twins):
    jobs = begin_jobs(twins)
    chance = random.Random(SEED)

    for _ in range(KILLS):
        name = chance.choice(twins.names)
        time.sleep(chance.uniform(0.2, 2))  # the moment is what is tried out, nothing is awaited
        twins.kill(name)
        time.sleep(chance.uniform(0.1, 1))
        twins.start(name)
    for name in twins.names:
        twins.fleet.programs[name].stop()
    twins.fleet.manage("migrate", "--verbosity", "0")
    for name in twins.names:
        twins.start(name)

    assert_all_done_and_nothing_left(twins, jobs)


def test_lease_of_a_killed_loop_passes_to_the_other(installation: Installation):
    installation.variables.update(QUICK)
    installation.migrate()
    with installation.running("fleet_loop") as one:
        holder = wait_for("a holder of the beat", lambda: lease_owner(installation))
        assert holder.endswith(f":{one.process.pid}")
        with installation.running("fleet_loop") as other:
            one.process.kill()

            wait_for(
                "the other as holder",
                lambda: lease_owner(installation).endswith(f":{other.process.pid}"),
            )


def lease_owner(installation: Installation) -> str:
    """Who holds the lease of the beat, "" for nobody."""
    rows = installation.rows("SELECT owner FROM runners_lease WHERE name='loop'")
    return str(rows[0][0]) if rows else ""

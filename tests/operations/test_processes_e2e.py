"""The product's own processes, for real: web, worker and loop on a database of their own."""

import re
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
import requests

from tests.installation import Installation, wait_for

pytestmark = pytest.mark.e2e

QUICK = {
    "FLEET_LOOP_SECONDS": "1",
    "FLEET_CANARY_SECONDS": "2",
    "FLEET_WORKER_SILENT_SECONDS": "6",
    "FLEET_STOP_SECONDS": "2",
    "FLEET_WORKERS": "1",
}


@pytest.fixture
def migrated(installation: Installation) -> Installation:
    installation.variables.update(QUICK)
    installation.migrate()
    return installation


def canaries(installation: Installation) -> list[str]:
    return [row[0] for row in installation.rows("SELECT at FROM runners_beat WHERE name='worker'")]


def idle_worker_pid(log: str) -> int | None:
    """The process that waits for tasks and so holds the lock of the cluster's inner queue."""
    found = re.search(r"ready for work at (\d+)", log)
    if found is None:
        return None
    asleep_in = Path(f"/proc/{found[1]}/wchan").read_text()  # "0" while it runs
    return int(found[1]) if "pipe_read" in asleep_in else None


@pytest.fixture
def sleep_is_told() -> None:
    """Skip where the kernel keeps secret in what a process sleeps."""
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        try:
            wait_for("a sleeper", lambda: psutil.Process(sleeper.pid).status() == "sleeping")
            wchan = Path(f"/proc/{sleeper.pid}/wchan")
            if all(wchan.read_text() == "0" for _ in range(1000)):
                pytest.skip("this kernel does not tell in what a process sleeps")
        finally:
            sleeper.kill()


def answers(url: str) -> requests.Response | None:
    try:
        return requests.get(url, timeout=5)
    except requests.ConnectionError:
        return None


def is_ready(installation: Installation) -> bool:
    answer = answers(f"{installation.base_url}/readyz")
    return answer is not None and answer.ok


@pytest.mark.usefixtures("sleep_is_told")
def test_tasks_flow_again_after_an_idle_worker_was_killed(migrated: Installation):
    """django-q2 alone stays stuck for ever; the loop notices and the worker starts it anew."""
    with migrated.running("fleet_worker", FLEET_LOG_LEVEL="DEBUG") as worker:
        pid = wait_for("an idle worker", lambda: idle_worker_pid(worker.output()))
        psutil.Process(pid).kill()
        with migrated.running("fleet_loop"):
            wait_for("a task that was run", lambda: canaries(migrated))

        events = migrated.rows("SELECT reason FROM runners_event WHERE action='worker.restart'")
        assert len(events) == 1
        assert events[0][0].startswith("No task has been run since")


@pytest.mark.usefixtures("sleep_is_told")
def test_worker_that_is_asked_to_stop_leaves_no_process(migrated: Installation):
    with migrated.running("fleet_worker", FLEET_LOG_LEVEL="DEBUG") as worker:
        wait_for("an idle worker", lambda: idle_worker_pid(worker.output()))
        family = worker.family()

        worker.process.send_signal(signal.SIGTERM)

        assert worker.process.wait(timeout=60) == 0
        assert len(family) >= 5
        assert [process for process in family if process.is_running()] == []


def test_tasks_flow_again_after_the_whole_cluster_was_killed(migrated: Installation):
    with (
        migrated.running("fleet_worker", FLEET_LOG_LEVEL="DEBUG") as worker,
        migrated.running("fleet_loop"),
    ):
        wait_for("a task that was run", lambda: canaries(migrated))
        before = canaries(migrated)
        cluster = psutil.Process(worker.process.pid).children()[0]

        cluster.kill()

        wait_for("another task that was run", lambda: canaries(migrated) > before)


def test_everything_starts_and_stops_together(installation: Installation):
    installation.variables.update(QUICK)
    with installation.running("fleet_up") as up:
        health = wait_for("the web process", lambda: answers(f"{installation.base_url}/healthz"))
        assert health.json() == {"ok": True}
        wait_for("readiness", lambda: is_ready(installation))
        link = wait_for("the way in", lambda: re.search(r"http://\S+/password/\S+", up.output()))
        assert "Set your password" in requests.get(link[0], timeout=10).text
        family = up.family()

        up.process.send_signal(signal.SIGINT)

        assert up.process.wait(timeout=60) == 0
        assert len(family) >= 8
        assert [process for process in family if process.is_running()] == []
        assert answers(f"{installation.base_url}/healthz") is None


def test_killing_the_parent_of_all_leaves_no_process(installation: Installation):
    installation.variables.update(QUICK)
    with installation.running("fleet_up") as up:
        wait_for("the web process", lambda: answers(f"{installation.base_url}/healthz"))
        wait_for("all processes", lambda: len(up.family()) >= 8)
        family = up.family()

        up.process.kill()
        up.process.wait()

        wait_for(
            "the end of all", lambda: not [process for process in family if process.is_running()]
        )


def test_static_files_have_hashed_names_and_are_kept_for_ever(installation: Installation):
    installation.variables.update(QUICK)
    installation.migrate()
    with installation.running("fleet_web"):
        page = wait_for("the web process", lambda: answers(f"{installation.base_url}/admin/login/"))
        styles = re.search(r'href="(/static/admin/css/base\.[0-9a-f]{12}\.css)"', page.text)
        assert styles

        answer = requests.get(f"{installation.base_url}{styles[1]}", timeout=5)

        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"]


def test_installation_keeps_its_key_to_itself(installation: Installation):
    installation.manage("check")

    key = Path(installation.data_dir / "secret.key")
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.read_text(encoding="utf-8").strip() not in installation.manage("settings").stdout

"""A live fleet loses its database, and goes on from a backup that is older than what runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.fleet import Fleet, running_fleet
from tests.installation import database_like, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
HOST = "forge-01"
LABELS = ("self-hosted", "linux", "x64")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A fleet that waits seconds, not minutes, before it deletes a ghost that is online."""
    with (
        database_like(os.environ.get("DATABASE_URL", ""), tmp_path) as url,
        running_fleet(tmp_path, url, variables={"FLEET_ONLINE_GHOST_SECONDS": "10"}) as running,
    ):
        yield running


def test_fleet_goes_on_from_a_backup_older_than_its_runners(fleet: Fleet, tmp_path: Path):
    fleet.start_agent(HOST, code=fleet.enrolment_code(site="here"), slots=4)
    wait_for("the host", lambda: fleet.host_states() == ["online"])
    [stays] = provision(fleet, "stays", "--persistent")
    [once] = provision(fleet, "once")
    wait_for("two runners online", lambda: online(fleet) == {stays, once})
    backup = tmp_path / "kept.zip"
    fleet.manage("backup", str(backup))

    # What the backup knows nothing of: a job that runs, and a runner
    gate = fleet.shared / "job.gate"
    script = f"until test -e '{gate}'; do sleep 0.2; done"
    job = fleet.queue_job("long", script, labels=[*LABELS, "once"])
    [forgotten] = provision(fleet, "forgotten")
    wait_for("three runners online", lambda: online(fleet) == {stays, once, forgotten})
    wait_for("the job on its runner", lambda: fleet.github_job(job)["runner_name"] == once)

    fleet.programs["fleet"].kill_family()
    fleet.installation.lose_database()
    fleet.manage("restore", str(backup))
    fleet.start_control_plane()

    # Drift is news under way for a minute; only then is it mended
    alone = {stays, once}
    wait_for("the runner nobody knows gone", lambda: online(fleet) == alone, seconds=180)
    wait_for("its process gone", lambda: len(listeners(fleet)) == 2, seconds=120)
    assert fleet.github_job(job)["status"] == "in_progress"
    gate.touch()
    wait_for("the job's end", lambda: fleet.github_job(job)["status"] == "completed")
    assert fleet.github_job(job)["conclusion"] == "success"
    after = fleet.queue_job("after", "echo after", labels=[*LABELS, "stays"])
    wait_for("a job run since", lambda: fleet.github_job(after)["conclusion"] == "success")
    [new] = provision(fleet, "new")
    wait_for("a new runner, and no other", lambda: online(fleet) == {stays, new})
    wait_for("here as at GitHub", lambda: set(fleet.current_runners()) == {stays, new})
    wait_for("both jobs recorded", lambda: conclusions(fleet) == ["success", "success"])
    wait_for("nothing amiss", lambda: not fleet.installation.rows("SELECT 1 FROM runners_drift"))


def provision(fleet: Fleet, label: str, *flags: str) -> list[str]:
    """Order one runner with a label of its own; returns its name."""
    labels = [part for name in (*LABELS, label) for part in ("--label", name)]
    made = fleet.manage_json("provision", "--scope", "acme", "--host", HOST, *labels, *flags)
    return [runner["name"] for runner in made["runners"]]


def online(fleet: Fleet) -> set[str]:
    return {each["name"] for each in fleet.github_runners() if each["status"] == "online"}


def listeners(fleet: Fleet) -> list[psutil.Process]:
    return fleet.processes_with(str(fleet.folder), running="Runner.Listener")


def conclusions(fleet: Fleet) -> list[str]:
    rows = fleet.installation.rows("SELECT conclusion FROM runners_job WHERE status='completed'")
    return [row[0] for row in rows]

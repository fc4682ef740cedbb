"""Three machines with their own network and processes: one cut off, one agent killed, one rebooted.

Everything is fifteen times faster than by default: heartbeats every 2 s for 30, a host is late
after 4 s for 60 and offline after 6 s for 90, GitHub calls a runner offline after 4 s for 60 and
gives its job up after 40 s for 600. So 8 s without the cable are two minutes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.fleet import Fleet, running_fleet
from tests.e2e.machines import Machine, machines, namespaces_missing
from tests.installation import database_like, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

FASTER = 15
CUT_SECONDS = 120 / FASTER
JOB_SECONDS = 20
HOSTS = ("forge-cut", "forge-killed", "forge-rebooted")
LABELS = ("self-hosted", "linux", "x64")
FAST = {
    "FLEET_HEARTBEAT_SECONDS": str(30 // FASTER),
    "FLEET_HEARTBEAT_ACTIVE_SECONDS": "1",
    "FLEET_LATE_AFTER_SECONDS": str(60 // FASTER),
    "FLEET_OFFLINE_AFTER_SECONDS": str(90 // FASTER),
}


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A fleet in quick time, on a machine where others can be made."""
    if why := namespaces_missing():
        pytest.skip(f"machines of their own: {why}")
    with (
        database_like(os.environ.get("DATABASE_URL", ""), tmp_path) as url,
        running_fleet(tmp_path, url, variables=FAST) as running,
    ):
        running.sim(
            "PATCH",
            "settings",
            timings={"online_seconds": 60 / FASTER, "lease_seconds": 600 / FASTER},
        )
        yield running


def test_machine_cut_off_agent_killed_and_machine_rebooted_in_their_jobs(fleet: Fleet):
    with machines(fleet, *HOSTS) as (cut, killed, rebooted):
        jobs = begin_jobs(fleet, (cut, killed, rebooted))
        worked = {fleet.github_job(job)["runner_name"]: job for job in jobs}

        cut.pull_cable()
        for agent in killed.agents():
            agent.kill()
        rebooted.switch_off()
        wait_for(
            "two silent hosts", lambda: fleet.host_states() == ["offline", "offline", "online"]
        )
        assert wait_for("the killed agent's successor", killed.agents)
        # The cable stays out for the time that was said: a state reached sooner ends nothing
        time.sleep(CUT_SECONDS)
        cut.plug_cable()
        rebooted.switch_on()

        wait_for("all hosts back", lambda: fleet.host_states() == ["online"] * 3, seconds=120)
        wait_for("an end of every job", lambda: all(ended(fleet, job) for job in jobs), seconds=180)
        for name, job in worked.items():
            lost = name.startswith(rebooted.name)
            assert fleet.github_job(job)["conclusion"] == ("failure" if lost else "success"), name
        wait_for("every job recorded", lambda: recorded(fleet) == at_github(fleet), seconds=120)
        assert fleet.installation.rows("SELECT cause FROM runners_postmortem") == [("rebooted",)]
        wait_for("no runner too many or too few", lambda: nothing_is_left_over(fleet), seconds=180)
        for machine in (cut, killed, rebooted):
            machine.switch_off()


def begin_jobs(fleet: Fleet, built: tuple[Machine, ...]) -> list[int]:
    """A runner on each machine, and a job on each runner."""
    for machine in built:
        machine.switch_on(code=fleet.enrolment_code())
    wait_for("three hosts", lambda: fleet.host_states() == ["online"] * 3, seconds=120)
    labels = [part for label in LABELS for part in ("--label", label)]
    for machine in built:
        fleet.manage("provision", "--scope", "acme", "--host", machine.name, *labels)
    script = f"sleep {JOB_SECONDS}; echo done"
    jobs = [fleet.queue_job(f"on-{number}", script, labels=LABELS) for number in range(3)]
    wait_for("three running jobs", lambda: all(running(fleet, job) for job in jobs), seconds=180)
    return jobs


def running(fleet: Fleet, job: int) -> bool:
    return bool(fleet.github_job(job)["status"] == "in_progress")


def ended(fleet: Fleet, job: int) -> bool:
    return bool(fleet.github_job(job)["status"] == "completed")


def at_github(fleet: Fleet) -> list[tuple[Any, ...]]:
    """Job and conclusion, as GitHub has them."""
    jobs = fleet.sim("GET", "jobs?per_page=100")["jobs"]
    return sorted((job["id"], job["status"], job["conclusion"]) for job in jobs)


def recorded(fleet: Fleet) -> list[tuple[Any, ...]]:
    """The same, as we have them."""
    return sorted(fleet.installation.rows("SELECT github_id, status, conclusion FROM runners_job"))


def nothing_is_left_over(fleet: Fleet) -> bool:
    """Whether the table, GitHub and the process tables name the same runners, each once."""
    wanted = fleet.installation.rows(
        "SELECT name FROM runners_runner WHERE state NOT IN ('removed', 'failed')"
    )
    names = sorted(row[0] for row in wanted)
    there = sorted(runner["name"] for runner in fleet.github_runners())
    held = fleet.installation.rows(
        "SELECT host_id, slot, count(*) FROM runners_runner WHERE slot IS NOT NULL "
        "GROUP BY host_id, slot HAVING count(*) > 1"
    )
    listeners = fleet.processes_with(str(fleet.folder), running="Runner.Listener")
    return names == there and held == [] and len(listeners) == len(names)

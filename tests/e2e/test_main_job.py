"""From an empty machine to jobs run on runners we provisioned, and back to nothing left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.fleet import Fleet, running_fleet, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
LABELS = ["self-hosted", "linux", "x64"]


@pytest.fixture
def fleet(tmp_path: Path):
    with running_fleet(tmp_path) as running:
        yield running


def test_jobs_run_on_provisioned_runners_and_nothing_is_left_after_deregistration(fleet: Fleet):
    for host in ("forge-01", "forge-02"):
        fleet.start_agent(host, code=fleet.enrolment_code(site="here"))
    until(lambda: len(hosts_online(fleet)) == 2, "both hosts online")

    provision(fleet, "forge-01", count=1)
    provision(fleet, "forge-02", count=1)
    provision(fleet, "forge-01", count=1, persistent=True)
    provision(fleet, "forge-02", count=1, persistent=True)
    until(lambda: online_at_github(fleet) == 4, "four runners online at GitHub")
    names = {runner["name"] for runner in fleet.github_runners()}

    queued = [queue(fleet, f"job-{number}", f"echo job {number}; sleep 1") for number in range(6)]
    until(lambda: all(finished(fleet, job) for job in queued), "six finished jobs")
    for job in queued:
        assert github_job(fleet, job)["conclusion"] == "success"
        assert github_job(fleet, job)["runner_name"] in names

    until(lambda: len(fleet.github_runners()) == 2, "the ephemeral runners gone after their job")
    persistent = {runner["name"] for runner in fleet.github_runners()}

    long_job = queue(fleet, "long", "echo begin; sleep 12; echo end")
    busy = until(lambda: github_job(fleet, long_job)["runner_name"], "the long job on a runner")
    until(lambda: busy in busy_names(fleet), "the busy runner seen as busy")
    fleet.manage("drain", busy, "--reason", "End-to-end test")
    until(lambda: finished(fleet, long_job), "the drained runner's job finished")
    assert github_job(fleet, long_job)["conclusion"] == "success"
    until(lambda: busy not in {r["name"] for r in fleet.github_runners()}, "the drained one gone")

    for name in persistent - {busy}:
        fleet.manage("deregister", name, "--reason", "End-to-end test")
    until(lambda: not fleet.github_runners(), "an empty list at GitHub")
    until(lambda: not current_runners(fleet), "every runner removed here")
    for host in ("forge-01", "forge-02"):
        until(lambda host=host: not listeners(fleet, host), f"no runner process on {host}")
        assert leftovers(fleet, host) == []


def provision(fleet: Fleet, host: str, *, count: int, persistent: bool = False) -> None:
    labels = [part for label in LABELS for part in ("--label", label)]
    flags = ["--persistent"] if persistent else []
    fleet.manage(
        "provision", "--scope", "acme", "--host", host, "--count", str(count), *labels, *flags
    )


def queue(fleet: Fleet, name: str, script: str) -> int:
    made = fleet.queue_job(repository="acme/web", name=name, labels=LABELS, steps=[script])
    return int(made["jobs"][0]["id"])


def github_job(fleet: Fleet, job: int):
    return fleet.sim("GET", f"/repos/acme/web/actions/jobs/{job}")


def finished(fleet: Fleet, job: int) -> bool:
    return github_job(fleet, job)["status"] == "completed"


def status(fleet: Fleet):
    return fleet.manage_json("fleet_status")


def hosts_online(fleet: Fleet):
    return [host for host in status(fleet)["hosts"] if host["state"] == "online"]


def current_runners(fleet: Fleet):
    return status(fleet)["runners"]


def busy_names(fleet: Fleet):
    return {runner["name"] for runner in current_runners(fleet) if runner["state"] == "busy"}


def online_at_github(fleet: Fleet) -> int:
    return sum(runner["status"] == "online" for runner in fleet.github_runners())


def listeners(fleet: Fleet, host: str):
    folder = str(fleet.state_folder(host))
    return [
        process
        for process in fleet.processes_with("Runner.")
        if folder in " ".join(process.cmdline())
    ]


def leftovers(fleet: Fleet, host: str) -> list[str]:
    """Credential files and work directories still under the agent's state directory."""
    names = {".credentials", ".credentials_rsaparams", ".runner", "_work"}
    found = []
    for folder, folders, files in os.walk(fleet.state_folder(host)):
        found += [os.path.join(folder, name) for name in (*folders, *files) if name in names]
    return found

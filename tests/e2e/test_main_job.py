"""From an empty machine to jobs run on runners we provisioned, and back to nothing left."""

from __future__ import annotations

import pytest

from tests.e2e.fleet import Fleet
from tests.installation import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
LABELS = ["self-hosted", "linux", "x64"]


def test_jobs_run_on_provisioned_runners_and_nothing_is_left_after_deregistration(fleet: Fleet):
    for host in ("forge-01", "forge-02"):
        fleet.start_agent(host, code=fleet.enrolment_code(site="here"))
    wait_for("both hosts online", lambda: fleet.host_states() == ["online"] * 2)

    provision(fleet, "forge-01", count=1)
    provision(fleet, "forge-02", count=1)
    provision(fleet, "forge-01", count=1, persistent=True)
    provision(fleet, "forge-02", count=1, persistent=True)
    wait_for("four runners online at GitHub", lambda: online_at_github(fleet) == 4)
    drill(fleet)
    names = {runner["name"] for runner in fleet.github_runners()}

    queued = [
        fleet.queue_job(f"job-{number}", f"echo job {number}; sleep 1", labels=LABELS)
        for number in range(6)
    ]
    wait_for("six finished jobs", lambda: all(finished(fleet, job) for job in queued))
    for job in queued:
        assert fleet.github_job(job)["conclusion"] == "success"
        assert fleet.github_job(job)["runner_name"] in names

    wait_for("the ephemeral runners gone after their job", lambda: len(fleet.github_runners()) == 2)
    persistent = {runner["name"] for runner in fleet.github_runners()}

    long_job = fleet.queue_job("long", "echo begin; sleep 12; echo end", labels=LABELS)
    busy = wait_for("the long job on a runner", lambda: fleet.github_job(long_job)["runner_name"])
    wait_for("the busy runner seen as busy", lambda: busy in busy_names(fleet))
    fleet.manage("drain", busy, "--reason", "End-to-end test")
    wait_for("the drained runner's job finished", lambda: finished(fleet, long_job))
    assert fleet.github_job(long_job)["conclusion"] == "success"
    wait_for(
        "the drained one gone", lambda: busy not in {r["name"] for r in fleet.github_runners()}
    )

    for name in persistent - {busy}:
        fleet.manage("deregister", name, "--reason", "End-to-end test")
    wait_for("an empty list at GitHub", lambda: not fleet.github_runners())
    wait_for("every runner removed here", lambda: not fleet.current_runners())
    hosts = ("forge-01", "forge-02")
    wait_for("no runner process", lambda: not any(map(fleet.runner_processes, hosts)))
    assert [fleet.leftovers(host) for host in hosts] == [[], []]


def drill(fleet: Fleet) -> None:
    """Kill a runner and cut a host off at once; the fleet is well again with no other hand."""
    killed = fleet.drill("forge-01", "kill-runner").split()[1]
    fleet.drill("forge-02", "cut-network", "--seconds", "8")
    wait_for("another in its place", lambda: is_replaced(fleet, killed), seconds=120)
    wait_for("both hosts heard", lambda: fleet.host_states() == ["online"] * 2)
    assert fleet.installation.rows("SELECT cause FROM runners_postmortem") == [("signal",)]


def is_replaced(fleet: Fleet, name: str) -> bool:
    """Whether four are online at GitHub, this one not among them."""
    online = [each["name"] for each in fleet.github_runners() if each["status"] == "online"]
    return len(online) == 4 and name not in online


def provision(fleet: Fleet, host: str, *, count: int, persistent: bool = False) -> None:
    labels = [part for label in LABELS for part in ("--label", label)]
    flags = ["--persistent"] if persistent else []
    fleet.manage(
        "provision", "--scope", "acme", "--host", host, "--count", str(count), *labels, *flags
    )


def finished(fleet: Fleet, job: int) -> bool:
    return fleet.github_job(job)["status"] == "completed"


def busy_names(fleet: Fleet) -> set[str]:
    sql = "SELECT name FROM runners_runner WHERE state = 'active' AND phase = 'busy'"
    return {row[0] for row in fleet.installation.rows(sql)}


def online_at_github(fleet: Fleet) -> int:
    return sum(runner["status"] == "online" for runner in fleet.github_runners())

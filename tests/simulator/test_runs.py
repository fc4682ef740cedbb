"""Workflows, runs, cancelling and running again."""

import io
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
import requests

from runners.simulator import JobOrder, Simulator
from tests.simulator.client import Client
from tests.simulator.listener import jit_listener, persistent_listener

ACTIONS = "/repos/acme/web/actions"


def run_at(admin: Client, run_id: int) -> dict[str, Any]:
    return admin.get(f"{ACTIONS}/runs/{run_id}").json()


def conclusions(admin: Client, run_id: int) -> list[str]:
    jobs = admin.get(f"{ACTIONS}/runs/{run_id}/jobs").json()["jobs"]
    return [job["conclusion"] for job in jobs]


def test_run_follows_its_jobs(sim: Simulator, admin: Client) -> None:
    run_id = sim.queue_job().run_id
    assert run_at(admin, run_id)["status"] == "queued"
    listener = jit_listener(admin)
    job = listener.take()
    assert run_at(admin, run_id)["status"] == "in_progress"
    listener.finish(job, "Failed")
    run = run_at(admin, run_id)
    assert (run["status"], run["conclusion"]) == ("completed", "failure")


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({}, 3),
        ({"status": "queued"}, 2),
        ({"status": "success"}, 1),
        ({"status": "in_progress"}, 0),
        ({"branch": "dev"}, 1),
        ({"event": "schedule"}, 1),
        ({"actor": "octo-admin"}, 3),
        ({"actor": "nobody"}, 0),
    ],
)
def test_runs_are_filtered(
    sim: Simulator, admin: Client, query: dict[str, str], count: int
) -> None:
    sim.queue_job()
    jit_listener(admin).run_one()
    sim.queue_jobs(JobOrder("acme/web", branch="dev"))
    sim.queue_jobs(JobOrder("acme/web", event="schedule"))
    listed = admin.get(f"{ACTIONS}/runs", params=query).json()
    assert listed["total_count"] == len(listed["workflow_runs"]) == count


@pytest.mark.parametrize(
    ("created", "count"),
    [
        (">=2000-01-01", 1),
        (">2000-01-01T00:00:00Z", 1),
        ("<2000-01-01", 0),
        ("<=2000-01-01", 0),
        ("2000-01-01..*", 1),
        ("*..2000-01-01", 0),
        ("2000-01-01..2001-01-01", 0),
        ("2000-01-01", 0),
    ],
)
def test_runs_are_filtered_by_date(sim: Simulator, admin: Client, created: str, count: int) -> None:
    sim.queue_job()
    assert _created(admin, created).json()["total_count"] == count


def test_date_nobody_can_read_is_refused(sim: Simulator, admin: Client) -> None:
    sim.queue_job()
    assert _created(admin, ">=soon").status_code == 422


def _created(admin: Client, created: str) -> requests.Response:
    """GitHub's description calls this a date and time, its documentation a search expression."""
    url = f"{admin.base}{ACTIONS}/runs"
    return admin.session.get(url, params={"created": created}, timeout=5)


def test_newest_run_comes_first(sim: Simulator, admin: Client) -> None:
    made = [sim.queue_job().run_id for _ in range(3)]
    listed = admin.get(f"{ACTIONS}/runs").json()["workflow_runs"]
    assert [run["id"] for run in listed] == made[::-1]
    assert [run["run_number"] for run in listed] == [3, 2, 1]


def test_filtered_list_ends_at_a_thousand(sim: Simulator, admin: Client) -> None:
    sim.queue_jobs(JobOrder("acme/web", count=1001))
    assert admin.get(f"{ACTIONS}/runs").json()["total_count"] == 1001
    filtered = admin.get(f"{ACTIONS}/runs", params={"status": "queued"}).json()
    assert filtered["total_count"] == 1000


@pytest.mark.parametrize("verb", ["cancel", "force-cancel"])
def test_cancelling_ends_what_waits(sim: Simulator, admin: Client, verb: str) -> None:
    run_id = sim.queue_job().run_id
    assert admin.post(f"{ACTIONS}/runs/{run_id}/{verb}").status_code == 202
    assert run_at(admin, run_id)["conclusion"] == "cancelled"
    assert admin.post(f"{ACTIONS}/runs/{run_id}/{verb}").status_code == 409
    assert jit_listener(admin).offered() is None


def test_running_job_is_asked_to_stop_and_stops_itself(sim: Simulator, admin: Client) -> None:
    job = sim.queue_job()
    listener = jit_listener(admin)
    message = listener.take()
    assert admin.post(f"{ACTIONS}/runs/{job.run_id}/cancel").status_code == 202
    assert listener.send(f"jobs/{job.id}/renew", {}).json() == {"cancel": True}
    assert run_at(admin, job.run_id)["status"] == "in_progress"
    listener.finish(message, "Canceled")
    assert run_at(admin, job.run_id)["conclusion"] == "cancelled"


def test_running_job_that_does_not_stop_is_ended_in_five_minutes(
    sim: Simulator, admin: Client
) -> None:
    job = sim.queue_job()
    jit_listener(admin).take()
    admin.post(f"{ACTIONS}/runs/{job.run_id}/cancel")
    sim.clock.advance(301)
    assert run_at(admin, job.run_id)["conclusion"] == "cancelled"


def test_forced_cancel_ends_a_running_job_at_once(sim: Simulator, admin: Client) -> None:
    job = sim.queue_job()
    listener = jit_listener(admin)
    message = listener.take()
    admin.post(f"{ACTIONS}/runs/{job.run_id}/force-cancel")
    assert run_at(admin, job.run_id)["conclusion"] == "cancelled"
    assert listener.send(f"jobs/{job.id}/renew", {}).json() == {"cancel": True}
    assert listener.finish(message).status_code == 200
    assert run_at(admin, job.run_id)["conclusion"] == "cancelled"


def test_rerun_is_a_new_attempt_of_all_jobs(sim: Simulator, admin: Client) -> None:
    job = sim.queue_job()
    listener = persistent_listener(admin)
    listener.run_one("Failed")
    assert admin.post(f"{ACTIONS}/runs/{job.run_id}/rerun").status_code == 201
    listener.run_one()
    run = run_at(admin, job.run_id)
    assert (run["run_attempt"], run["conclusion"]) == (2, "success")
    assert run["previous_attempt_url"].endswith(f"/runs/{job.run_id}/attempts/1")
    first = admin.get(f"{ACTIONS}/runs/{job.run_id}/attempts/1").json()
    assert (first["run_attempt"], first["conclusion"]) == (1, "failure")
    every = admin.get(f"{ACTIONS}/runs/{job.run_id}/jobs", params={"filter": "all"}).json()
    assert [j["run_attempt"] for j in every["jobs"]] == [1, 2]
    assert admin.get(f"{ACTIONS}/runs/{job.run_id}/attempts/3").status_code == 404


def test_running_run_cannot_be_run_again(sim: Simulator, admin: Client) -> None:
    run_id = sim.queue_job().run_id
    refused = admin.post(f"{ACTIONS}/runs/{run_id}/rerun")
    assert refused.status_code == 403


@pytest.fixture
def two_jobs(sim: Simulator, admin: Client) -> int:
    """A run of two jobs, the first of which succeeded and the second failed."""
    workflow = next(iter(sim.world.store.workflows.values()))
    workflow.jobs = [workflow.jobs[0], workflow.jobs[0]]
    admin.post(f"{ACTIONS}/workflows/{workflow.id}/dispatches", {"ref": "main"})
    listener = persistent_listener(admin)
    listener.run_one()
    listener.run_one("Failed")
    (run,) = admin.get(f"{ACTIONS}/runs").json()["workflow_runs"]
    return run["id"]


def test_failed_jobs_alone_run_again(admin: Client, two_jobs: int) -> None:
    assert conclusions(admin, two_jobs) == ["success", "failure"]
    assert admin.post(f"{ACTIONS}/runs/{two_jobs}/rerun-failed-jobs").status_code == 201
    assert conclusions(admin, two_jobs) == ["success", None]


def test_one_job_alone_runs_again(admin: Client, two_jobs: int) -> None:
    first = admin.get(f"{ACTIONS}/runs/{two_jobs}/jobs").json()["jobs"][0]
    assert admin.post(f"{ACTIONS}/jobs/{first['id']}/rerun").status_code == 201
    assert conclusions(admin, two_jobs) == [None, "failure"]
    assert admin.post(f"{ACTIONS}/jobs/{first['id']}/rerun").status_code == 403


def test_nothing_failed_leaves_nothing_to_run_again(sim: Simulator, admin: Client) -> None:
    run_id = sim.queue_job().run_id
    jit_listener(admin).run_one()
    assert admin.post(f"{ACTIONS}/runs/{run_id}/rerun-failed-jobs").status_code == 403


def test_logs_of_a_run_are_a_zip(sim: Simulator, admin: Client, two_jobs: int) -> None:
    address = admin.get(f"{ACTIONS}/runs/{two_jobs}/logs").headers["Location"]
    content = Client(sim).session.get(address, timeout=5).content
    names = zipfile.ZipFile(io.BytesIO(content)).namelist()
    assert names == ["0_build.txt", "1_build.txt"]
    assert admin.delete(f"{ACTIONS}/runs/{two_jobs}/logs").status_code == 204


def test_finished_run_can_be_deleted(sim: Simulator, admin: Client, two_jobs: int) -> None:
    waiting = sim.queue_job().run_id
    assert admin.delete(f"{ACTIONS}/runs/{two_jobs}").status_code == 204
    assert admin.get(f"{ACTIONS}/runs/{two_jobs}").status_code == 404
    assert admin.delete(f"{ACTIONS}/runs/{waiting}").status_code == 403


def test_timing_bills_nothing(admin: Client, two_jobs: int) -> None:
    assert admin.get(f"{ACTIONS}/runs/{two_jobs}/timing").json()["billable"] == {}
    assert admin.get(f"{ACTIONS}/workflows/ci.yml/timing").json() == {"billable": {}}


def test_dispatch_answers_nothing_or_the_run(admin: Client) -> None:
    path = f"{ACTIONS}/workflows/ci.yml/dispatches"
    assert admin.post(path, {"ref": "main"}).status_code == 204
    answer = admin.post(path, {"ref": "main", "return_run_details": True})
    newer = {"X-GitHub-Api-Version": "2026-03-10"}
    newest = admin.post(path, {"ref": "refs/heads/dev"}, headers=newer)
    assert answer.status_code == newest.status_code == 200
    run = run_at(admin, newest.json()["workflow_run_id"])
    assert (run["event"], run["head_branch"]) == ("workflow_dispatch", "dev")


def test_disabled_workflow_is_not_dispatched(admin: Client) -> None:
    workflow = f"{ACTIONS}/workflows/ci.yml"
    assert admin.put(f"{workflow}/disable").status_code == 204
    assert admin.get(workflow).json()["state"] == "disabled_manually"
    assert admin.post(f"{workflow}/dispatches", {"ref": "main"}).status_code == 422
    assert admin.put(f"{workflow}/enable").status_code == 204
    assert admin.post(f"{workflow}/dispatches", {"ref": "main"}).status_code == 204


def test_workflow_is_found_by_id_and_file_name(admin: Client) -> None:
    (workflow,) = admin.get(f"{ACTIONS}/workflows").json()["workflows"]
    by_id = admin.get(f"{ACTIONS}/workflows/{workflow['id']}").json()
    assert by_id == admin.get(f"{ACTIONS}/workflows/ci.yml").json() == workflow
    assert admin.get(f"{ACTIONS}/workflows/nope.yml").status_code == 404


def test_workflow_lists_its_own_runs(sim: Simulator, admin: Client) -> None:
    sim.queue_jobs(JobOrder("acme/web", workflow="Nightly"))
    sim.queue_job()
    listed = admin.get(f"{ACTIONS}/workflows/nightly.yml/runs").json()["workflow_runs"]
    assert [run["name"] for run in listed] == ["Nightly"]


@pytest.mark.parametrize(
    "path_of",
    [
        lambda job: f"/repos/acme/api/actions/jobs/{job.id}",
        lambda job: f"/repos/acme/api/actions/runs/{job.run_id}",
        lambda job: f"/repos/acme/web/actions/runs/{job.id}",
    ],
)
def test_run_of_another_repository_is_not_found(
    sim: Simulator, admin: Client, path_of: Callable[[Any], str]
) -> None:
    assert admin.get(path_of(sim.queue_job())).status_code == 404


def test_pages_of_a_run_and_a_job_are_there_for_people(sim: Simulator, admin: Client) -> None:
    job = sim.queue_job()
    run = run_at(admin, job.run_id)
    assert "CI" in admin.session.get(run["html_url"], timeout=5).text
    page = admin.get(f"{ACTIONS}/jobs/{job.id}").json()["html_url"]
    assert "queued" in admin.session.get(page, timeout=5).text

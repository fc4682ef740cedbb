"""Which runner gets which job, and what becomes of a job."""

from typing import Any

import pytest
import requests

from runners.simulator import JobOrder, Simulator
from tests.simulator.client import Client
from tests.simulator.listener import jit_listener, persistent_listener, register
from tests.simulator.receiver import until


def job_at(admin: Client, job_id: int, repository: str = "acme/web") -> dict[str, Any]:
    return admin.get(f"/repos/{repository}/actions/jobs/{job_id}").json()


def test_job_goes_through_its_states(sim: Simulator, admin: Client) -> None:
    listener = jit_listener(admin)
    job_id = sim.queue_job(steps=["echo hi"]).id
    assert job_at(admin, job_id)["status"] == "queued"
    job = listener.take()
    running = job_at(admin, job_id)
    assert (running["status"], running["runner_name"]) == ("in_progress", "jit-1")
    listener.finish(job)
    done = job_at(admin, job_id)
    assert (done["status"], done["conclusion"]) == ("completed", "success")
    assert [step["name"] for step in done["steps"]] == ["echo hi"]


@pytest.mark.parametrize(
    ("labels", "served"),
    [
        (("self-hosted",), True),
        (("SELF-HOSTED", "Gpu"), True),
        (("self-hosted", "gpu", "x64"), False),
        ((), True),
    ],
)
def test_runner_needs_every_label_of_the_job(
    sim: Simulator, admin: Client, labels: tuple[str, ...], served: bool
) -> None:
    listener = jit_listener(admin, labels=("self-hosted", "gpu"))
    sim.queue_job(labels=labels)
    assert (listener.offered() is not None) == served


def test_oldest_matching_job_goes_first(sim: Simulator, admin: Client) -> None:
    sim.queue_job(labels=["other"])
    first = sim.queue_job(labels=["self-hosted"])
    sim.queue_job(labels=["gpu"])
    listener = jit_listener(admin, labels=("self-hosted", "gpu"))
    assert listener.take()["id"] == first.id


def test_waiting_poll_is_answered_as_soon_as_a_job_comes(sim: Simulator, admin: Client) -> None:
    listener = jit_listener(admin)
    sim.queue_job()
    assert listener.poll(wait=50).json()["type"] == "job"


def test_listener_that_hung_up_is_offered_nothing(sim: Simulator, admin: Client) -> None:
    killed, alive = jit_listener(admin, "killed"), jit_listener(admin, "alive")
    with pytest.raises(requests.ReadTimeout):
        killed.http.get(
            f"{sim.url}/_runner/messages",
            params={"session_id": killed.session_id, "wait": "50"},
            timeout=0.1,
        )
    job = sim.queue_job()
    assert alive.take()["id"] == job.id


def test_repository_runner_serves_its_repository_only(sim: Simulator, admin: Client) -> None:
    listener = jit_listener(admin, scope="repos/acme/web")
    sim.queue_job("acme/api")
    assert listener.offered() is None
    sim.queue_job("acme/web")
    assert listener.offered() is not None


def test_enterprise_runner_serves_the_repositories_of_its_organizations(
    sim: Simulator, admin: Client
) -> None:
    listener = jit_listener(admin, scope="enterprises/big-corp")
    sim.queue_job("acme/api")
    assert listener.offered() is not None


def test_job_may_ask_for_a_group(sim: Simulator, admin: Client) -> None:
    group = admin.post("/orgs/acme/actions/runner-groups", {"name": "GPU"}).json()
    outside = jit_listener(admin, "outside")
    inside = jit_listener(admin, "inside", group_id=group["id"])
    sim.queue_jobs(JobOrder("acme/web", group="gpu"))
    assert outside.offered() is None
    assert inside.offered() is not None


def test_ephemeral_runner_takes_one_job_and_is_deregistered(sim: Simulator, admin: Client) -> None:
    sim.queue_jobs(JobOrder("acme/web", count=2))
    listener = jit_listener(admin)
    listener.run_one()
    assert admin.get("/orgs/acme/actions/runners").json()["total_count"] == 0
    assert listener.poll().status_code == 404


def test_persistent_runner_takes_one_job_after_another(sim: Simulator, admin: Client) -> None:
    sim.queue_jobs(JobOrder("acme/web", count=3))
    listener = persistent_listener(admin)
    for _ in range(3):
        listener.run_one()
    assert admin.get("/orgs/acme/actions/runners").json()["total_count"] == 1


def test_offer_not_accepted_in_a_minute_goes_to_another(sim: Simulator, admin: Client) -> None:
    asleep, awake = jit_listener(admin, "asleep"), jit_listener(admin, "awake")
    job = sim.queue_job()
    assert asleep.offered() is not None
    sim.clock.advance(59)
    assert awake.offered() is None
    sim.clock.advance(2)
    assert awake.take()["id"] == job.id
    late = asleep.send(f"jobs/{job.id}/acquire", {"session_id": asleep.session_id})
    assert late.status_code == 409


def test_job_is_cancelled_after_a_day_in_the_queue(sim: Simulator, admin: Client) -> None:
    job = sim.queue_job(labels=["nobody"])
    sim.clock.advance(86399)
    assert job_at(admin, job.id)["status"] == "queued"
    sim.clock.advance(2)
    assert job_at(admin, job.id)["conclusion"] == "cancelled"
    listener = jit_listener(admin, labels=("nobody",))
    assert listener.offered() is None


def test_busy_runner_cannot_be_deleted(sim: Simulator, admin: Client) -> None:
    listener = persistent_listener(admin)
    sim.queue_job()
    job = listener.take()
    path = f"/orgs/acme/actions/runners/{listener.runner_id}"
    assert admin.get(path).json()["busy"] is True
    refused = admin.delete(path)
    assert refused.status_code == 422
    assert refused.json()["message"] == (
        "Bad request - Runner box-1 is currently running a job and cannot be deleted."
    )
    listener.finish(job)
    assert admin.get(path).json()["busy"] is False


def test_deleting_is_still_refused_some_seconds_after_the_job(
    sim: Simulator, admin: Client
) -> None:
    sim.queue_job()
    listener = persistent_listener(admin)
    listener.run_one()
    path = f"/orgs/acme/actions/runners/{listener.runner_id}"
    assert admin.delete(path).status_code == 422
    sim.clock.advance(4)
    assert admin.delete(path).status_code == 204


def test_replacing_a_busy_runner_is_refused(sim: Simulator, admin: Client) -> None:
    listener = persistent_listener(admin, "box")
    sim.queue_job()
    listener.take()
    assert register(admin, "box", replace=True).status_code == 422


def test_silent_runner_stays_busy_and_offline_until_its_lease_ends(
    sim: Simulator, admin: Client
) -> None:
    listener = persistent_listener(admin)
    job_id = sim.queue_job().id
    listener.take()
    sim.clock.advance(300)
    path = f"/orgs/acme/actions/runners/{listener.runner_id}"
    runner = admin.get(path).json()
    assert (runner["status"], runner["busy"]) == ("offline", True)
    sim.clock.advance(301)
    assert admin.get(path).json()["busy"] is False
    assert job_at(admin, job_id)["conclusion"] == "failure"
    assert "lost communication with the server" in sim.world.store.jobs[job_id].log[-1]


def test_renewing_keeps_the_lease(sim: Simulator, admin: Client) -> None:
    listener = persistent_listener(admin)
    job_id = sim.queue_job().id
    listener.take()
    for _ in range(3):
        sim.clock.advance(500)
        assert listener.send(f"jobs/{job_id}/renew", {}).json() == {"cancel": False}
    assert job_at(admin, job_id)["status"] == "in_progress"


def test_job_past_its_time_limit_is_told_to_stop(sim: Simulator, admin: Client) -> None:
    listener = persistent_listener(admin)
    (job,) = sim.queue_jobs(JobOrder("acme/web", timeout_minutes=5))
    listener.take()
    sim.clock.advance(301)
    assert listener.send(f"jobs/{job.id}/renew", {}).json() == {"cancel": True}


def test_strange_runner_cannot_report_on_a_job(sim: Simulator, admin: Client) -> None:
    owner, stranger = jit_listener(admin, "owner"), jit_listener(admin, "stranger")
    sim.queue_job()
    job = owner.take()
    assert stranger.finish(job).status_code == 404
    assert job_at(admin, job["id"])["status"] == "in_progress"


def test_runner_without_updates_is_starved_thirty_days_after_a_release(
    sim: Simulator, admin: Client
) -> None:
    pinned = persistent_listener(admin, "pinned", disable_update=True, version="2.335.0")
    pinned.close()
    pinned.open(version="2.335.0")
    sim.queue_job()
    assert pinned.offered() is None
    current = persistent_listener(admin, "current", disable_update=True)
    assert current.offered() is not None


def test_gated_job_waits_for_its_approval(sim: Simulator, admin: Client) -> None:
    listener = jit_listener(admin)
    (job,) = sim.queue_jobs(JobOrder("acme/web", environment="production"))
    assert job_at(admin, job.id)["status"] == "waiting"
    assert listener.offered() is None
    path = f"/repos/acme/web/actions/runs/{job.run_id}/pending_deployments"
    (pending,) = admin.get(path).json()
    review = {
        "environment_ids": [pending["environment"]["id"]],
        "state": "approved",
        "comment": "go",
    }
    assert admin.post(path, review).status_code == 200
    assert listener.offered() is not None


def test_log_of_a_finished_job_is_behind_a_short_lived_address(
    sim: Simulator, admin: Client
) -> None:
    job_id = sim.queue_job().id
    listener = jit_listener(admin)
    job = listener.take()
    logs = f"/repos/acme/web/actions/jobs/{job_id}/logs"
    assert admin.get(logs).status_code == 404
    listener.send(f"jobs/{job_id}/log", {"lines": ["hello", "world"]})
    listener.finish(job)
    address = admin.get(logs).headers["Location"]
    anonymous = Client(sim, base=sim.url)
    text = anonymous.session.get(address, timeout=5)
    assert [line.split(" ", 1)[1] for line in text.text.splitlines()] == ["hello", "world"]
    sim.clock.advance(61)
    assert anonymous.session.get(address, timeout=5).status_code == 403


def test_flood_of_log_lines_is_cut(sim: Simulator, admin: Client) -> None:
    job_id = sim.queue_job().id
    listener = jit_listener(admin)
    listener.take()
    for _ in range(3):
        listener.send(f"jobs/{job_id}/log", {"lines": ["y"] * 20_000})
    assert len(sim.world.store.jobs[job_id].log) == 50_000


def test_oldest_finished_runs_are_forgotten(sim: Simulator, admin: Client) -> None:
    sim.settings.runs_kept = 3
    listener = persistent_listener(admin)
    waiting = sim.queue_job(labels=["nobody"])
    for _ in range(4):
        sim.queue_job()
        listener.run_one()
    until(lambda: len(sim.world.store.runs) == 3)
    assert waiting.run_id in sim.world.store.runs

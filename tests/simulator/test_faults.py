"""Misbehaviour on command, one kind at a time, and that it stops when told."""

from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests

from runners.simulator import Fault, Simulator
from tests.simulator.client import Client
from tests.simulator.listener import jit_listener
from tests.simulator.receiver import Receiver, until
from tests.simulator.test_webhooks import hook_to

RUNNERS = "/orgs/acme/actions/runners"
TRANSPORT_ERRORS = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)


def order(sim: Simulator, **fault: Any) -> dict[str, Any]:
    made = requests.post(f"{sim.url}/_sim/faults", json=fault, timeout=5)
    assert made.status_code == 201, made.text
    return made.json()


@pytest.mark.parametrize("status", [401, 403, 404, 409, 422, 429, 500, 502, 503])
def test_answer_is_replaced_by_a_status(sim: Simulator, admin: Client, status: int) -> None:
    order(sim, kind="status", status=status, path="/actions/runners$", count=1)
    failed = admin.get(RUNNERS)
    assert failed.status_code == status
    assert failed.json()["status"] == str(status)
    assert admin.get(RUNNERS).status_code == 200


def test_fault_has_no_effect_on_the_state(sim: Simulator, admin: Client) -> None:
    order(sim, kind="status", status=500, method="POST", count=1)
    body = {"name": "r", "runner_group_id": 1, "labels": ["x"]}
    assert admin.post(f"{RUNNERS}/generate-jitconfig", body).status_code == 500
    assert admin.get(RUNNERS).json()["total_count"] == 0


def test_lost_response_comes_after_the_effect(sim: Simulator, admin: Client) -> None:
    order(sim, kind="lost_response", path="generate-jitconfig", count=1)
    body = {"name": "r", "runner_group_id": 1, "labels": ["x"]}
    with pytest.raises(requests.ConnectionError):
        admin.post(f"{RUNNERS}/generate-jitconfig", body)
    assert admin.get(RUNNERS).json()["total_count"] == 1
    assert admin.post(f"{RUNNERS}/generate-jitconfig", body).status_code == 409


def test_secondary_limit_says_how_long_to_wait(sim: Simulator, admin: Client) -> None:
    order(sim, kind="secondary_limit", seconds=7, status=429, count=1)
    refused = admin.get(RUNNERS)
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "7"
    assert "secondary rate limit" in refused.json()["message"]


def test_primary_limit_says_that_nothing_remains(sim: Simulator, admin: Client) -> None:
    order(sim, kind="primary_limit", count=1)
    refused = admin.get(RUNNERS)
    assert refused.status_code == 403
    assert refused.headers["X-RateLimit-Remaining"] == "0"


def test_closed_connection_sends_nothing(sim: Simulator, admin: Client) -> None:
    order(sim, kind="close", count=1)
    with pytest.raises(requests.ConnectionError):
        admin.get(RUNNERS)
    assert admin.get(RUNNERS).status_code == 200


def test_hanging_server_never_answers(sim: Simulator, admin: Client) -> None:
    order(sim, kind="hang", count=1)
    with pytest.raises(requests.ReadTimeout):
        admin.session.get(admin.base + RUNNERS, timeout=0.2)


def test_slow_answer_comes_in_the_end(sim: Simulator, admin: Client) -> None:
    order(sim, kind="slow", seconds=0.3, count=1)
    with pytest.raises(requests.ReadTimeout):
        admin.session.get(admin.base + RUNNERS, timeout=0.1)
    order(sim, kind="slow", seconds=0.1, count=1)
    assert admin.get(RUNNERS).status_code == 200


def test_truncated_body_breaks_off(sim: Simulator, admin: Client) -> None:
    order(sim, kind="truncate", count=1)
    with pytest.raises(TRANSPORT_ERRORS):
        admin.get(RUNNERS)


def test_empty_page_has_the_count_and_none_of_the_items(sim: Simulator, admin: Client) -> None:
    jit_listener(admin)
    order(sim, kind="empty_page", path="/actions/runners$", count=1)
    assert admin.get(RUNNERS).json() == {"total_count": 1, "runners": []}
    assert len(admin.get(RUNNERS).json()["runners"]) == 1


def test_skewed_clock_shows_in_the_date(sim: Simulator, admin: Client) -> None:
    order(sim, kind="clock_skew", seconds=-3600, count=1)
    shown = parsedate_to_datetime(admin.get(RUNNERS).headers["Date"])
    assert (sim.clock.now() - shown).total_seconds() == pytest.approx(3600, abs=1)


def test_probability_strikes_some_requests_and_spares_others(sim: Simulator, admin: Client) -> None:
    made = order(sim, kind="status", status=503, probability=0.5)
    answers = [admin.get("/user").status_code for _ in range(60)]
    assert {200, 503} == set(answers)
    (fault,) = requests.get(f"{sim.url}/_sim/faults", timeout=5).json()["faults"]
    assert (fault["id"], fault["hits"]) == (made["id"], answers.count(503))


def test_fault_is_meant_for_its_path_and_method_only(sim: Simulator, admin: Client) -> None:
    order(sim, kind="status", status=500, path=r"^/orgs/[^/]+/actions/runners$", method="GET")
    assert admin.get(RUNNERS).status_code == 500
    assert admin.get("/repos/acme/web/actions/runners").status_code == 200
    assert admin.post(f"{RUNNERS}/remove-token").status_code == 201


def test_lifted_fault_is_over(sim: Simulator, admin: Client) -> None:
    first = order(sim, kind="status", status=500, path="/user$")
    order(sim, kind="status", status=502, path="/zen$")
    faults = f"{sim.url}/_sim/faults"
    assert requests.delete(f"{faults}/{first['id']}", timeout=5).status_code == 204
    assert admin.get("/user").status_code == 200
    assert admin.get("/zen").status_code == 502
    assert requests.delete(faults, timeout=5).status_code == 204
    assert admin.get("/zen").status_code == 200


def test_fault_for_everything_spares_what_runners_talk(sim: Simulator, admin: Client) -> None:
    listener = jit_listener(admin)
    sim.add_fault(Fault("status", status=500))
    assert admin.get("/user").status_code == 500
    assert listener.poll().status_code == 202
    sim.add_fault(Fault("status", status=503, path="^/_runner/"))
    assert listener.poll().status_code == 503
    sim.clear_faults()
    assert listener.poll().status_code == 202


@pytest.mark.parametrize("wrong", [{}, {"kind": "boom"}, {"kind": "status", "path": "("}])
def test_fault_nobody_can_read_is_refused(sim: Simulator, wrong: dict[str, str]) -> None:
    assert requests.post(f"{sim.url}/_sim/faults", json=wrong, timeout=5).status_code == 422


def test_dropped_webhook_is_recorded_as_failed_and_can_be_redelivered(
    sim: Simulator, admin: Client, receiver: Receiver
) -> None:
    hook = hook_to(admin, receiver, events=["workflow_job"])
    order(sim, kind="webhook_drop", event="workflow_job.queued", count=1)
    sim.queue_job(name="lost")
    sim.queue_job(name="kept")
    (kept,) = receiver.wait_for("workflow_job.queued")
    assert kept.payload["workflow_job"]["name"] == "kept"
    path = f"/orgs/acme/hooks/{hook['id']}/deliveries"
    (failed,) = admin.get(path, params={"status": "failure"}).json()
    admin.post(f"{path}/{failed['id']}/attempts")
    again = receiver.wait_for("workflow_job.queued", 2)[1]
    assert again.payload["workflow_job"]["name"] == "lost"


def test_vanished_webhook_leaves_no_trace(
    sim: Simulator, admin: Client, receiver: Receiver
) -> None:
    hook = hook_to(admin, receiver, events=["workflow_job"])
    order(sim, kind="webhook_vanish", event="workflow_job", count=1)
    sim.queue_job()
    deliveries = admin.get(f"/orgs/acme/hooks/{hook['id']}/deliveries").json()
    assert [d["event"] for d in deliveries] == ["ping"]


def test_duplicated_webhook_comes_twice_with_one_guid(
    sim: Simulator, admin: Client, receiver: Receiver
) -> None:
    hook_to(admin, receiver, events=["workflow_job"])
    order(sim, kind="webhook_duplicate", event="queued", count=1)
    sim.queue_job()
    one, two = receiver.wait_for("workflow_job.queued", 2)
    assert one.headers["X-GitHub-Delivery"] == two.headers["X-GitHub-Delivery"]


def test_reordered_webhook_comes_after_its_successor(
    sim: Simulator, admin: Client, receiver: Receiver
) -> None:
    hook_to(admin, receiver, events=["workflow_job"])
    order(sim, kind="webhook_reorder", event="workflow_job.queued", count=1)
    sim.queue_job()
    jit_listener(admin).take()
    receiver.wait_for("workflow_job.queued")
    assert receiver.names() == ["ping", "workflow_job.in_progress", "workflow_job.queued"]


def test_reordered_webhook_without_a_successor_comes_anyway(
    sim: Simulator, admin: Client, receiver: Receiver
) -> None:
    hook_to(admin, receiver, events=["workflow_job"])
    order(sim, kind="webhook_reorder", count=1)
    sim.queue_job()
    sim.clock.advance(31)
    receiver.wait_for("workflow_job.queued")


def test_late_webhook_waits_for_the_clock(
    sim: Simulator, admin: Client, receiver: Receiver
) -> None:
    hook_to(admin, receiver, events=["workflow_job"])
    order(sim, kind="webhook_late", seconds=600, event="queued", count=1)
    sim.queue_job(name="late")
    sim.queue_job(name="punctual")
    (first,) = receiver.wait_for("workflow_job.queued")
    assert first.payload["workflow_job"]["name"] == "punctual"
    sim.clock.advance(601)
    assert len(receiver.wait_for("workflow_job.queued", 2)) == 2


def test_requests_are_logged_with_what_became_of_them(sim: Simulator, admin: Client) -> None:
    order(sim, kind="close", path="/zen", count=1)
    with pytest.raises(requests.ConnectionError):
        admin.get("/zen")
    admin.get("/user")
    until(lambda: len(sim.requests) == 3)
    assert [(r.method, r.path, r.status) for r in sim.requests[1:]] == [
        ("GET", "/zen", 0),
        ("GET", "/user", 200),
    ]

"""Webhooks: what is sent, that it is as GitHub describes it, and what is remembered of it."""

import hashlib
import hmac
import json
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from runners.simulator import JobOrder, Simulator
from tests.simulator.app import App
from tests.simulator.client import PAYLOADS, Client
from tests.simulator.listener import jit_listener, persistent_listener
from tests.simulator.receiver import Received, Receiver, until

SECRET = "It's a Secret to Everybody"
ALL_EVENTS = ["workflow_job", "workflow_run", "meta"]


@lru_cache
def schemas() -> dict[str, Any]:
    """GitHub's webhook schemas."""
    path = PAYLOADS / "webhooks" / "schema" / "official.json"
    return json.loads(path.read_text(encoding="utf-8"))


def check(delivery: Received) -> None:
    """Fails unless the payload is as GitHub describes this event and action."""
    name = delivery.name.replace("_", "-").replace(".", "-")
    reference = schemas()["x-webhooks"][name]
    validator = Draft202012Validator(
        {"$ref": reference, "$defs": schemas()["$defs"]}, format_checker=FormatChecker()
    )
    errors = [
        f"{list(e.absolute_path)}: {e.message}" for e in validator.iter_errors(delivery.payload)
    ]
    assert not errors, errors


def hook_to(
    client: Client, receiver: Receiver, scope: str = "orgs/acme", **wishes: Any
) -> dict[str, Any]:
    config = {"url": receiver.url, "content_type": "json", "secret": SECRET}
    body = {"name": "web", "config": config, "events": ALL_EVENTS} | wishes
    made = client.post(f"/{scope}/hooks", body)
    assert made.status_code == 201, made.text
    receiver.wait_for("ping")
    return made.json()


def test_payload_that_lacks_a_field_is_noticed(admin: Client, receiver: Receiver) -> None:
    hook_to(admin, receiver)
    broken = receiver.received[0].payload
    del broken["hook"]["events"]
    with pytest.raises(AssertionError, match="'events' is a required property"):
        check(Received({"X-GitHub-Event": "ping"}, json.dumps(broken).encode()))


@pytest.mark.parametrize("scope", ["orgs/acme", "repos/acme/web"])
def test_life_of_a_job_is_told_as_github_tells_it(
    sim: Simulator, admin: Client, receiver: Receiver, scope: str
) -> None:
    hook = hook_to(admin, receiver, scope)
    sim.queue_job()
    jit_listener(admin).run_one()
    receiver.wait_for("workflow_run.completed")
    admin.delete(f"/{scope}/hooks/{hook['id']}")
    receiver.wait_for("meta.deleted")
    assert receiver.names() == [
        "ping",
        "workflow_run.requested",
        "workflow_job.queued",
        "workflow_job.in_progress",
        "workflow_run.in_progress",
        "workflow_job.completed",
        "workflow_run.completed",
        "meta.deleted",
    ]
    for delivery in receiver.received:
        check(delivery)


def test_gated_job_is_queued_with_status_waiting_then_waiting_then_queued(
    sim: Simulator, admin: Client, receiver: Receiver
) -> None:
    hook_to(admin, receiver, events=["workflow_job"])
    (job,) = sim.queue_jobs(JobOrder("acme/web", environment="production"))
    path = f"/repos/acme/web/actions/runs/{job.run_id}/pending_deployments"
    (pending,) = admin.get(path).json()
    ids = [pending["environment"]["id"]]
    admin.post(path, {"environment_ids": ids, "state": "approved", "comment": "go"})
    receiver.wait_for("workflow_job.queued", 2)
    told = [(d.name, d.payload["workflow_job"]["status"]) for d in receiver.received[1:]]
    assert told == [
        ("workflow_job.queued", "waiting"),
        ("workflow_job.waiting", "waiting"),
        ("workflow_job.queued", "queued"),
    ]
    check(receiver.received[2])
    assert len({d.headers["X-GitHub-Delivery"] for d in receiver.received}) == 4


def test_rerun_tells_again_of_jobs_that_were_not_run(
    sim: Simulator, admin: Client, receiver: Receiver
) -> None:
    workflow = next(iter(sim.world.store.workflows.values()))
    workflow.jobs = [workflow.jobs[0], workflow.jobs[0]]
    admin.post("/repos/acme/web/actions/workflows/ci.yml/dispatches", {"ref": "main"})
    listener = persistent_listener(admin)
    listener.run_one()
    failed = listener.run_one("Failed")
    hook_to(admin, receiver, events=["workflow_job"])
    admin.post(f"/repos/acme/web/actions/runs/{failed['run_id']}/rerun-failed-jobs")
    (again,) = receiver.wait_for("workflow_job.completed")
    assert again.payload["workflow_job"]["run_attempt"] == 2
    assert again.payload["workflow_job"]["conclusion"] == "success"
    check(again)


def test_queued_job_names_no_runner(sim: Simulator, admin: Client, receiver: Receiver) -> None:
    hook_to(admin, receiver)
    sim.queue_job(labels=["self-hosted", "GPU"])
    (queued,) = receiver.wait_for("workflow_job.queued")
    job = queued.payload["workflow_job"]
    assert job["labels"] == ["self-hosted", "GPU"]
    assert (job["runner_id"], job["runner_name"]) == (None, None)
    assert job["started_at"] == job["created_at"]


def test_delivery_is_signed_and_named(sim: Simulator, admin: Client, receiver: Receiver) -> None:
    hook = hook_to(admin, receiver)
    (ping,) = receiver.wait_for("ping")
    digest = hmac.new(SECRET.encode(), ping.body, hashlib.sha256).hexdigest()
    assert ping.headers["X-Hub-Signature-256"] == f"sha256={digest}"
    assert ping.headers["X-Hub-Signature"].startswith("sha1=")
    assert ping.headers["X-GitHub-Hook-ID"] == str(hook["id"])
    assert ping.headers["X-GitHub-Hook-Installation-Target-Type"] == "organization"
    assert ping.headers["User-Agent"].startswith("GitHub-Hookshot/")
    assert len(ping.headers["X-GitHub-Delivery"]) == 36


def test_form_delivery_is_signed_as_the_form_it_is(
    sim: Simulator, admin: Client, receiver: Receiver
) -> None:
    config = {"url": receiver.url, "content_type": "form", "secret": SECRET}
    admin.post("/orgs/acme/hooks", {"name": "web", "config": config})
    until(lambda: bool(receiver.received))
    sent = receiver.received[0]
    digest = hmac.new(SECRET.encode(), sent.body, hashlib.sha256).hexdigest()
    assert sent.headers["X-Hub-Signature-256"] == f"sha256={digest}"
    assert "zen" in json.loads(parse_qs(sent.body.decode())["payload"][0])


def test_hook_without_a_secret_is_not_signed(admin: Client, receiver: Receiver) -> None:
    hook_to(admin, receiver, config={"url": receiver.url, "content_type": "json"})
    assert "X-Hub-Signature-256" not in receiver.received[0].headers


def test_one_event_has_one_guid_at_every_hook(
    sim: Simulator, admin: Client, receiver: Receiver
) -> None:
    hook_to(admin, receiver)
    hook_to(admin, receiver, "repos/acme/web")
    sim.queue_job()
    both = receiver.wait_for("workflow_job.queued", 2)
    assert len({d.headers["X-GitHub-Delivery"] for d in both}) == 1
    assert len({d.headers["X-GitHub-Hook-ID"] for d in both}) == 2


@pytest.mark.parametrize("change", [{"active": False}, {"events": ["push"]}])
def test_hook_hears_only_what_it_asked_for(
    sim: Simulator, admin: Client, receiver: Receiver, change: dict[str, Any]
) -> None:
    hook = hook_to(admin, receiver)
    admin.patch(f"/orgs/acme/hooks/{hook['id']}", change)
    sim.queue_job()
    admin.post(f"/orgs/acme/hooks/{hook['id']}/pings")
    receiver.wait_for("ping", 2)
    assert receiver.names() == ["ping", "ping"]


def test_repository_hook_does_not_hear_of_other_repositories(
    sim: Simulator, admin: Client, receiver: Receiver
) -> None:
    hook_to(admin, receiver, "repos/acme/web", events=["workflow_job"])
    sim.queue_job("acme/api")
    sim.queue_job("acme/web")
    (queued,) = receiver.wait_for("workflow_job.queued")
    assert queued.payload["repository"]["full_name"] == "acme/web"


def test_deliveries_are_remembered_newest_first(
    sim: Simulator, admin: Client, receiver: Receiver
) -> None:
    hook = hook_to(admin, receiver)
    sim.queue_job()
    receiver.wait_for("workflow_job.queued")
    path = f"/orgs/acme/hooks/{hook['id']}/deliveries"
    until(lambda: all(d["status"] == "OK" for d in admin.get(path).json()))
    listed = admin.get(path).json()
    assert [d["event"] for d in listed] == ["workflow_job", "workflow_run", "ping"]
    detail = admin.get(f"{path}/{listed[0]['id']}").json()
    assert detail["request"]["payload"]["action"] == "queued"
    assert detail["request"]["headers"]["X-GitHub-Event"] == "workflow_job"
    assert detail["response"]["payload"] == "ok"


def test_deliveries_are_paged_by_cursor(admin: Client, receiver: Receiver) -> None:
    hook = hook_to(admin, receiver)
    for _ in range(4):
        admin.post(f"/orgs/acme/hooks/{hook['id']}/pings")
    path = f"/orgs/acme/hooks/{hook['id']}/deliveries"
    seen, url = [], f"{path}?per_page=2"
    while url:
        page = admin.get(url)
        seen += [d["id"] for d in page.json()]
        url = page.links.get("next", {}).get("url", "").removeprefix(admin.base)
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == 5
    assert admin.get(f"{path}?cursor=nonsense").status_code == 400


def test_failed_delivery_is_redelivered_with_its_guid(
    sim: Simulator, admin: Client, receiver: Receiver
) -> None:
    hook = hook_to(admin, receiver, events=["workflow_job"])
    path = f"/orgs/acme/hooks/{hook['id']}/deliveries"
    receiver.status = 500
    sim.queue_job()
    failures = {"status": "failure"}
    until(lambda: admin.get(path, params=failures).json() != [])
    (failed,) = admin.get(path, params=failures).json()
    assert failed["status_code"] == 500
    receiver.status = 200
    assert admin.post(f"{path}/{failed['id']}/attempts").status_code == 202
    first, second = receiver.wait_for("workflow_job.queued", 2)
    assert first.body == second.body
    assert first.headers["X-GitHub-Delivery"] == second.headers["X-GitHub-Delivery"]
    newest = admin.get(path).json()[0]
    assert (newest["redelivery"], newest["guid"]) == (True, failed["guid"])


def test_old_deliveries_are_forgotten(sim: Simulator, admin: Client, receiver: Receiver) -> None:
    hook = hook_to(admin, receiver)
    path = f"/orgs/acme/hooks/{hook['id']}"
    sim.clock.advance(3 * 86400 + 1)
    admin.post(f"{path}/pings")
    assert len(admin.get(f"{path}/deliveries").json()) == 1


def test_receiver_that_is_away_is_recorded_as_a_failure(admin: Client) -> None:
    config = {"url": "http://127.0.0.1:9/", "content_type": "json"}
    hook = admin.post("/orgs/acme/hooks", {"name": "web", "config": config}).json()
    path = f"/orgs/acme/hooks/{hook['id']}/deliveries"
    until(lambda: admin.get(path).json()[0]["status"] == "failed to connect to host")


def test_webhooks_do_not_leave_this_machine(admin: Client) -> None:
    config = {"url": "http://192.0.2.1/", "content_type": "json"}
    hook = admin.post("/orgs/acme/hooks", {"name": "web", "config": config}).json()
    path = f"/orgs/acme/hooks/{hook['id']}/deliveries"
    until(lambda: admin.get(path).json()[0]["status"] == "failed to connect to host")


@pytest.mark.parametrize(
    "body",
    [
        {"name": "web"},
        {"name": "email", "config": {"url": "http://127.0.0.1/"}},
        {"name": "web", "config": {"url": "ftp://127.0.0.1/"}},
        {"name": "web", "config": {"url": "nonsense"}},
        {"name": "web", "config": {"url": "http://127.0.0.1/", "content_type": "xml"}},
        {"name": "web", "config": {"url": "http://127.0.0.1/", "insecure_ssl": "2"}},
    ],
)
def test_hook_that_github_refuses_is_422(admin: Client, body: dict[str, Any]) -> None:
    assert admin.post("/orgs/acme/hooks", body).status_code == 422
    assert admin.get("/orgs/acme/hooks").json() == []


def test_same_hook_twice_is_refused(admin: Client, receiver: Receiver) -> None:
    hook_to(admin, receiver)
    body = {"name": "web", "config": {"url": receiver.url}, "events": ["workflow_job"]}
    assert admin.post("/orgs/acme/hooks", body).status_code == 422


def test_more_than_twenty_hooks_for_an_event_are_refused(sim: Simulator, admin: Client) -> None:
    sim.settings.limits.hooks_per_event = 2
    answers = [
        admin.post(
            "/orgs/acme/hooks", {"name": "web", "config": {"url": f"http://127.0.0.1:9/{n}"}}
        )
        for n in range(3)
    ]
    assert [a.status_code for a in answers] == [201, 201, 422]


def test_secret_is_never_shown(admin: Client, receiver: Receiver) -> None:
    hook = hook_to(admin, receiver)
    path = f"/orgs/acme/hooks/{hook['id']}"
    shown = [hook["config"], admin.get(path).json()["config"], admin.get(f"{path}/config").json()]
    assert [config["secret"] for config in shown] == ["********"] * 3


def test_configuration_is_changed_in_parts(admin: Client, receiver: Receiver) -> None:
    hook = hook_to(admin, receiver)
    path = f"/orgs/acme/hooks/{hook['id']}/config"
    changed = admin.patch(path, {"content_type": "form"}).json()
    assert (changed["content_type"], changed["url"]) == ("form", receiver.url)
    assert "secret" in changed


def test_new_configuration_without_a_secret_drops_it(admin: Client, receiver: Receiver) -> None:
    hook = hook_to(admin, receiver)
    changed = admin.patch(
        f"/orgs/acme/hooks/{hook['id']}", {"config": {"url": receiver.url, "content_type": "json"}}
    )
    assert "secret" not in changed.json()["config"]


def test_hook_remembers_its_last_response(admin: Client, receiver: Receiver) -> None:
    hook = hook_to(admin, receiver, "repos/acme/web")
    path = f"/repos/acme/web/hooks/{hook['id']}"
    until(lambda: admin.get(path).json()["last_response"]["code"] == 200)
    assert admin.post(f"{path}/tests").status_code == 204


@pytest.fixture
def app(sim: Simulator, receiver: Receiver) -> App:
    return App(sim, {"hook_url": receiver.url, "hook_secret": SECRET})


def test_app_hears_of_its_installation(app: App, receiver: Receiver) -> None:
    (created,) = receiver.wait_for("installation.created")
    assert created.headers["X-GitHub-Hook-Installation-Target-Type"] == "integration"
    suspended = f"/app/installations/{app.installation_id}/suspended"
    app.client().put(suspended)
    app.client().delete(suspended)
    app.client().delete(f"/app/installations/{app.installation_id}")
    receiver.wait_for("installation.deleted")
    assert receiver.names() == [
        "installation.created",
        "installation.suspend",
        "installation.unsuspend",
        "installation.deleted",
    ]
    for delivery in receiver.received:
        check(delivery)


def test_app_hears_of_jobs_where_it_is_installed(
    sim: Simulator, app: App, receiver: Receiver
) -> None:
    sim.queue_job()
    (queued,) = receiver.wait_for("workflow_job.queued")
    assert queued.payload["installation"]["id"] == app.installation_id
    check(queued)


def test_app_lists_and_repeats_its_deliveries(app: App, receiver: Receiver) -> None:
    receiver.wait_for("installation.created")
    (delivery,) = app.client().get("/app/hook/deliveries").json()
    path = f"/app/hook/deliveries/{delivery['id']}"
    assert app.client().get(path).json()["event"] == "installation"
    assert app.client().post(f"{path}/attempts").status_code == 202
    receiver.wait_for("installation.created", 2)


def test_app_changes_its_hook(app: App) -> None:
    changed = app.client().patch("/app/hook/config", {"content_type": "form"}).json()
    assert changed == app.client().get("/app/hook/config").json()
    assert changed["content_type"] == "form"

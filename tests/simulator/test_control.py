"""The control API, and what keeps a long demonstration going."""

from collections.abc import Callable

import pytest
import requests

from runners.simulator import Simulator
from tests.simulator.client import Client
from tests.simulator.listener import jit_listener


@pytest.fixture
def control(sim: Simulator) -> Callable[..., requests.Response]:
    """Call the control API."""

    def call(method: str, path: str, body: object = None) -> requests.Response:
        return requests.request(method, f"{sim.url}/_sim{path}", json=body, timeout=5)

    return call


Control = Callable[..., requests.Response]


def test_jobs_are_queued_as_ordered(control: Control, admin: Client) -> None:
    order = {
        "repository": "acme/api",
        "count": 3,
        "name": "e2e",
        "workflow": "Nightly",
        "labels": ["gpu"],
        "steps": ["echo one", "echo two"],
        "duration_seconds": 2.5,
        "env": {"KEY": "value"},
        "misbehave": "crash",
        "branch": "dev",
    }
    made = control("POST", "/jobs", order)
    assert made.status_code == 201
    assert [job["name"] for job in made.json()["jobs"]] == ["e2e"] * 3
    message = jit_listener(admin, labels=("gpu",)).take()
    assert [step["run"] for step in message["steps"]] == ["echo one", "echo two", "sleep 2.5"]
    assert message["env"] == {"KEY": "value"}
    assert message["misbehave"] == "crash"
    assert message["repository"] == "acme/api"
    assert message["workflow_name"] == "Nightly"
    assert message["ref"] == "refs/heads/dev"


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"repository": "acme/nothing"},
        {"repository": "acme/web", "count": 0},
        {"repository": "acme/web", "labels": "gpu"},
        {"repository": "acme/web", "env": {"KEY": 1}},
    ],
)
def test_order_nobody_can_fill_is_refused(control: Control, wrong: dict[str, object]) -> None:
    assert control("POST", "/jobs", wrong).status_code == 422


def test_state_shows_what_there_is(sim: Simulator, control: Control, admin: Client) -> None:
    sim.queue_job(labels=["nobody"])
    sim.queue_job()
    jit_listener(admin).take()
    state = control("GET", "/state").json()
    assert state["jobs"] == {"queued": 1, "in_progress": 1}
    assert state["queued"] == 1
    assert [(r["scope"], r["status"], r["busy"]) for r in state["runners"]] == [
        ("orgs/acme", "online", True)
    ]


def test_log_of_a_running_job_can_be_read(sim: Simulator, control: Control, admin: Client) -> None:
    job = sim.queue_job()
    listener = jit_listener(admin)
    listener.take()
    listener.send(f"jobs/{job.id}/log", {"lines": ["one", "two"]})
    assert control("GET", f"/jobs/{job.id}/log").text == "one\ntwo"
    assert control("GET", "/jobs/1/log").status_code == 422


def test_jobs_are_listed_by_status(sim: Simulator, control: Control, admin: Client) -> None:
    sim.queue_job(name="a")
    sim.queue_job(name="b")
    jit_listener(admin).run_one()
    done = control("GET", "/jobs?status=completed").json()
    assert [job["name"] for job in done["jobs"]] == ["a"]


def test_ten_thousand_runners_fit_and_show_as_online(control: Control, admin: Client) -> None:
    order = {"scope": "orgs/acme", "count": 10_000, "labels": ["self-hosted"], "prefix": "many"}
    assert len(control("POST", "/runners", order).json()["runner_ids"]) == 10_000
    last = admin.get("/orgs/acme/actions/runners", params={"per_page": 100, "page": 100}).json()
    assert last["total_count"] == 10_000
    assert {r["status"] for r in last["runners"]} == {"online"}
    name = last["runners"][99]["name"]
    found = admin.get("/orgs/acme/actions/runners", params={"name": name}).json()
    assert [r["name"] for r in found["runners"]] == [name]


def test_runners_without_processes_take_no_jobs(sim: Simulator, control: Control) -> None:
    control("POST", "/runners", {"scope": "orgs/acme"})
    sim.queue_job()
    assert control("GET", "/state").json()["queued"] == 1
    assert control("POST", "/runners", {"scope": "orgs/nobody"}).status_code == 422


def test_settings_are_changed_by_name(sim: Simulator, control: Control, admin: Client) -> None:
    change = {"timings": {"queue_limit_seconds": 5}, "limits": {"user_per_hour": 100}}
    answer = control("PATCH", "/settings", change).json()
    assert answer["timings"]["queue_limit_seconds"] == 5
    assert admin.get("/user").headers["X-RateLimit-Limit"] == "100"
    job = sim.queue_job(labels=["nobody"])
    sim.clock.advance(6)
    assert sim.world.store.jobs[job.id].conclusion == "cancelled"
    assert control("PATCH", "/settings", {"timings": {"nonsense": 1}}).status_code == 422


def test_tokens_of_any_kind_are_minted(sim: Simulator, control: Control) -> None:
    kinds = {"classic": "ghp_", "fine_grained": "github_pat_"}
    for kind, prefix in kinds.items():
        token = control("POST", "/tokens", {"kind": kind}).json()["token"]
        assert token.startswith(prefix)
        assert Client(sim, token).get("/user").status_code == 200
    assert control("POST", "/tokens", {"kind": "magic"}).status_code == 422


def test_app_and_its_installation_token_are_made(sim: Simulator, control: Control) -> None:
    app = control("POST", "/apps", {"account": "acme"}).json()
    order = {"kind": "installation", "installation_id": app["installation_id"]}
    token = control("POST", "/tokens", order).json()["token"]
    assert Client(sim, token).get("/installation/repositories").status_code == 200
    assert control("POST", "/apps", {"account": "nobody"}).status_code == 422


def test_repositories_and_organizations_are_added(control: Control, admin: Client) -> None:
    assert control("PATCH", "/organizations/umbrella", {}).status_code == 204
    order = {"full_name": "umbrella/lab", "private": False}
    assert control("POST", "/repositories", order).status_code == 201
    assert admin.get("/repos/umbrella/lab").json()["visibility"] == "public"
    assert control("POST", "/repositories", order).status_code == 422


def test_traffic_queues_jobs_at_about_its_rate(sim: Simulator, control: Control) -> None:
    sim.settings.timings.queue_limit_seconds = 30
    answer = control("POST", "/traffic", {"jobs_per_minute": 30}).json()
    assert answer == {"jobs_per_minute": 30.0, "queued_count": 0}
    for _ in range(600):
        sim.clock.advance(1)
    queued = control("GET", "/traffic").json()["queued_count"]
    assert 200 < queued < 400
    names = {job.template.name for job in sim.world.store.jobs.values()}
    assert len(names) > 4


def test_traffic_stops_when_nobody_serves_it(sim: Simulator) -> None:
    sim.set_traffic(600)
    for _ in range(60):
        sim.clock.advance(1)
    assert len(sim.world.queue) == 40


def test_stopped_traffic_queues_nothing_more(sim: Simulator) -> None:
    sim.set_traffic(60)
    sim.set_traffic(0)
    sim.clock.advance(600)
    assert sim.world.store.jobs == {}


def test_installing_an_app_goes_back_to_where_it_says(sim: Simulator, control: Control) -> None:
    app = control("POST", "/apps", {"account": "acme", "name": "My Fleet"}).json()
    url = f"{sim.url}/apps/{app['slug']}/installations/new"
    assert "My Fleet is installed on acme" in requests.get(url, timeout=5).text
    next(iter(sim.world.store.apps.values())).setup_url = "http://127.0.0.1:1/done"
    back = requests.get(url, allow_redirects=False, timeout=5).headers["Location"]
    assert back.startswith("http://127.0.0.1:1/done?installation_id=")

"""Hourly budgets, secondary limits, and what does not count."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from runners.simulator import Fault, Settings, Simulator
from runners.simulator.settings import NO_LIMITS
from tests.simulator.app import App
from tests.simulator.client import Client
from tests.simulator.receiver import until

MakeClient = Callable[..., Client]


def remaining(client: Client) -> int:
    return int(client.get("/user/orgs").headers["X-RateLimit-Remaining"])


def test_every_answer_counts_the_budget_down(admin: Client) -> None:
    first = admin.get("/user").headers
    assert first["X-RateLimit-Limit"] == "5000"
    assert first["X-RateLimit-Resource"] == "core"
    assert int(first["X-RateLimit-Remaining"]) - remaining(admin) == 1


def test_refusals_count_too(admin: Client) -> None:
    before = remaining(admin)
    assert admin.get("/orgs/nobody/actions/runners").status_code == 404
    assert before - remaining(admin) == 2


def test_asking_for_the_budget_is_free(admin: Client) -> None:
    before = remaining(admin)
    budget = admin.get("/rate_limit").json()
    assert budget["resources"]["core"]["remaining"] == before
    assert budget["rate"] == budget["resources"]["core"]
    assert "actions_runner_registration" in budget["resources"]
    assert before - remaining(admin) == 1


def test_newer_api_version_has_no_rate_beside_the_resources(admin: Client) -> None:
    headers = {"X-GitHub-Api-Version": "2026-03-10"}
    assert "rate" not in admin.session.get(admin.base + "/rate_limit", headers=headers).json()


def test_spent_budget_is_403_for_the_hour(sim: Simulator, client_with: MakeClient) -> None:
    sim.settings.limits.user_per_hour = 2
    client = client_with("classic")
    assert [client.get("/user").status_code for _ in range(3)] == [200, 200, 403]
    refused = client.get("/user")
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    assert "API rate limit exceeded" in refused.json()["message"]
    assert int(refused.headers["X-RateLimit-Reset"]) <= int(sim.clock.time()) + 3600
    sim.clock.advance(3601)
    assert client.get("/user").status_code == 200


def test_all_tokens_of_a_person_share_one_budget(sim: Simulator, client_with: MakeClient) -> None:
    one, two = client_with("classic"), client_with("classic")
    assert remaining(one) - remaining(two) == 1


def test_installation_has_a_budget_of_its_own(sim: Simulator, admin: Client) -> None:
    client = App(sim).access()
    before = remaining(admin)
    client.get("/installation/repositories")
    assert before - remaining(admin) == 1


def test_anonymous_caller_has_sixty(sim: Simulator) -> None:
    assert Client(sim).get("/zen").headers["X-RateLimit-Limit"] == "60"


def test_unchanged_answer_is_304_and_free(admin: Client) -> None:
    path = "/orgs/acme/actions/runners"
    etag = admin.get(path).headers["ETag"]
    before = remaining(admin)
    again = admin.get(path, headers={"If-None-Match": etag})
    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["ETag"] == etag
    assert before - remaining(admin) == 1


def test_changed_answer_is_sent_again(sim: Simulator, admin: Client) -> None:
    path = "/orgs/acme/actions/runners"
    etag = admin.get(path).headers["ETag"]
    body = {"name": "r", "runner_group_id": 1, "labels": ["x"]}
    admin.post(f"{path}/generate-jitconfig", body)
    assert admin.get(path, headers={"If-None-Match": etag}).status_code == 200


def test_burst_on_one_endpoint_is_a_secondary_limit(sim: Simulator, admin: Client) -> None:
    sim.settings.limits.points_per_minute_per_endpoint = 12
    path = "/orgs/acme/actions/runners/registration-token"
    assert [admin.post(path).status_code for _ in range(3)] == [201, 201, 403]
    refused = admin.post(path)
    assert refused.headers["Retry-After"] == "60"
    assert "secondary rate limit" in refused.json()["message"]
    assert admin.get("/orgs/acme/actions/runners").status_code == 200
    sim.clock.advance(61)
    assert admin.post(path).status_code == 201


def test_creating_content_has_a_limit_of_its_own(sim: Simulator, admin: Client) -> None:
    sim.settings.limits.content_per_minute = 2
    path = "/repos/acme/web/actions/workflows/ci.yml/dispatches"
    answers = [admin.post(path, {"ref": "main"}).status_code for _ in range(3)]
    assert answers == [204, 204, 403]
    sim.clock.advance(61)
    sim.settings.limits.content_per_hour = 2
    assert admin.post(path, {"ref": "main"}).status_code == 403


def test_limits_can_be_switched_off() -> None:
    with Simulator(settings=Settings(limits=NO_LIMITS)) as sim:
        answer = Client(sim, sim.token).get("/user")
        assert "X-RateLimit-Limit" not in answer.headers


def test_enterprise_server_has_no_limits_and_says_its_version() -> None:
    with Simulator(settings=Settings(ghes_version="3.17.0")) as sim:
        client = Client(sim, sim.token)
        meta = client.get("/meta")
        assert meta.json()["installed_version"] == "3.17.0"
        assert meta.headers["X-GitHub-Enterprise-Version"] == "3.17.0"
        assert client.get("/rate_limit").status_code == 404
        assert client.get("/versions").status_code == 404
        assert client.get("/orgs/acme/actions/runners/deprecations/2.336.0").status_code == 404


def test_too_many_requests_at_once_are_a_secondary_limit(sim: Simulator) -> None:
    sim.settings.limits.concurrent_requests = 2
    sim.add_fault(Fault("slow", path="/zen", seconds=1))
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(Client(sim, sim.token).get, "/zen") for _ in range(3)]
        until(lambda: sim.faults.listed()[0].hits == 3)
        answers = sorted(each.result().status_code for each in asked)
    assert answers == [200, 200, 403]

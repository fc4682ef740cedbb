"""Registration and removal as ``config.sh`` does them."""

from datetime import UTC, datetime, timedelta

import pytest
import requests

from runners.simulator import Simulator
from tests.simulator.client import Client
from tests.simulator.listener import Listener, persistent_listener, register, register_with

SCOPES = ["orgs/acme", "repos/acme/web", "enterprises/big-corp"]


@pytest.mark.parametrize("scope", SCOPES)
def test_token_registers_many_runners_until_it_expires(
    sim: Simulator, admin: Client, scope: str
) -> None:
    answer = admin.post(f"/{scope}/actions/runners/registration-token").json()
    assert register_with(sim, answer["token"], "a", scope).status_code == 201
    sim.clock.advance(3599)
    assert register_with(sim, answer["token"], "b", scope).status_code == 201
    sim.clock.advance(2)
    assert register_with(sim, answer["token"], "c", scope).status_code == 401


def test_token_says_when_it_expires(sim: Simulator, admin: Client) -> None:
    sim.clock.set(datetime(2026, 11, 23, 12, tzinfo=UTC))
    answer = admin.post("/orgs/acme/actions/runners/registration-token").json()
    assert answer["expires_at"] == "2026-11-23T13:00:00Z"


def test_token_is_good_for_its_own_scope_only(sim: Simulator, admin: Client) -> None:
    token = admin.post("/orgs/acme/actions/runners/registration-token").json()["token"]
    assert register_with(sim, token, "a", "repos/acme/web").status_code == 404


def test_remove_token_does_not_register(sim: Simulator, admin: Client) -> None:
    token = admin.post("/orgs/acme/actions/runners/remove-token").json()["token"]
    assert register_with(sim, token, "a", "orgs/acme").status_code == 401


def test_registration_token_is_no_api_token(sim: Simulator, admin: Client) -> None:
    token = admin.post("/orgs/acme/actions/runners/registration-token").json()["token"]
    assert Client(sim, token).get("/user").status_code == 401


def test_name_taken_is_a_conflict(admin: Client) -> None:
    register(admin, "box")
    refused = register(admin, "box")
    assert refused.status_code == 409
    assert refused.json()["message"] == "A runner exists with the same name"


def test_replacing_overwrites_labels_and_ends_the_old_registration(admin: Client) -> None:
    old = persistent_listener(admin, "box", labels=["old"])
    assert register(admin, "box", labels=["new"], replace=True).status_code == 201
    (runner,) = admin.get("/orgs/acme/actions/runners").json()["runners"]
    assert [each["name"] for each in runner["labels"]][3:] == ["new"]
    assert old.poll().status_code == 404


def test_labels_without_the_default_ones(admin: Client) -> None:
    register(admin, labels=["riscv64"], no_default_labels=True)
    (runner,) = admin.get("/orgs/acme/actions/runners").json()["runners"]
    assert [each["name"] for each in runner["labels"]] == ["riscv64"]


def test_version_below_the_minimum_is_refused(admin: Client) -> None:
    refused = register(admin, version="2.328.0")
    assert refused.status_code == 403
    assert "is out of date and can no longer register with GitHub" in refused.json()["message"]


def test_version_past_its_registration_date_is_refused(sim: Simulator, admin: Client) -> None:
    ends = (sim.clock.now() + timedelta(days=1)).isoformat()
    release = {"version": "2.334.0", "registration_deprecates_at": ends}
    assert requests.post(f"{sim.url}/_sim/releases", json=release, timeout=5).status_code == 201
    assert register(admin, "a", version="2.334.0").status_code == 201
    sim.clock.advance(86401)
    assert register(admin, "b", version="2.334.0").status_code == 403


def test_unknown_group_is_refused(admin: Client) -> None:
    assert register(admin, runner_group="Nope").status_code == 404


def test_runner_joins_the_group_it_names(admin: Client) -> None:
    group = admin.post("/orgs/acme/actions/runner-groups", {"name": "GPU"}).json()
    made = register(admin, runner_group="gpu").json()
    assert made["pool_id"] == group["id"]


def test_remove_token_removes_a_runner(sim: Simulator, admin: Client) -> None:
    runner_id = register(admin).json()["runner_id"]
    token = admin.post("/orgs/acme/actions/runners/remove-token").json()["token"]
    assert _remove(sim, token, runner_id).status_code == 200
    assert admin.get("/orgs/acme/actions/runners").json()["total_count"] == 0
    assert _remove(sim, token, runner_id).status_code == 404


def _remove(sim: Simulator, token: str, runner_id: int) -> requests.Response:
    return requests.post(
        f"{sim.api_url}/actions/runner-registration",
        json={"url": f"{sim.url}/acme", "runner_event": "remove", "runner_id": runner_id},
        headers={"Authorization": f"RemoteAuth {token}"},
        timeout=5,
    )


def test_absent_runner_is_removed_after_fourteen_days(sim: Simulator, admin: Client) -> None:
    register(admin)
    sim.clock.advance(14 * 86400 - 1)
    assert admin.get("/orgs/acme/actions/runners").json()["total_count"] == 1
    sim.clock.advance(2)
    assert admin.get("/orgs/acme/actions/runners").json()["total_count"] == 0


def test_absent_ephemeral_runner_is_removed_after_a_day(sim: Simulator, admin: Client) -> None:
    register(admin, ephemeral=True)
    sim.clock.advance(86401)
    assert admin.get("/orgs/acme/actions/runners").json()["total_count"] == 0


def test_connecting_starts_the_fourteen_days_anew(sim: Simulator, admin: Client) -> None:
    listener = persistent_listener(admin)
    sim.clock.advance(13 * 86400)
    assert listener.poll().status_code == 202
    sim.clock.advance(13 * 86400)
    assert admin.get("/orgs/acme/actions/runners").json()["total_count"] == 1
    sim.clock.advance(86401)
    assert admin.get("/orgs/acme/actions/runners").json()["total_count"] == 0


def test_registrations_are_limited_per_scope(sim: Simulator, admin: Client) -> None:
    sim.settings.limits.registrations_per_five_minutes = 2
    answers = [register(admin, f"r{n}").status_code for n in range(3)]
    assert answers == [201, 201, 403]
    assert register(admin, "other", scope="repos/acme/web").status_code == 201
    sim.clock.advance(301)
    assert register(admin, "later").status_code == 201


def test_session_makes_a_runner_online_until_it_falls_silent(sim: Simulator, admin: Client) -> None:
    listener = persistent_listener(admin)
    assert _status(admin) == "online"
    sim.clock.advance(61)
    assert _status(admin) == "offline"
    listener.poll()
    assert _status(admin) == "online"
    listener.close()
    assert _status(admin) == "offline"


def _status(admin: Client) -> str:
    (runner,) = admin.get("/orgs/acme/actions/runners").json()["runners"]
    return str(runner["status"])


def test_second_session_is_a_conflict_while_the_first_lives(sim: Simulator, admin: Client) -> None:
    first = persistent_listener(admin)
    secret = str(first.http.headers["Authorization"]).removeprefix("Bearer ")
    second = Listener(sim, first.runner_id, secret)
    assert second.open().status_code == 409
    sim.clock.advance(61)
    assert second.open().status_code == 201
    assert first.poll().status_code == 401


def test_session_fills_in_version_and_system(admin: Client) -> None:
    persistent_listener(admin)
    (runner,) = admin.get("/orgs/acme/actions/runners").json()["runners"]
    assert (runner["version"], runner["os"]) == ("2.336.0", "Linux")


def test_version_past_its_end_gets_no_session_and_no_message(sim: Simulator, admin: Client) -> None:
    listener = persistent_listener(admin)
    sim.world.store.releases["2.336.0"].runtime_deprecates_at = sim.clock.time()
    answer = listener.poll()
    assert answer.status_code == 403
    assert answer.json()["message"] == (
        "Runner version v2.336.0 is deprecated and cannot receive messages."
    )
    listener.close()
    assert listener.open().status_code == 403


def test_idle_jit_runner_is_removed_where_that_is_switched_on(
    sim: Simulator, admin: Client
) -> None:
    sim.settings.timings.jit_idle_removal_seconds = 300
    listener = persistent_listener(admin, "stays", ephemeral=True)
    body = {"name": "goes", "runner_group_id": 1, "labels": ["x"]}
    made = admin.post("/orgs/acme/actions/runners/generate-jitconfig", body).json()["runner"]
    runner = sim.world.store.runners[made["id"]]
    idle = Listener(sim, runner.id, runner.secret)
    idle.open()
    sim.clock.advance(301)
    assert idle.poll().status_code == 404
    assert listener.poll().status_code == 202

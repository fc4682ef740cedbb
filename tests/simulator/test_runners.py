"""Runners over the API, at every scope."""

import pytest

from runners.simulator import Simulator
from tests.simulator.client import Client
from tests.simulator.listener import jit_listener, register

SCOPES = ["orgs/acme", "repos/acme/web", "enterprises/big-corp"]


@pytest.mark.parametrize("scope", SCOPES)
def test_jit_runner_exists_at_once_and_is_offline(admin: Client, scope: str) -> None:
    body = {"name": "r1", "runner_group_id": 1, "labels": ["self-hosted", "gpu"]}
    made = admin.post(f"/{scope}/actions/runners/generate-jitconfig", body)
    assert made.status_code == 201
    (listed,) = admin.get(f"/{scope}/actions/runners").json()["runners"]
    assert listed == made.json()["runner"]
    assert (listed["status"], listed["busy"], listed["os"]) == ("offline", False, "unknown")
    assert listed["version"] is None


@pytest.mark.parametrize("scope", SCOPES)
def test_deleted_runner_is_gone(admin: Client, scope: str) -> None:
    runner_id = register(admin, scope=scope).json()["runner_id"]
    assert admin.delete(f"/{scope}/actions/runners/{runner_id}").status_code == 204
    assert admin.get(f"/{scope}/actions/runners/{runner_id}").status_code == 404
    assert admin.delete(f"/{scope}/actions/runners/{runner_id}").status_code == 404


def test_runner_of_another_scope_is_not_found(admin: Client) -> None:
    runner_id = register(admin, scope="repos/acme/web").json()["runner_id"]
    assert admin.get(f"/orgs/acme/actions/runners/{runner_id}").status_code == 404
    assert admin.get(f"/repos/acme/api/actions/runners/{runner_id}").status_code == 404


def test_jit_name_taken_is_a_conflict_in_any_case_of_letters(admin: Client) -> None:
    register(admin, "Builder")
    body = {"name": "builder", "runner_group_id": 1, "labels": ["x"]}
    refused = admin.post("/orgs/acme/actions/runners/generate-jitconfig", body)
    assert refused.status_code == 409
    assert refused.json()["message"] == (
        "Already exists - A runner with the name builder already exists."
    )


def test_the_same_name_is_free_in_another_scope(admin: Client) -> None:
    register(admin, "builder", scope="repos/acme/web")
    assert register(admin, "builder", scope="repos/acme/api").status_code == 201


def test_jit_labels_are_exactly_those_passed(admin: Client) -> None:
    jit_listener(admin, "r1", ("gpu", "Linux"))
    (runner,) = admin.get("/orgs/acme/actions/runners").json()["runners"]
    assert [(label["name"], label["type"]) for label in runner["labels"]] == [
        ("gpu", "custom"),
        ("Linux", "read-only"),
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"runner_group_id": 1, "labels": ["x"]},
        {"name": "r", "labels": ["x"]},
        {"name": "r", "runner_group_id": 1},
        {"name": "r", "runner_group_id": 1, "labels": []},
        {"name": "r", "runner_group_id": 1, "labels": ["x"] * 101},
        {"name": "r", "runner_group_id": 1, "labels": ["x" * 257]},
        {"name": "", "runner_group_id": 1, "labels": ["x"]},
        {"name": "r", "runner_group_id": "1", "labels": ["x"]},
    ],
)
def test_jit_request_that_github_refuses_is_422(admin: Client, body: dict[str, object]) -> None:
    refused = admin.post("/orgs/acme/actions/runners/generate-jitconfig", body)
    assert refused.status_code == 422
    assert admin.get("/orgs/acme/actions/runners").json()["total_count"] == 0


def test_jit_for_a_missing_group_is_not_found(admin: Client) -> None:
    body = {"name": "r", "runner_group_id": 99, "labels": ["x"]}
    refused = admin.post("/orgs/acme/actions/runners/generate-jitconfig", body)
    assert refused.status_code == 404


def test_name_filter_finds_exactly_that_runner(admin: Client) -> None:
    for name in ("a", "ab", "abc"):
        register(admin, name)
    found = admin.get("/orgs/acme/actions/runners", params={"name": "ab"}).json()
    assert [r["name"] for r in found["runners"]] == ["ab"]
    assert found["total_count"] == 1


def test_pages_hold_every_runner_once(sim: Simulator, admin: Client) -> None:
    for number in range(65):
        register(admin, f"r{number}")
    seen, url = [], "/orgs/acme/actions/runners"
    while url:
        page = admin.get(url)
        seen += [r["name"] for r in page.json()["runners"]]
        url = page.links.get("next", {}).get("url", "").removeprefix(sim.api_url)
    assert sorted(seen) == sorted(f"r{n}" for n in range(65))


def test_downloads_carry_the_checksum_of_the_file(admin: Client) -> None:
    listed = admin.get("/orgs/acme/actions/runners/downloads").json()
    linux = next(d for d in listed if (d["os"], d["architecture"]) == ("linux", "arm64"))
    assert linux["filename"] == "actions-runner-linux-arm64-2.336.0.tar.gz"
    assert len(linux["sha256_checksum"]) == 64


def test_deprecations_name_the_dates_of_an_old_version(admin: Client) -> None:
    old = admin.get("/orgs/acme/actions/runners/deprecations/2.300.0").json()
    current = admin.get("/orgs/acme/actions/runners/deprecations/2.336.0").json()
    assert old["registration_deprecates_at"] == "2026-09-25T00:00:00Z"
    assert current["registration_deprecates_at"] is None

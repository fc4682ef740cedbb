"""What a token may see (else 404) and may do (else 403), for every kind of token."""

import json
from collections.abc import Callable

import pytest
import requests

from runners.simulator import Seed, Simulator
from runners.simulator.simulator import ROUTES
from tests.simulator.app import App
from tests.simulator.client import PAYLOADS, Client, description

MakeClient = Callable[..., Client]
ORG_RUNNERS = "/orgs/acme/actions/runners"
REPO_RUNNERS = "/repos/acme/web/actions/runners"
ENTERPRISE_RUNNERS = "/enterprises/big-corp/actions/runners"


@pytest.mark.parametrize(
    ("scopes", "path", "status"),
    [
        (["admin:org"], ORG_RUNNERS, 200),
        (["repo"], ORG_RUNNERS, 403),
        ([], ORG_RUNNERS, 403),
        (["repo"], REPO_RUNNERS, 200),
        (["admin:org"], REPO_RUNNERS, 404),
        (["manage_runners:enterprise"], ENTERPRISE_RUNNERS, 200),
        (["admin:enterprise"], ENTERPRISE_RUNNERS, 200),
        (["admin:org", "repo"], ENTERPRISE_RUNNERS, 403),
        (["repo"], "/repos/acme/nothing/actions/runners", 404),
        (["admin:org"], "/orgs/nobody/actions/runners", 404),
        (["admin:org_hook"], "/orgs/acme/hooks", 200),
        (["admin:org"], "/orgs/acme/hooks", 403),
        (["read:repo_hook", "repo"], "/repos/acme/web/hooks", 200),
    ],
)
def test_classic_token_needs_the_scope(
    client_with: MakeClient, scopes: list[str], path: str, status: int
) -> None:
    assert client_with("classic", scopes=scopes).get(path).status_code == status


def test_missing_scope_is_worded_as_github_words_it(client_with: MakeClient) -> None:
    refused = client_with("classic", scopes=["repo"]).get(ORG_RUNNERS)
    assert refused.json()["message"] == "Must have admin rights to Repository."


@pytest.mark.parametrize(
    ("roles", "status"),
    [({"admin_of": ["acme"]}, 200), ({"member_of": ["acme"]}, 403), ({}, 404)],
)
def test_scope_is_worth_no_more_than_its_owner(
    client_with: MakeClient, roles: dict[str, object], status: int
) -> None:
    client = client_with("classic", login="mona", scopes=["admin:org", "repo"], **roles)
    assert client.get(ORG_RUNNERS).status_code == status
    assert client.get(REPO_RUNNERS).status_code == status


@pytest.mark.parametrize(
    ("permissions", "read", "write"),
    [
        ({"organization_self_hosted_runners": "write"}, 200, 201),
        ({"organization_self_hosted_runners": "read"}, 200, 403),
        ({"administration": "write"}, 403, 403),
    ],
)
def test_fine_grained_token_needs_the_permission(
    client_with: MakeClient, permissions: dict[str, str], read: int, write: int
) -> None:
    client = client_with("fine_grained", owner="acme", permissions=permissions)
    assert client.get(ORG_RUNNERS).status_code == read
    assert client.post(f"{ORG_RUNNERS}/registration-token").status_code == write


def test_fine_grained_refusal_names_what_was_needed(client_with: MakeClient) -> None:
    client = client_with("fine_grained", owner="acme", permissions={})
    refused = client.post(f"{ORG_RUNNERS}/registration-token")
    assert refused.json()["message"] == "Resource not accessible by personal access token"
    needed = refused.headers["X-Accepted-GitHub-Permissions"]
    assert needed == "organization_self_hosted_runners=write"


def test_fine_grained_token_sees_chosen_repositories_only(client_with: MakeClient) -> None:
    rights = {"owner": "acme", "permissions": {"administration": "read"}}
    client = client_with("fine_grained", repositories=["acme/web"], **rights)
    assert client.get(REPO_RUNNERS).status_code == 200
    assert client.get("/repos/acme/api/actions/runners").status_code == 404
    assert [r["full_name"] for r in client.get("/user/repos").json()] == ["acme/web"]


def test_fine_grained_token_of_another_owner_sees_nothing(client_with: MakeClient) -> None:
    client = client_with("fine_grained", permissions={"organization_self_hosted_runners": "write"})
    assert client.get(ORG_RUNNERS).status_code == 404


@pytest.mark.parametrize("kind", ["fine_grained", "installation"])
def test_enterprise_is_closed_to_apps_and_fine_grained_tokens(
    sim: Simulator, client_with: MakeClient, kind: str
) -> None:
    client = App(sim).access() if kind == "installation" else client_with(kind, owner="acme")
    assert client.get(ENTERPRISE_RUNNERS).status_code == 403


def test_installation_without_the_permission_is_refused_as_an_integration(sim: Simulator) -> None:
    client = App(sim, {"permissions": {"metadata": "read"}}).access()
    refused = client.get(ORG_RUNNERS)
    assert refused.status_code == 403
    assert refused.json()["message"] == "Resource not accessible by integration"


def test_installation_on_chosen_repositories_sees_those_only(sim: Simulator) -> None:
    client = App(sim, {"repositories": ["acme/web"]}).access()
    assert client.get("/repos/acme/web/actions/runs").status_code == 200
    assert client.get("/repos/acme/api/actions/runs").status_code == 404


def test_installation_is_no_user(sim: Simulator) -> None:
    assert App(sim).access().get("/user").status_code == 403


def test_person_has_no_installation_repositories(admin: Client) -> None:
    assert admin.get("/installation/repositories").status_code == 403


def set_policy(sim: Simulator, **policy: object) -> None:
    url = f"{sim.url}/_sim/organizations/acme"
    assert requests.patch(url, json=policy, timeout=5).status_code == 204


def test_organization_may_forbid_classic_tokens(sim: Simulator, admin: Client) -> None:
    set_policy(sim, classic_forbidden=True)
    for path in (ORG_RUNNERS, REPO_RUNNERS):
        refused = admin.get(path)
        assert refused.status_code == 403
        assert "forbids access via a personal access token (classic)" in refused.json()["message"]


def test_organization_may_forbid_fine_grained_tokens(
    sim: Simulator, client_with: MakeClient
) -> None:
    rights = {"owner": "acme", "permissions": {"organization_self_hosted_runners": "read"}}
    client = client_with("fine_grained", **rights)
    assert client.get(ORG_RUNNERS).status_code == 200
    set_policy(sim, fine_grained_forbidden=True)
    refused = client.get(ORG_RUNNERS)
    assert refused.status_code == 403
    assert "forbids access via a fine-grained personal access token" in refused.json()["message"]


def test_organization_may_limit_the_life_of_fine_grained_tokens(
    sim: Simulator, client_with: MakeClient
) -> None:
    set_policy(sim, fine_grained_max_days=30)
    rights = {"owner": "acme", "permissions": {"organization_self_hosted_runners": "read"}}
    short = client_with("fine_grained", life_seconds=29 * 86400, **rights)
    endless = client_with("fine_grained", **rights)
    assert short.get(ORG_RUNNERS).status_code == 200
    assert "lifetime is greater than 30 days" in endless.get(ORG_RUNNERS).json()["message"]


def test_single_sign_on_blocks_tokens_that_were_not_authorized(
    sim: Simulator, client_with: MakeClient
) -> None:
    set_policy(sim, sso_required=True)
    refused = client_with("classic", scopes=["admin:org"]).get(ORG_RUNNERS)
    assert refused.status_code == 403
    assert "SAML enforcement" in refused.json()["message"]
    assert refused.headers["X-GitHub-SSO"].startswith("required; url=http")
    allowed = client_with("classic", scopes=["admin:org"], sso_authorized=["acme"])
    assert allowed.get(ORG_RUNNERS).status_code == 200


def test_public_repository_is_open_for_reading_and_closed_for_the_rest() -> None:
    with Simulator(Seed(public_repositories=("acme/open",))) as sim:
        anonymous = Client(sim)
        assert anonymous.get("/repos/acme/open").status_code == 200
        assert anonymous.get("/repos/acme/open/actions/runs").status_code == 200
        assert anonymous.get("/repos/acme/web").status_code == 404
        assert anonymous.get("/repos/acme/open/actions/runners").status_code == 401


def test_renamed_repository_redirects_and_keeps_its_runners(sim: Simulator, admin: Client) -> None:
    body = {"name": "r", "runner_group_id": 1, "labels": ["x"]}
    admin.post(f"{REPO_RUNNERS}/generate-jitconfig", body)
    url = f"{sim.url}/_sim/repositories/acme/web"
    assert requests.patch(url, json={"name": "site"}, timeout=5).status_code == 200
    moved = admin.get(REPO_RUNNERS)
    assert moved.status_code == 301
    followed = admin.get(moved.headers["Location"].removeprefix(sim.api_url))
    assert [r["name"] for r in followed.json()["runners"]] == ["r"]
    assert admin.get("/repos/acme/site/actions/runners").json() == followed.json()


def test_every_operation_asks_for_the_permission_github_asks_for() -> None:
    """GitHub's own table of permissions, operation by operation."""
    rows = json.loads((PAYLOADS / "permissions.json").read_text(encoding="utf-8"))
    wanted = {row["op"]: row for row in rows}
    kinds = {"app": "app JWT", "installation": "installation"}
    kinds["user"] = "user (PAT or user-to-server)"
    for route in (r for r in ROUTES if r.access.who != "open"):
        row, access = wanted[f"{route.method} {route.pattern}"], route.access
        if access.permission == "enterprise_runners":
            assert row["token"] == "classic PAT", route
        elif access.who == "token":
            assert (access.permission, access.level) == (row["permission"], row["access"]), route
        elif access.who == "anyone":
            assert row["token"] in ("any or none", "none"), route
        else:
            assert kinds[access.who] == row["token"], route


def test_every_operation_served_is_one_of_githubs() -> None:
    served = {(r.method.lower(), r.pattern) for r in ROUTES if r.access.who != "open"}
    described = {(method, path) for path, item in description()["paths"].items() for method in item}
    assert served <= described
    assert len(served) > 140

"""Who is let in, and what the answers say of the token."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from runners.simulator import Simulator
from tests.simulator.app import App
from tests.simulator.client import Client

MakeClient = Callable[..., Client]


def test_without_a_token_runners_are_closed(sim: Simulator) -> None:
    refused = Client(sim).get("/orgs/acme/actions/runners")
    assert refused.status_code == 401
    assert refused.json()["message"] == "Requires authentication"


@pytest.mark.parametrize("header", ["Bearer nonsense", "Basic abc", "token", "Bearer a.b.c"])
def test_bad_token_is_401(sim: Simulator, header: str) -> None:
    client = Client(sim)
    client.session.headers["Authorization"] = header
    refused = client.get("/user")
    assert refused.status_code == 401
    assert refused.json()["message"] == "Bad credentials"


def test_both_schemes_are_taken(sim: Simulator) -> None:
    client = Client(sim)
    for scheme in ("Bearer", "token", "bearer"):
        client.session.headers["Authorization"] = f"{scheme} {sim.token}"
        assert client.get("/user").json()["login"] == "octo-admin"


def test_request_without_user_agent_is_403(admin: Client) -> None:
    admin.session.headers["User-Agent"] = ""
    refused = admin.session.get(admin.base + "/zen", timeout=5)
    assert refused.status_code == 403
    assert "User-Agent" in refused.text


def test_unknown_api_version_is_400(admin: Client) -> None:
    old = admin.get("/user", headers={"X-GitHub-Api-Version": "2020-01-01"})
    assert old.status_code == 400
    new = admin.get("/user", headers={"X-GitHub-Api-Version": "2026-03-10"})
    assert new.headers["X-GitHub-Api-Version-Selected"] == "2026-03-10"


def test_expired_token_is_401(sim: Simulator, client_with: MakeClient) -> None:
    client = client_with("classic", life_seconds=3600)
    assert client.get("/user").status_code == 200
    sim.clock.advance(3600)
    assert client.get("/user").status_code == 401


def test_expiry_of_a_token_is_in_a_header(sim: Simulator, client_with: MakeClient) -> None:
    sim.clock.set(datetime(2026, 11, 23, 12, tzinfo=UTC))
    headers = client_with("fine_grained", life_seconds=86400).get("/user").headers
    assert headers["GitHub-Authentication-Token-Expiration"] == "2026-11-24 12:00:00 UTC"
    assert "GitHub-Authentication-Token-Expiration" not in Client(sim, sim.token).get("/").headers


def test_scopes_of_a_classic_token_are_in_headers(client_with: MakeClient) -> None:
    client = client_with("classic", scopes=["repo", "read:org"])
    headers = client.get("/orgs/acme/actions/runners").headers
    assert headers["X-OAuth-Scopes"] == "repo, read:org"
    assert headers["X-Accepted-OAuth-Scopes"] == "admin:org"
    assert headers["X-Accepted-GitHub-Permissions"] == "organization_self_hosted_runners=read"


def test_fine_grained_token_shows_no_scopes(client_with: MakeClient) -> None:
    assert "X-OAuth-Scopes" not in client_with("fine_grained").get("/user").headers


@pytest.fixture
def app(sim: Simulator) -> App:
    return App(sim)


def test_app_is_known_by_client_id_and_by_app_id(app: App) -> None:
    assert app.client().get("/app").json()["id"] == app.id
    assert app.client(iss=str(app.id)).get("/app").json()["client_id"] == app.client_id


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"exp": 0}, "'Expiration time' claim ('exp') must be a numeric value"),
        ({"exp": "later"}, "'Expiration time' claim ('exp') must be a numeric value"),
        ({"exp": 2**40}, "'Expiration time' claim ('exp') is too far in the future"),
        ({"iat": 2**40}, "'Issued at' claim ('iat') must be an Integer"),
        ({"iss": "nobody"}, "Integration not found"),
    ],
)
def test_app_token_that_breaks_a_rule_is_401(
    app: App, changes: dict[str, object], words: str
) -> None:
    refused = app.client(**changes).get("/app")
    assert refused.status_code == 401
    assert words in refused.json()["message"]


def test_app_token_signed_with_another_key_is_401(sim: Simulator, app: App) -> None:
    other = App(sim, {"name": "Other"})
    refused = other.client(iss=app.client_id).get("/app")
    assert refused.status_code == 401
    assert refused.json()["message"] == "A JSON web token could not be decoded"


def test_app_token_opens_nothing_but_the_app(app: App) -> None:
    assert app.client().get("/orgs/acme/actions/runners").status_code == 403


def test_token_of_a_person_does_not_open_the_app(admin: Client) -> None:
    assert admin.get("/app").status_code == 401


def test_installation_token_is_of_the_long_kind_and_lives_an_hour(sim: Simulator, app: App) -> None:
    path = f"/app/installations/{app.installation_id}/access_tokens"
    made = app.client().post(path, {}).json()
    assert made["token"].startswith(f"ghs_{app.id}_")
    assert 480 <= len(made["token"]) <= 560
    assert made["token"].count(".") == 2
    client = Client(sim, made["token"])
    assert client.get("/orgs/acme/actions/runners").status_code == 200
    sim.clock.advance(3601)
    assert client.get("/orgs/acme/actions/runners").status_code == 401


def test_installation_token_may_be_narrowed(app: App) -> None:
    client = app.access({"repositories": ["web"], "permissions": {"actions": "read"}})
    listed = client.get("/installation/repositories").json()
    assert [r["full_name"] for r in listed["repositories"]] == ["acme/web"]
    assert listed["repository_selection"] == "selected"
    assert client.get("/repos/acme/web/actions/runs").status_code == 200
    assert client.get("/repos/acme/api/actions/runs").status_code == 404
    assert client.get("/orgs/acme/actions/runners").status_code == 403


def test_installation_token_cannot_be_widened(app: App) -> None:
    path = f"/app/installations/{app.installation_id}/access_tokens"
    refused = app.client().post(path, {"permissions": {"secrets": "write"}})
    assert refused.status_code == 422
    assert app.client().post(path, {"repositories": ["nope"]}).status_code == 422


def test_revoked_installation_token_is_401(app: App) -> None:
    client = app.access()
    assert client.delete("/installation/token").status_code == 204
    assert client.get("/installation/repositories").status_code == 401


def test_suspended_installation_is_403_until_it_is_not(app: App) -> None:
    client, path = app.access(), f"/app/installations/{app.installation_id}/suspended"
    assert app.client().put(path).status_code == 204
    assert client.get("/orgs/acme/actions/runners").status_code == 403
    assert app.client().delete(path).status_code == 204
    assert client.get("/orgs/acme/actions/runners").status_code == 200


def test_uninstalled_app_is_locked_out(app: App) -> None:
    client = app.access()
    path = f"/app/installations/{app.installation_id}"
    assert app.client().delete(path).status_code == 204
    assert client.get("/installation/repositories").status_code == 401
    assert app.client().get(path).status_code == 404


@pytest.mark.parametrize(
    "path", ["/orgs/acme/installation", "/repos/acme/web/installation", "/users/acme/installation"]
)
def test_installation_is_found_by_account_and_by_repository(app: App, path: str) -> None:
    assert app.client().get(path).json()["id"] == app.installation_id


def test_manifest_code_becomes_an_app_once_and_within_an_hour(sim: Simulator) -> None:
    form = {
        "manifest": '{"name": "Fleet", "redirect_url": "http://127.0.0.1:1/back",'
        ' "default_permissions": {"actions": "read"}, "default_events": ["workflow_job"],'
        ' "hook_attributes": {"url": "http://127.0.0.1:1/hook"}}'
    }
    client = Client(sim)
    page = f"{sim.url}/organizations/acme/settings/apps/new?state=s1"
    codes = []
    for _ in range(2):
        sent = client.session.post(page, data=form, allow_redirects=False, timeout=5)
        code, _, state = sent.headers["Location"].partition("code=")[2].partition("&state=")
        assert state == "s1"
        codes.append(code)
    made = client.post(f"/app-manifests/{codes[0]}/conversions")
    assert made.status_code == 201
    assert made.json()["pem"].startswith("-----BEGIN RSA PRIVATE KEY-----")
    assert client.post(f"/app-manifests/{codes[0]}/conversions").status_code == 404
    sim.clock.advance(3601)
    assert client.post(f"/app-manifests/{codes[1]}/conversions").status_code == 404

"""Every operation, asked of GitHub's own description and answered with its own examples."""

from __future__ import annotations

import inspect
import io
import json
import re
from datetime import timedelta

import pytest

from runners.github.auth import AppAuth, TokenAuth
from runners.github.client import GitHubClient
from runners.github.endpoints.base import Endpoints
from runners.github.types import InstallationToken
from tests.github import operations
from tests.github.conftest import TOKEN, MakeClient
from tests.github.contract import DESCRIPTION
from tests.github.examples import R, example_of
from tests.github.operations import ENTERPRISE, ORG, REPO, Ask, all_rows
from tests.github.scripted import Reply, ScriptedServer

GHES = DESCRIPTION.with_name("openapi-actions-ghes-3.17.json")


def matches(template: str, path: str) -> bool:
    pattern = re.sub(r"\\\{[^/]+?\\\}", "[^/]+", re.escape(template))
    return re.fullmatch(pattern, path.split("?")[0]) is not None


@pytest.fixture
def app_auth(pem: str) -> AppAuth:
    return AppAuth("Iv23abc", pem, 1)


@pytest.mark.parametrize(("method", "template", "ask"), all_rows())
def test_operation_fits_githubs_description(
    server: ScriptedServer,
    make_client: MakeClient,
    app_auth: AppAuth,
    method: str,
    template: str,
    ask: Ask,
) -> None:
    server.will(example_of(method, template))
    as_app = template.startswith("/app/") or template in {"/app", f"{R}/installation"}
    as_app = as_app or template.endswith("/installation")
    client = make_client(auth=app_auth if as_app else TokenAuth(TOKEN), max_wait_seconds=0)

    if template.endswith("/logs"):
        with pytest.raises(Exception, match="missing or not https"):
            ask(client)
    else:
        ask(client)
    received = server.received[0]
    assert received.method == method
    assert matches(template, received.path), received.path


@pytest.mark.parametrize(("method", "template", "ask"), all_rows())
def test_every_request_says_who_and_what_it_is(
    server: ScriptedServer,
    make_client: MakeClient,
    app_auth: AppAuth,
    method: str,
    template: str,
    ask: Ask,
) -> None:
    server.will(*[Reply(404, {"message": "Not Found"})] * 2)
    client = make_client(auth=app_auth, checked=False)
    app_auth.authorization(client.now(), lambda installation_id, signed: _token(client))

    with pytest.raises(Exception, match="GitHub"):
        ask(client)
    headers = server.received[0].headers
    assert headers["user-agent"] == "fleetui"
    assert headers["x-github-api-version"] == "2022-11-28"
    assert headers["accept"] == "application/vnd.github+json"
    assert ("authorization" in headers) == (not template.startswith("/app-manifests"))


def _token(client: GitHubClient) -> InstallationToken:
    return InstallationToken("ghs_x", client.now() + timedelta(hours=1))


def test_no_operation_of_the_client_is_left_out() -> None:
    offered = {
        name
        for group in GitHubClient.__mro__
        if issubclass(group, Endpoints) and group not in {Endpoints, GitHubClient}
        for name, member in vars(group).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }
    asked = set(re.findall(r"\bc\.(\w+)\(", inspect.getsource(operations)))

    assert offered == asked | {"download_release_asset"}


def test_only_known_operations_are_missing_on_enterprise_server() -> None:
    described = json.loads(GHES.read_text(encoding="utf-8"))["paths"]
    missing = {
        template
        for method, template, _ in all_rows()
        if method.lower() not in described.get(template, {})
    }

    assert missing == {
        f"{R}/actions/runners/deprecations/{{version}}",
        "/orgs/{org}/actions/runners/deprecations/{version}",
        "/enterprises/{enterprise}/actions/runners/deprecations/{version}",
        "/enterprises/{enterprise}/installation",
    }


def test_release_asset_is_downloaded_with_its_digest(
    server: ScriptedServer, make_client: MakeClient
) -> None:
    server.will(Reply(200, raw=b"package", headers={"Content-Type": "application/octet-stream"}))
    sink = io.BytesIO()

    done = make_client(checked=False).download_release_asset(REPO, 9, sink)
    assert sink.getvalue() == b"package"
    assert done.size_bytes == 7
    assert done.sha256 == "bc4a71180870f7945155fbb02f4b0a2e3faa2a62d6d31b7039013055ed19869a"
    assert server.received[0].headers["accept"] == "application/octet-stream"


def test_secrets_of_answers_are_in_no_repr(
    server: ScriptedServer, make_client: MakeClient, app_auth: AppAuth
) -> None:
    client = make_client()
    rows = {
        "/app-manifests/{code}/conversions": client.create_from_manifest,
        f"{R}/actions/runners/registration-token": lambda _: client.create_registration_token(REPO),
    }
    for template, ask in rows.items():
        reply = example_of("POST", template)
        server.will(reply)
        shown = repr(ask("code"))
        secrets = [
            reply.body[name]
            for name in ("token", "pem", "client_secret", "webhook_secret")
            if reply.body.get(name)
        ]
        assert secrets
        assert not [secret for secret in secrets if secret in shown]


@pytest.mark.parametrize(
    "ask",
    [
        lambda c: c.list_workflow_runs_for_repo(ORG),
        lambda c: c.get_repository(ORG),
        lambda c: c.list_repositories_for_org(REPO),
        lambda c: c.list_webhooks(ENTERPRISE),
    ],
)
def test_operation_that_a_scope_does_not_have_is_refused_at_once(
    server: ScriptedServer, make_client: MakeClient, ask: Ask
) -> None:
    with pytest.raises(ValueError, match="acme"):
        ask(make_client())
    assert server.received == []


def test_repository_has_no_runner_groups(server: ScriptedServer, make_client: MakeClient) -> None:
    with pytest.raises(Exception, match="no runner groups"):
        make_client().list_self_hosted_runner_groups(REPO)
    assert server.received == []


def test_token_is_narrowed_only_by_what_was_asked(
    server: ScriptedServer, make_client: MakeClient, app_auth: AppAuth
) -> None:
    reply = example_of("POST", "/app/installations/{installation_id}/access_tokens")
    server.will(reply, reply)
    client = make_client(auth=app_auth)
    client.create_installation_access_token(1)
    client.create_installation_access_token(1, repositories=["web"])

    assert server.received[0].body == b""
    assert server.received[1].json == {"repositories": ["web"]}


def test_dispatch_without_details_gives_none(
    server: ScriptedServer, make_client: MakeClient
) -> None:
    server.will(Reply(204))

    assert make_client().create_workflow_dispatch(REPO, "ci.yml", ref="main") is None
    assert server.received[0].json == {"ref": "main"}

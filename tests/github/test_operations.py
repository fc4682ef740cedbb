"""Every operation, asked of GitHub's own description and answered with its own examples."""

from __future__ import annotations

import inspect
import io
import re
from collections.abc import Callable
from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from runners.github.auth import AppAuth, TokenAuth
from runners.github.client import GitHubClient
from runners.github.endpoints.base import Endpoints
from runners.github.types import InstallationToken
from runners.github.urls import ScopePath
from tests.github.conftest import TOKEN, MakeClient
from tests.github.contract import description
from tests.github.scripted import Reply, ScriptedServer

REPO = ScopePath.repository("acme/web")
ORG = ScopePath.organization("acme")
ENTERPRISE = ScopePath.enterprise("acme-inc")

Ask = Callable[[GitHubClient], object]
Row = tuple[str, str, Ask]

RUNNERS: list[tuple[str, str, Callable[[GitHubClient, ScopePath], object]]] = [
    ("GET", "", lambda c, s: c.list_self_hosted_runners(s, name="a")),
    ("GET", "/{runner_id}", lambda c, s: c.get_self_hosted_runner(s, 23)),
    ("DELETE", "/{runner_id}", lambda c, s: c.delete_self_hosted_runner(s, 23)),
    ("POST", "/registration-token", lambda c, s: c.create_registration_token(s)),
    ("POST", "/remove-token", lambda c, s: c.create_remove_token(s)),
    (
        "POST",
        "/generate-jitconfig",
        lambda c, s: c.generate_jitconfig(
            s, name="a", runner_group_id=1, labels=["x"], work_folder="_work"
        ),
    ),
    ("GET", "/downloads", lambda c, s: c.list_runner_applications(s)),
    ("GET", "/deprecations/{version}", lambda c, s: c.get_runner_version_deprecation(s, "2.336.0")),
    ("GET", "/{runner_id}/labels", lambda c, s: c.list_labels_for_self_hosted_runner(s, 23)),
    (
        "POST",
        "/{runner_id}/labels",
        lambda c, s: c.add_custom_labels_to_self_hosted_runner(s, 23, ["gpu"]),
    ),
    (
        "PUT",
        "/{runner_id}/labels",
        lambda c, s: c.set_custom_labels_for_self_hosted_runner(s, 23, []),
    ),
    (
        "DELETE",
        "/{runner_id}/labels",
        lambda c, s: c.remove_all_custom_labels_from_self_hosted_runner(s, 23),
    ),
    (
        "DELETE",
        "/{runner_id}/labels/{name}",
        lambda c, s: c.remove_custom_label_from_self_hosted_runner(s, 23, "a/b c"),
    ),
]
GROUPS: list[tuple[str, str, Callable[[GitHubClient, ScopePath], object]]] = [
    ("GET", "", lambda c, s: c.list_self_hosted_runner_groups(s)),
    ("GET", "/{runner_group_id}", lambda c, s: c.get_self_hosted_runner_group(s, 1)),
    ("GET", "/{runner_group_id}/runners", lambda c, s: c.list_self_hosted_runners_in_group(s, 1)),
    (
        "PUT",
        "/{runner_group_id}/runners/{runner_id}",
        lambda c, s: c.add_self_hosted_runner_to_group(s, 1, 23),
    ),
    (
        "DELETE",
        "/{runner_group_id}/runners/{runner_id}",
        lambda c, s: c.remove_self_hosted_runner_from_group(s, 1, 23),
    ),
]
HOOKS: list[tuple[str, str, Callable[[GitHubClient, ScopePath], object]]] = [
    ("GET", "", lambda c, s: c.list_webhooks(s)),
    ("GET", "/{hook_id}", lambda c, s: c.get_webhook(s, 1)),
    (
        "POST",
        "",
        lambda c, s: c.create_webhook(s, url="https://h/x", secret="s" * 9, events=["ping"]),
    ),
    (
        "PATCH",
        "/{hook_id}",
        lambda c, s: c.update_webhook(s, 1, url="https://h/x", secret="s" * 9, events=["ping"]),
    ),
    ("DELETE", "/{hook_id}", lambda c, s: c.delete_webhook(s, 1)),
    ("POST", "/{hook_id}/pings", lambda c, s: c.ping_webhook(s, 1)),
    (
        "GET",
        "/{hook_id}/deliveries",
        lambda c, s: c.list_webhook_deliveries(s, 1, status="failure"),
    ),
    ("GET", "/{hook_id}/deliveries/{delivery_id}", lambda c, s: c.get_webhook_delivery(s, 1, 2)),
    (
        "POST",
        "/{hook_id}/deliveries/{delivery_id}/attempts",
        lambda c, s: c.redeliver_webhook_delivery(s, 1, 2),
    ),
]
R = "/repos/{owner}/{repo}"
SINGLE: list[Row] = [
    (
        "GET",
        f"{R}/actions/runs",
        lambda c: c.list_workflow_runs_for_repo(
            REPO, status="queued", branch="main", event="push", created="2026-01-01T00:00:00Z"
        ),
    ),
    ("GET", f"{R}/actions/runs/{{run_id}}", lambda c: c.get_workflow_run(REPO, 1)),
    (
        "GET",
        f"{R}/actions/runs/{{run_id}}/attempts/{{attempt_number}}",
        lambda c: c.get_workflow_run_attempt(REPO, 1, 2),
    ),
    (
        "GET",
        f"{R}/actions/runs/{{run_id}}/jobs",
        lambda c: c.list_jobs_for_workflow_run(REPO, 1, filter_="all"),
    ),
    (
        "GET",
        f"{R}/actions/runs/{{run_id}}/attempts/{{attempt_number}}/jobs",
        lambda c: c.list_jobs_for_workflow_run_attempt(REPO, 1, 2),
    ),
    ("GET", f"{R}/actions/jobs/{{job_id}}", lambda c: c.get_job_for_workflow_run(REPO, 1)),
    (
        "GET",
        f"{R}/actions/jobs/{{job_id}}/logs",
        lambda c: c.download_job_logs_for_workflow_run(REPO, 1),
    ),
    ("GET", f"{R}/actions/workflows", lambda c: c.list_repo_workflows(REPO)),
    ("GET", f"{R}/actions/workflows/{{workflow_id}}", lambda c: c.get_workflow(REPO, "ci.yml")),
    (
        "POST",
        f"{R}/actions/workflows/{{workflow_id}}/dispatches",
        lambda c: c.create_workflow_dispatch(REPO, 1, ref="main", inputs={"a": "b"}),
    ),
    ("POST", f"{R}/actions/runs/{{run_id}}/cancel", lambda c: c.cancel_workflow_run(REPO, 1)),
    (
        "POST",
        f"{R}/actions/runs/{{run_id}}/force-cancel",
        lambda c: c.force_cancel_workflow_run(REPO, 1),
    ),
    ("POST", f"{R}/actions/runs/{{run_id}}/rerun", lambda c: c.re_run_workflow(REPO, 1)),
    (
        "POST",
        f"{R}/actions/runs/{{run_id}}/rerun-failed-jobs",
        lambda c: c.re_run_workflow_failed_jobs(REPO, 1),
    ),
    (
        "POST",
        f"{R}/actions/jobs/{{job_id}}/rerun",
        lambda c: c.re_run_job_for_workflow_run(REPO, 1),
    ),
    ("GET", "/user", lambda c: c.get_authenticated_user()),
    ("GET", "/rate_limit", lambda c: c.get_rate_limit()),
    ("GET", "/meta", lambda c: c.get_meta()),
    ("GET", "/user/orgs", lambda c: c.list_organizations_for_authenticated_user()),
    ("GET", "/orgs/{org}", lambda c: c.get_organization(ORG)),
    ("GET", R, lambda c: c.get_repository(REPO)),
    ("GET", "/orgs/{org}/repos", lambda c: c.list_repositories_for_org(ORG)),
    ("GET", "/users/{username}/repos", lambda c: c.list_repositories_for_user("octocat")),
    (
        "GET",
        "/user/repos",
        lambda c: c.list_repositories_for_authenticated_user(affiliation="owner"),
    ),
    (
        "GET",
        "/installation/repositories",
        lambda c: c.list_repositories_accessible_to_installation(),
    ),
    ("GET", "/app", lambda c: c.get_authenticated_app()),
    ("GET", "/app/installations", lambda c: c.list_installations()),
    ("GET", "/app/installations/{installation_id}", lambda c: c.get_installation(1)),
    ("GET", f"{R}/installation", lambda c: c.get_installation_for(REPO)),
    ("GET", "/orgs/{org}/installation", lambda c: c.get_installation_for(ORG)),
    ("GET", "/enterprises/{enterprise}/installation", lambda c: c.get_installation_for(ENTERPRISE)),
    (
        "POST",
        "/app/installations/{installation_id}/access_tokens",
        lambda c: c.create_installation_access_token(
            1, permissions={"administration": "write"}, repositories=["web"]
        ),
    ),
    ("DELETE", "/installation/token", lambda c: c.revoke_installation_access_token()),
    ("POST", "/app-manifests/{code}/conversions", lambda c: c.create_from_manifest("abc")),
    ("GET", "/app/hook/config", lambda c: c.get_webhook_config_for_app()),
    (
        "PATCH",
        "/app/hook/config",
        lambda c: c.update_webhook_config_for_app(url="https://h/x", secret="s" * 9),
    ),
    ("GET", "/app/hook/deliveries", lambda c: c.list_webhook_deliveries_for_app(status="success")),
    ("GET", "/app/hook/deliveries/{delivery_id}", lambda c: c.get_webhook_delivery_for_app(1)),
    (
        "POST",
        "/app/hook/deliveries/{delivery_id}/attempts",
        lambda c: c.redeliver_webhook_delivery_for_app(1),
    ),
    ("GET", f"{R}/releases", lambda c: c.list_releases(REPO)),
    ("GET", f"{R}/releases/latest", lambda c: c.get_latest_release(REPO)),
    ("GET", f"{R}/releases/tags/{{tag}}", lambda c: c.get_release_by_tag(REPO, "v1.0.0")),
    ("GET", f"{R}/releases/{{release_id}}/assets", lambda c: c.list_release_assets(REPO, 1)),
    ("GET", f"{R}/releases/assets/{{asset_id}}", lambda c: c.get_release_asset(REPO, 1)),
]


def _bound(ask: Callable[[GitHubClient, ScopePath], object], scope: ScopePath) -> Ask:
    return lambda client: ask(client, scope)


def all_rows() -> list[Row]:
    prefixes = {REPO: R, ORG: "/orgs/{org}", ENTERPRISE: "/enterprises/{enterprise}"}
    rows = list(SINGLE)
    for scope, prefix in prefixes.items():
        rows += [(m, f"{prefix}/actions/runners{p}", _bound(a, scope)) for m, p, a in RUNNERS]
        if scope is not REPO:
            groups = f"{prefix}/actions/runner-groups"
            rows += [(m, f"{groups}{p}", _bound(a, scope)) for m, p, a in GROUPS]
        if scope is not ENTERPRISE:
            rows += [(m, f"{prefix}/hooks{p}", _bound(a, scope)) for m, p, a in HOOKS]
    return rows


def example_of(method: str, template: str) -> Reply:
    """GitHub's example of a success, mended where it breaks GitHub's own schema."""
    responses = description()["paths"][template][method.lower()]["responses"]
    status = next(code for code in sorted(responses) if code[0] in "23")
    response = responses[status]
    response = _resolve(response)
    media = response.get("content", {}).get("application/json", {})
    examples = list(media.get("examples", {}).values())
    body = deepcopy(_resolve(examples[0]).get("value")) if examples else None
    if body is None and media:
        body = {}
    return Reply(int(status), _mend(template, body))


def _resolve(node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        found: Any = description()
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node


def _mend(template: str, body: Any) -> Any:
    """Add what GitHub's faulty examples lack."""
    if template == "/app/installations":
        moment = "2026-01-01T00:00:00Z"
        account = {"name": "octocat", "slug": "octocat", "created_at": moment, "updated_at": moment}
        return [entry | {"account": entry["account"] | account} for entry in body]
    if isinstance(body, dict):
        for job in [body, *body.get("jobs", [])]:
            if "run_id" in job and "labels" in job:
                job.setdefault("created_at", "2026-01-01T00:00:00Z")
        if template == "/meta":
            return {name: _texts(value) for name, value in body.items()}
        if template == R:
            for repository in (
                body,
                body.get("template_repository"),
                body.get("parent"),
                body.get("source"),
            ):
                if repository:
                    repository.setdefault("language", None)
        if template == "/orgs/{org}":
            body.setdefault("archived_at", None)
        if template == "/user":
            body.setdefault("user_view_type", "private")
    return body


def _texts(value: Any) -> Any:
    if isinstance(value, dict):
        return (
            {name: str(entry) for name, entry in value.items()} if "SHA256_RSA" in value else value
        )
    return [str(entry) for entry in value] if isinstance(value, list) else value


def matches(template: str, path: str) -> bool:
    pattern = re.sub(r"\\\{[^/]+?\\\}", "[^/]+", re.escape(template))
    return re.fullmatch(pattern, path.split("?")[0]) is not None


@pytest.fixture(scope="module")
def app_auth() -> AppAuth:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
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
    operations = {
        name
        for group in GitHubClient.__mro__
        if issubclass(group, Endpoints) and group not in {Endpoints, GitHubClient}
        for name, member in vars(group).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }
    source = inspect.getsource(inspect.getmodule(all_rows))  # type: ignore[arg-type]
    asked = set(re.findall(r"\bc\.(\w+)\(", source)) | {"download_release_asset"}

    assert operations == asked


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


def test_dispatch_without_details_gives_none(
    server: ScriptedServer, make_client: MakeClient
) -> None:
    server.will(Reply(204))

    assert make_client().create_workflow_dispatch(REPO, "ci.yml", ref="main") is None
    assert server.received[0].json == {"ref": "main"}

"""Every operation of the client beside its method and path in GitHub's description."""

from __future__ import annotations

from collections.abc import Callable

from runners.github.client import GitHubClient
from runners.github.urls import ScopePath
from tests.github.examples import R

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

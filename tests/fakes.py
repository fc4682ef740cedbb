"""A GitHub in memory, with the methods of `GitHubClient`, for tests of what stands on the client.

It keeps runners, groups, runs, jobs and webhooks, refuses what GitHub refuses, and fails on
command. It sends nothing: an operation that it does not know raises instead of going out. The
contract tests in `tests/github/test_contract.py` hold it and the real client to the same behaviour.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence

from runners.github.types import (
    AuthenticatedUser,
    Delivery,
    DeliveryDetail,
    JitConfig,
    Job,
    Listing,
    Meta,
    Owner,
    RateLimits,
    Repository,
    Runner,
    RunnerApplication,
    RunnerGroup,
    RunnerLabel,
    RunnerToken,
    RunnerVersionDeprecation,
    Webhook,
    WebhookConfig,
    WorkflowRun,
)
from runners.github.urls import ScopePath
from tests.github.fake_state import (
    DEFAULT_GROUP_ID,
    NOW,
    FakeState,
    a_group,
    custom_label,
    operation,
    refusal,
)

__all__ = ["NOW", "FakeGitHub", "refusal"]


class FakeGitHub(FakeState):
    """GitHub, in memory; `FakeState` has what tests set up and look at."""

    # Runners.

    @operation
    def list_self_hosted_runners(
        self, scope: ScopePath, *, name: str | None = None
    ) -> Listing[Runner]:
        self._see("list_self_hosted_runners", scope)
        found = [runner for runner in self.runners(scope) if name in {None, runner.name}]
        return self._listing(("runners", scope, name), found)

    @operation
    def get_self_hosted_runner(self, scope: ScopePath, runner_id: int) -> Runner:
        return self._runner("get_self_hosted_runner", scope, runner_id)

    @operation
    def delete_self_hosted_runner(self, scope: ScopePath, runner_id: int) -> None:
        runner = self._runner("delete_self_hosted_runner", scope, runner_id)
        if runner.busy:
            message = (
                f"Bad request - Runner {runner.name} is currently running a job and cannot be "
                "deleted."
            )
            raise refusal("delete_self_hosted_runner", 422, message)
        del self._runners[scope, runner_id]

    @operation
    def create_registration_token(self, scope: ScopePath) -> RunnerToken:
        return self._token("create_registration_token", scope)

    @operation
    def create_remove_token(self, scope: ScopePath) -> RunnerToken:
        return self._token("create_remove_token", scope)

    @operation
    def generate_jitconfig(
        self,
        scope: ScopePath,
        *,
        name: str,
        runner_group_id: int,
        labels: Sequence[str],
        work_folder: str | None = None,
    ) -> JitConfig:
        self._see("generate_jitconfig", scope)
        if not 1 <= len(labels) <= 100:
            raise refusal("generate_jitconfig", 422, "Invalid request: labels must be 1 to 100.")
        self._group("generate_jitconfig", scope, runner_group_id)
        if any(runner.name == name for runner in self.runners(scope)):
            message = f"Already exists - A runner with the name {name} already exists."
            raise refusal("generate_jitconfig", 409, message)
        runner = self.add_runner(scope, name, labels=labels, runner_group_id=runner_group_id)
        files = {".runner": "e30=", ".credentials": "e30=", ".credentials_rsaparams": "e30="}
        files["of"] = b64encode(f"{name}/{work_folder or '_work'}".encode()).decode()
        return JitConfig(runner, b64encode(json.dumps(files).encode()).decode())

    @operation
    def list_runner_applications(self, scope: ScopePath) -> tuple[RunnerApplication, ...]:
        self._see("list_runner_applications", scope)
        return self.applications

    @operation
    def get_runner_version_deprecation(
        self, scope: ScopePath, version: str
    ) -> RunnerVersionDeprecation:
        self._see("get_runner_version_deprecation", scope)
        return self.deprecations.get(version, RunnerVersionDeprecation(version, None, None))

    @operation
    def list_labels_for_self_hosted_runner(
        self, scope: ScopePath, runner_id: int
    ) -> tuple[RunnerLabel, ...]:
        return self._runner("list_labels_for_self_hosted_runner", scope, runner_id).labels

    @operation
    def add_custom_labels_to_self_hosted_runner(
        self, scope: ScopePath, runner_id: int, labels: Sequence[str]
    ) -> tuple[RunnerLabel, ...]:
        operation = "add_custom_labels_to_self_hosted_runner"
        had = self._runner(operation, scope, runner_id).labels
        if not labels:
            raise refusal(operation, 422, "Invalid request: at least one label.")
        return self._set_labels(scope, runner_id, (*had, *map(custom_label, labels)))

    @operation
    def set_custom_labels_for_self_hosted_runner(
        self, scope: ScopePath, runner_id: int, labels: Sequence[str]
    ) -> tuple[RunnerLabel, ...]:
        had = self._runner("set_custom_labels_for_self_hosted_runner", scope, runner_id).labels
        kept = [label for label in had if label.type == "read-only"]
        return self._set_labels(scope, runner_id, (*kept, *map(custom_label, labels)))

    @operation
    def remove_all_custom_labels_from_self_hosted_runner(
        self, scope: ScopePath, runner_id: int
    ) -> tuple[RunnerLabel, ...]:
        operation = "remove_all_custom_labels_from_self_hosted_runner"
        had = self._runner(operation, scope, runner_id).labels
        return self._set_labels(
            scope, runner_id, [label for label in had if label.type == "read-only"]
        )

    @operation
    def remove_custom_label_from_self_hosted_runner(
        self, scope: ScopePath, runner_id: int, label: str
    ) -> tuple[RunnerLabel, ...]:
        operation = "remove_custom_label_from_self_hosted_runner"
        had = self._runner(operation, scope, runner_id).labels
        gone = [found for found in had if found.name.lower() == label.lower()]
        if not gone:
            raise refusal(operation, 404, "Not Found")
        if gone[0].type == "read-only":
            raise refusal(operation, 422, "Read-only labels cannot be removed.")
        return self._set_labels(scope, runner_id, [found for found in had if found not in gone])

    # Runner groups.

    @operation
    def list_self_hosted_runner_groups(
        self, scope: ScopePath, *, visible_to_repository: str | None = None
    ) -> Listing[RunnerGroup]:
        self._see("list_self_hosted_runner_groups", scope, groups=True)
        groups = [group for (owner, _), group in self._groups.items() if owner == scope]
        default = a_group(DEFAULT_GROUP_ID, "Default", default=True, public=False)
        return self._listing(("groups", scope, visible_to_repository), [default, *groups])

    @operation
    def get_self_hosted_runner_group(self, scope: ScopePath, runner_group_id: int) -> RunnerGroup:
        self._see("get_self_hosted_runner_group", scope, groups=True)
        return self._group("get_self_hosted_runner_group", scope, runner_group_id)

    @operation
    def list_self_hosted_runners_in_group(
        self, scope: ScopePath, runner_group_id: int
    ) -> Listing[Runner]:
        self._see("list_self_hosted_runners_in_group", scope, groups=True)
        self._group("list_self_hosted_runners_in_group", scope, runner_group_id)
        found = [
            runner for runner in self.runners(scope) if runner.runner_group_id == runner_group_id
        ]
        return self._listing(("in group", scope, runner_group_id), found)

    # Account and repositories.

    @operation
    def get_authenticated_user(self) -> AuthenticatedUser:
        return self.user

    @operation
    def get_rate_limit(self) -> RateLimits:
        return RateLimits({})

    @operation
    def get_meta(self) -> Meta:
        return Meta(hooks=("192.0.2.0/24",), actions=(), api=(), installed_version="")

    @operation
    def get_organization(self, organization: ScopePath) -> Owner:
        self._see("get_organization", organization)
        return Owner(1, organization.slug)

    @operation
    def get_repository(self, repository: ScopePath) -> Repository:
        self._see("get_repository", repository)
        if repository.slug not in self._repositories:
            raise refusal("get_repository", 404, "Not Found")
        return self._repositories[repository.slug]

    @operation
    def list_repositories_for_org(
        self, organization: ScopePath, *, sort: str | None = None, max_items: int | None = None
    ) -> Listing[Repository]:
        self._see("list_repositories_for_org", organization)
        found = [
            repository
            for repository in self._repositories.values()
            if repository.owner == organization.slug
        ]
        if sort == "pushed":
            found.sort(key=lambda repository: repository.pushed_at or NOW, reverse=True)
        key = ("repositories", organization, sort, max_items)
        return self._listing(key, found, max_items)

    # Runs and jobs.

    @operation
    def list_workflow_runs_for_repo(
        self,
        repository: ScopePath,
        *,
        status: str | None = None,
        branch: str | None = None,
        event: str | None = None,
        created: str | None = None,
        max_items: int | None = None,
    ) -> Listing[WorkflowRun]:
        self._see("list_workflow_runs_for_repo", repository)
        found = [
            run
            for (full_name, _), run in reversed(self._runs.items())
            if full_name == repository.slug
            and status in {None, run.status}
            and branch in {None, run.head_branch}
            and event in {None, run.event}
        ]
        return self._listing(("runs", repository, status, branch, event), found, max_items)

    @operation
    def get_workflow_run(self, repository: ScopePath, run_id: int) -> WorkflowRun:
        return self._run("get_workflow_run", repository, run_id)

    @operation
    def list_jobs_for_workflow_run(
        self, repository: ScopePath, run_id: int, *, filter_: str = "latest"
    ) -> Listing[Job]:
        run = self._run("list_jobs_for_workflow_run", repository, run_id)
        found = [
            job
            for (full_name, _), job in self._jobs.items()
            if full_name == repository.slug
            and job.run_id == run_id
            and (filter_ == "all" or job.run_attempt == run.run_attempt)
        ]
        return self._listing(("jobs", repository, run_id, filter_), found)

    @operation
    def get_job_for_workflow_run(self, repository: ScopePath, job_id: int) -> Job:
        self._see("get_job_for_workflow_run", repository)
        if (repository.slug, job_id) not in self._jobs:
            raise refusal("get_job_for_workflow_run", 404, "Not Found")
        return self._jobs[repository.slug, job_id]

    @operation
    def cancel_workflow_run(self, repository: ScopePath, run_id: int) -> None:
        run = self._run("cancel_workflow_run", repository, run_id)
        if run.status == "completed":
            raise refusal("cancel_workflow_run", 409, "Cannot cancel a workflow run that is done.")
        self.set_run(run, status="completed", conclusion="cancelled")

    # Webhooks.

    @operation
    def list_webhooks(self, scope: ScopePath) -> Listing[Webhook]:
        self._see("list_webhooks", scope)
        found = [hook for (owner, _), hook in self._hooks.items() if owner == scope]
        return self._listing(("hooks", scope), found)

    @operation
    def create_webhook(
        self,
        scope: ScopePath,
        *,
        url: str,
        secret: str,
        events: Sequence[str],
        content_type: str = "json",
    ) -> Webhook:
        self._see("create_webhook", scope)
        if any(
            hook.config.url == url for (owner, _), hook in self._hooks.items() if owner == scope
        ):
            raise refusal("create_webhook", 422, "Hook already exists on this organization")
        config = WebhookConfig(url, content_type, insecure_ssl=False, has_secret=bool(secret))
        hook = Webhook(next(self._ids), True, tuple(events), config, self.now(), self.now())
        self._hooks[scope, hook.id] = hook
        return hook

    @operation
    def delete_webhook(self, scope: ScopePath, hook_id: int) -> None:
        self._hook("delete_webhook", scope, hook_id)
        del self._hooks[scope, hook_id]

    @operation
    def ping_webhook(self, scope: ScopePath, hook_id: int) -> None:
        self._hook("ping_webhook", scope, hook_id)

    @operation
    def list_webhook_deliveries(
        self,
        scope: ScopePath,
        hook_id: int,
        *,
        status: str | None = None,
        max_items: int | None = None,
    ) -> Listing[Delivery]:
        self._hook("list_webhook_deliveries", scope, hook_id)
        found = [
            delivery
            for delivery in self._deliveries.get((scope, hook_id), [])
            if status is None or delivery.ok == (status == "success")
        ]
        return self._listing(("deliveries", scope, hook_id, status), found, max_items)

    @operation
    def redeliver_webhook_delivery(self, scope: ScopePath, hook_id: int, delivery_id: int) -> None:
        self._hook("redeliver_webhook_delivery", scope, hook_id)
        known = self._deliveries.get((scope, hook_id), [])
        if not any(delivery.id == delivery_id for delivery in known):
            raise refusal("redeliver_webhook_delivery", 404, "Not Found")
        self.redelivered.append(delivery_id)

    @operation
    def get_webhook_delivery(
        self, scope: ScopePath, hook_id: int, delivery_id: int
    ) -> DeliveryDetail:
        self._hook("get_webhook_delivery", scope, hook_id)
        for delivery in self._deliveries.get((scope, hook_id), []):
            if delivery.id == delivery_id:
                return DeliveryDetail(delivery, {}, self.payloads.get(delivery.guid, "{}"))
        raise refusal("get_webhook_delivery", 404, "Not Found")

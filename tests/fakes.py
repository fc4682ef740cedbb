"""A GitHub in memory, with the methods of `GitHubClient`, for tests of what stands on the client.

It keeps runners, groups, runs, jobs and webhooks, refuses what GitHub refuses, and fails on
command. It sends nothing: an operation that it does not know raises instead of going out. The
contract tests in `tests/github/test_contract.py` hold it and the real client to the same behaviour.
"""

from __future__ import annotations

import itertools
import json
from base64 import b64encode
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Concatenate, Never, ParamSpec, TypeVar

import requests

from runners.github.auth import TokenAuth
from runners.github.client import GitHubClient
from runners.github.errors import GitHubError
from runners.github.refusals import error_for, read_refusal
from runners.github.types import (
    AuthenticatedUser,
    Delivery,
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
from runners.github.urls import ScopeKind, ScopePath

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
TOKEN_LIFE = timedelta(hours=1)
DEFAULT_GROUP_ID = 1
READ_ONLY_NAMES = frozenset({"self-hosted", "linux", "macos", "windows", "x64", "arm", "arm64"})


@dataclass(slots=True)
class _Failure:
    error: Exception
    times: int
    after_effect: bool


class _NoNetwork(requests.Session):
    """Refuses to send, so that a method missing from the fake is noticed."""

    def request(self, *args: object, **kwargs: object) -> Never:
        raise AssertionError("FakeGitHub does not know this operation: add it to tests/fakes.py")


def _operation(
    method: Callable[Concatenate[FakeGitHub, P], R],
) -> Callable[Concatenate[FakeGitHub, P], R]:
    """Note the call, and fail before or after its effect where the test asked for it."""
    name = method.__name__

    @wraps(method)
    def call(self: FakeGitHub, /, *args: P.args, **kwargs: P.kwargs) -> R:
        self.calls.append(name)
        failure = self._failures.get(name)
        if failure is None:
            return method(self, *args, **kwargs)
        failure.times -= 1
        if failure.times == 0:
            del self._failures[name]
        if failure.after_effect:
            method(self, *args, **kwargs)
        raise failure.error

    return call


class FakeGitHub(GitHubClient):
    """GitHub, in memory. `calls` are the names of the methods called, in order."""

    def __init__(
        self,
        *,
        token: str = f"ghp_{'f' * 36}",
        clock: Callable[[], datetime] = lambda: NOW,
    ) -> None:
        super().__init__("http://127.0.0.1:9", TokenAuth(token), _NoNetwork(), clock=clock)
        self.calls: list[str] = []
        self.user = AuthenticatedUser(1, "octocat", ("repo", "admin:org"), None)
        self.applications: tuple[RunnerApplication, ...] = ()
        self.deprecations: dict[str, RunnerVersionDeprecation] = {}
        self._failures: dict[str, _Failure] = {}
        self._ids = itertools.count(1)
        self._hidden: set[ScopePath] = set()
        self._runners: dict[tuple[ScopePath, int], Runner] = {}
        self._groups: dict[tuple[ScopePath, int], RunnerGroup] = {}
        self._repositories: dict[str, Repository] = {}
        self._runs: dict[tuple[str, int], WorkflowRun] = {}
        self._jobs: dict[tuple[str, int], Job] = {}
        self._hooks: dict[tuple[ScopePath, int], Webhook] = {}
        self._deliveries: dict[tuple[ScopePath, int], list[Delivery]] = {}
        self._listed: dict[Hashable, tuple[object, ...]] = {}

    # What tests set up.

    def fail_next(
        self, method: str, error: Exception, *, times: int = 1, after_effect: bool = False
    ) -> None:
        """Make the next calls of `method` raise; `after_effect` does the work first."""
        if not hasattr(GitHubClient, method):
            raise AssertionError(f"The client has no method {method!r}")
        self._failures[method] = _Failure(error, times, after_effect)

    def hide(self, scope: ScopePath) -> None:
        """Answer 404 for everything in a scope, as for one that the credential may not see."""
        self._hidden.add(scope)

    def add_runner(
        self,
        scope: ScopePath,
        name: str,
        *,
        labels: Iterable[str] = ("self-hosted", "Linux", "X64"),
        online: bool = False,
        busy: bool = False,
        ephemeral: bool = True,
        runner_group_id: int = DEFAULT_GROUP_ID,
        version: str = "",
    ) -> Runner:
        """Register a runner as `config.sh` would."""
        runner = Runner(
            id=next(self._ids),
            name=name,
            os="Linux" if version else "unknown",
            status="online" if online else "offline",
            busy=busy,
            labels=tuple(self._label(label) for label in labels),
            runner_group_id=runner_group_id,
            ephemeral=ephemeral,
            version=version,
        )
        self._runners[scope, runner.id] = runner
        return runner

    def set_runner(
        self,
        scope: ScopePath,
        name: str,
        *,
        online: bool | None = None,
        busy: bool | None = None,
        labels: Iterable[str] | None = None,
        version: str | None = None,
    ) -> Runner:
        """Change what GitHub says of the runner called `name`."""
        runner = next(found for found in self.runners(scope) if found.name == name)
        runner = replace(
            runner,
            status=runner.status if online is None else ("online" if online else "offline"),
            busy=runner.busy if busy is None else busy,
            labels=runner.labels if labels is None else tuple(map(self._label, labels)),
            version=runner.version if version is None else version,
        )
        self._runners[scope, runner.id] = runner
        return runner

    def drop_runner(self, scope: ScopePath, name: str) -> None:
        """Have GitHub remove a runner by itself, as after an ephemeral runner's job."""
        runner = next(found for found in self.runners(scope) if found.name == name)
        del self._runners[scope, runner.id]

    def runners(self, scope: ScopePath) -> list[Runner]:
        """The runners registered, without a call being noted."""
        return [runner for (owner, _), runner in self._runners.items() if owner == scope]

    def add_group(self, scope: ScopePath, name: str, *, public: bool = False) -> RunnerGroup:
        """Make a runner group."""
        group = _group(DEFAULT_GROUP_ID + next(self._ids), name, default=False, public=public)
        self._groups[scope, group.id] = group
        return group

    def add_repository(self, full_name: str, *, private: bool = True) -> Repository:
        """Make a repository."""
        owner, name = full_name.split("/")
        repository = Repository(
            id=next(self._ids),
            name=name,
            full_name=full_name,
            owner=owner,
            private=private,
            archived=False,
            fork=False,
            visibility="private" if private else "public",
            default_branch="main",
            html_url=f"https://github.com/{full_name}",
            pushed_at=self.now(),
        )
        self._repositories[full_name] = repository
        return repository

    def add_run(self, full_name: str, *, status: str = "queued", name: str = "ci") -> WorkflowRun:
        """Start a workflow run; a repository that is not there is made."""
        if full_name not in self._repositories:
            self.add_repository(full_name)
        run_id = next(self._ids)
        run = WorkflowRun(
            id=run_id,
            name=name,
            workflow_id=1,
            path=f".github/workflows/{name}.yml",
            run_number=run_id,
            run_attempt=1,
            event="push",
            status=status,
            conclusion="",
            head_branch="main",
            head_sha="0" * 40,
            display_title=name,
            html_url=f"https://github.com/{full_name}/actions/runs/{run_id}",
            repository=full_name,
            created_at=self.now(),
            updated_at=self.now(),
            run_started_at=self.now(),
        )
        self._runs[full_name, run_id] = run
        return run

    def add_job(
        self, run: WorkflowRun, *, labels: Iterable[str] = ("self-hosted",), name: str = "build"
    ) -> Job:
        """Queue a job of a run."""
        job = Job(
            id=next(self._ids),
            run_id=run.id,
            run_attempt=run.run_attempt,
            name=name,
            workflow_name=run.name,
            head_branch=run.head_branch,
            head_sha=run.head_sha,
            status="queued",
            conclusion="",
            labels=tuple(labels),
            runner_id=None,
            runner_name="",
            runner_group_id=None,
            runner_group_name="",
            html_url=f"{run.html_url}/job/1",
            created_at=self.now(),
            started_at=None,
            completed_at=None,
            steps=(),
        )
        self._jobs[run.repository, job.id] = job
        return job

    def set_job(self, job: Job, **changes: object) -> Job:
        """Change fields of a job, as GitHub would report them."""
        key = next(key for key in self._jobs if key[1] == job.id)
        self._jobs[key] = replace(self._jobs[key], **changes)  # type: ignore[arg-type]
        return self._jobs[key]

    def set_run(self, run: WorkflowRun, **changes: object) -> WorkflowRun:
        """Change fields of a run, as GitHub would report them."""
        key = (run.repository, run.id)
        self._runs[key] = replace(self._runs[key], **changes)  # type: ignore[arg-type]
        return self._runs[key]

    def add_delivery(self, scope: ScopePath, hook_id: int, delivery: Delivery) -> None:
        """Record a delivery, newest first."""
        self._deliveries.setdefault((scope, hook_id), []).insert(0, delivery)

    # Runners.

    @_operation
    def list_self_hosted_runners(
        self, scope: ScopePath, *, name: str | None = None
    ) -> Listing[Runner]:
        self._see("list_self_hosted_runners", scope)
        found = [runner for runner in self.runners(scope) if name in {None, runner.name}]
        return self._listing(("runners", scope, name), found)

    @_operation
    def get_self_hosted_runner(self, scope: ScopePath, runner_id: int) -> Runner:
        return self._runner("get_self_hosted_runner", scope, runner_id)

    @_operation
    def delete_self_hosted_runner(self, scope: ScopePath, runner_id: int) -> None:
        runner = self._runner("delete_self_hosted_runner", scope, runner_id)
        if runner.busy:
            message = (
                f"Bad request - Runner {runner.name} is currently running a job and cannot be "
                "deleted."
            )
            raise refusal("delete_self_hosted_runner", 422, message)
        del self._runners[scope, runner_id]

    @_operation
    def create_registration_token(self, scope: ScopePath) -> RunnerToken:
        return self._token("create_registration_token", scope)

    @_operation
    def create_remove_token(self, scope: ScopePath) -> RunnerToken:
        return self._token("create_remove_token", scope)

    @_operation
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

    @_operation
    def list_runner_applications(self, scope: ScopePath) -> tuple[RunnerApplication, ...]:
        self._see("list_runner_applications", scope)
        return self.applications

    @_operation
    def get_runner_version_deprecation(
        self, scope: ScopePath, version: str
    ) -> RunnerVersionDeprecation:
        self._see("get_runner_version_deprecation", scope)
        return self.deprecations.get(version, RunnerVersionDeprecation(version, None, None))

    @_operation
    def list_labels_for_self_hosted_runner(
        self, scope: ScopePath, runner_id: int
    ) -> tuple[RunnerLabel, ...]:
        return self._runner("list_labels_for_self_hosted_runner", scope, runner_id).labels

    @_operation
    def add_custom_labels_to_self_hosted_runner(
        self, scope: ScopePath, runner_id: int, labels: Sequence[str]
    ) -> tuple[RunnerLabel, ...]:
        operation = "add_custom_labels_to_self_hosted_runner"
        had = self._runner(operation, scope, runner_id).labels
        if not labels:
            raise refusal(operation, 422, "Invalid request: at least one label.")
        return self._set_labels(scope, runner_id, (*had, *map(_custom, labels)))

    @_operation
    def set_custom_labels_for_self_hosted_runner(
        self, scope: ScopePath, runner_id: int, labels: Sequence[str]
    ) -> tuple[RunnerLabel, ...]:
        had = self._runner("set_custom_labels_for_self_hosted_runner", scope, runner_id).labels
        kept = [label for label in had if label.type == "read-only"]
        return self._set_labels(scope, runner_id, (*kept, *map(_custom, labels)))

    @_operation
    def remove_all_custom_labels_from_self_hosted_runner(
        self, scope: ScopePath, runner_id: int
    ) -> tuple[RunnerLabel, ...]:
        operation = "remove_all_custom_labels_from_self_hosted_runner"
        had = self._runner(operation, scope, runner_id).labels
        return self._set_labels(
            scope, runner_id, [label for label in had if label.type == "read-only"]
        )

    @_operation
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

    @_operation
    def list_self_hosted_runner_groups(
        self, scope: ScopePath, *, visible_to_repository: str | None = None
    ) -> Listing[RunnerGroup]:
        self._see("list_self_hosted_runner_groups", scope, groups=True)
        groups = [group for (owner, _), group in self._groups.items() if owner == scope]
        default = _group(DEFAULT_GROUP_ID, "Default", default=True, public=False)
        return self._listing(("groups", scope, visible_to_repository), [default, *groups])

    @_operation
    def get_self_hosted_runner_group(self, scope: ScopePath, runner_group_id: int) -> RunnerGroup:
        self._see("get_self_hosted_runner_group", scope, groups=True)
        return self._group("get_self_hosted_runner_group", scope, runner_group_id)

    @_operation
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

    @_operation
    def get_authenticated_user(self) -> AuthenticatedUser:
        return self.user

    @_operation
    def get_rate_limit(self) -> RateLimits:
        return RateLimits({})

    @_operation
    def get_meta(self) -> Meta:
        return Meta(hooks=("192.0.2.0/24",), actions=(), api=(), installed_version="")

    @_operation
    def get_organization(self, organization: ScopePath) -> Owner:
        self._see("get_organization", organization)
        return Owner(1, organization.slug)

    @_operation
    def get_repository(self, repository: ScopePath) -> Repository:
        self._see("get_repository", repository)
        if repository.slug not in self._repositories:
            raise refusal("get_repository", 404, "Not Found")
        return self._repositories[repository.slug]

    @_operation
    def list_repositories_for_org(
        self, organization: ScopePath, *, max_items: int | None = None
    ) -> Listing[Repository]:
        self._see("list_repositories_for_org", organization)
        found = [
            repository
            for repository in self._repositories.values()
            if repository.owner == organization.slug
        ]
        return self._listing(("repositories", organization, max_items), found, max_items)

    # Runs and jobs.

    @_operation
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

    @_operation
    def get_workflow_run(self, repository: ScopePath, run_id: int) -> WorkflowRun:
        return self._run("get_workflow_run", repository, run_id)

    @_operation
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

    @_operation
    def get_job_for_workflow_run(self, repository: ScopePath, job_id: int) -> Job:
        self._see("get_job_for_workflow_run", repository)
        if (repository.slug, job_id) not in self._jobs:
            raise refusal("get_job_for_workflow_run", 404, "Not Found")
        return self._jobs[repository.slug, job_id]

    @_operation
    def cancel_workflow_run(self, repository: ScopePath, run_id: int) -> None:
        run = self._run("cancel_workflow_run", repository, run_id)
        if run.status == "completed":
            raise refusal("cancel_workflow_run", 409, "Cannot cancel a workflow run that is done.")
        self.set_run(run, status="completed", conclusion="cancelled")

    # Webhooks.

    @_operation
    def list_webhooks(self, scope: ScopePath) -> Listing[Webhook]:
        self._see("list_webhooks", scope)
        found = [hook for (owner, _), hook in self._hooks.items() if owner == scope]
        return self._listing(("hooks", scope), found)

    @_operation
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

    @_operation
    def delete_webhook(self, scope: ScopePath, hook_id: int) -> None:
        self._hook("delete_webhook", scope, hook_id)
        del self._hooks[scope, hook_id]

    @_operation
    def ping_webhook(self, scope: ScopePath, hook_id: int) -> None:
        self._hook("ping_webhook", scope, hook_id)

    @_operation
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

    @_operation
    def redeliver_webhook_delivery(self, scope: ScopePath, hook_id: int, delivery_id: int) -> None:
        self._hook("redeliver_webhook_delivery", scope, hook_id)
        known = self._deliveries.get((scope, hook_id), [])
        if not any(delivery.id == delivery_id for delivery in known):
            raise refusal("redeliver_webhook_delivery", 404, "Not Found")

    # Inside.

    def _see(self, operation: str, scope: ScopePath, *, groups: bool = False) -> None:
        if scope in self._hidden or (groups and scope.kind is ScopeKind.REPOSITORY):
            raise refusal(operation, 404, "Not Found")

    def _runner(self, operation: str, scope: ScopePath, runner_id: int) -> Runner:
        self._see(operation, scope)
        if (scope, runner_id) not in self._runners:
            raise refusal(operation, 404, "Not Found")
        return self._runners[scope, runner_id]

    def _group(self, operation: str, scope: ScopePath, runner_group_id: int) -> RunnerGroup:
        if runner_group_id == DEFAULT_GROUP_ID:
            return _group(DEFAULT_GROUP_ID, "Default", default=True, public=False)
        if (scope, runner_group_id) not in self._groups:
            raise refusal(operation, 404, "Not Found")
        return self._groups[scope, runner_group_id]

    def _run(self, operation: str, repository: ScopePath, run_id: int) -> WorkflowRun:
        self._see(operation, repository)
        if (repository.slug, run_id) not in self._runs:
            raise refusal(operation, 404, "Not Found")
        return self._runs[repository.slug, run_id]

    def _hook(self, operation: str, scope: ScopePath, hook_id: int) -> Webhook:
        self._see(operation, scope)
        if (scope, hook_id) not in self._hooks:
            raise refusal(operation, 404, "Not Found")
        return self._hooks[scope, hook_id]

    def _token(self, operation: str, scope: ScopePath) -> RunnerToken:
        self._see(operation, scope)
        return RunnerToken(f"A{next(self._ids):028d}", self.now() + TOKEN_LIFE)

    def _label(self, name: str) -> RunnerLabel:
        kind = "read-only" if name.lower() in READ_ONLY_NAMES else "custom"
        return RunnerLabel(name, kind, next(self._ids))

    def _set_labels(
        self, scope: ScopePath, runner_id: int, labels: Iterable[RunnerLabel]
    ) -> tuple[RunnerLabel, ...]:
        by_name: dict[str, RunnerLabel] = {}
        for label in labels:
            by_name.setdefault(label.name.lower(), label)
        runner = replace(self._runners[scope, runner_id], labels=tuple(by_name.values()))
        self._runners[scope, runner_id] = runner
        return runner.labels

    def _listing(
        self, key: Hashable, found: Sequence[T], max_items: int | None = None
    ) -> Listing[T]:
        items = tuple(found)[:max_items]
        not_modified = self._listed.get(key) == items
        self._listed[key] = items
        return Listing(
            items,
            complete=len(items) == len(found),
            not_modified=not_modified,
            total_count=len(found),
        )


def refusal(operation: str, status: int, message: str) -> GitHubError:
    """The error the real client raises for such an answer."""
    body = json.dumps({"message": message, "documentation_url": "https://docs.github.com/rest"})
    read = read_refusal(operation, status, {"x-github-request-id": "FAKE:1"}, body.encode())
    return error_for(read, is_read=False)


def _custom(name: str) -> RunnerLabel:
    return RunnerLabel(name, "custom")


def _group(group_id: int, name: str, *, default: bool, public: bool) -> RunnerGroup:
    return RunnerGroup(
        id=group_id,
        name=name,
        visibility="all",
        default=default,
        inherited=False,
        allows_public_repositories=public,
        restricted_to_workflows=False,
        selected_workflows=(),
    )

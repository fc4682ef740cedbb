"""What the GitHub in memory holds, how tests set it up, and how it refuses.

The operations on it are in `tests/fakes.py`.
"""

from __future__ import annotations

import itertools
import json
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
    Job,
    Listing,
    Repository,
    Runner,
    RunnerApplication,
    RunnerGroup,
    RunnerLabel,
    RunnerToken,
    RunnerVersionDeprecation,
    Webhook,
    WorkflowRun,
)
from runners.github.urls import ScopeKind, ScopePath

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="FakeState")
T = TypeVar("T")

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
TOKEN_LIFE = timedelta(hours=1)
DEFAULT_GROUP_ID = 1
READ_ONLY_NAMES = frozenset({"self-hosted", "linux", "macos", "windows", "x64", "arm", "arm64"})


@dataclass(slots=True)
class Failure:
    error: Exception
    times: int
    after_effect: bool


class _NoNetwork(requests.Session):
    """Refuses to send, so that a method missing from the fake is noticed."""

    def request(self, *args: object, **kwargs: object) -> Never:
        raise AssertionError("FakeGitHub does not know this operation: add it to tests/fakes.py")


def operation(
    method: Callable[Concatenate[S, P], R],
) -> Callable[Concatenate[S, P], R]:
    """Note the call, and fail before or after its effect where the test asked for it."""
    name = method.__name__

    @wraps(method)
    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        self.calls.append(name)
        failure = self.failures.get(name)
        if failure is None:
            return method(self, *args, **kwargs)
        failure.times -= 1
        if failure.times == 0:
            del self.failures[name]
        if failure.after_effect:
            method(self, *args, **kwargs)
        raise failure.error

    return call


class FakeState(GitHubClient):
    """The state of one GitHub in memory. `calls` are the names of the methods called, in order."""

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
        self.failures: dict[str, Failure] = {}
        self._ids = itertools.count(1)
        self._hidden: set[ScopePath] = set()
        self._runners: dict[tuple[ScopePath, int], Runner] = {}
        self._groups: dict[tuple[ScopePath, int], RunnerGroup] = {}
        self._repositories: dict[str, Repository] = {}
        self._runs: dict[tuple[str, int], WorkflowRun] = {}
        self._jobs: dict[tuple[str, int], Job] = {}
        self._hooks: dict[tuple[ScopePath, int], Webhook] = {}
        self._deliveries: dict[tuple[ScopePath, int], list[Delivery]] = {}
        self.payloads: dict[str, str] = {}
        self.redelivered: list[int] = []
        self._listed: dict[Hashable, tuple[object, ...]] = {}

    # What tests set up.

    def fail_next(
        self, method: str, error: Exception, *, times: int = 1, after_effect: bool = False
    ) -> None:
        """Make the next calls of `method` raise; `after_effect` does the work first."""
        if not hasattr(GitHubClient, method):
            raise AssertionError(f"The client has no method {method!r}")
        self.failures[method] = Failure(error, times, after_effect)

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
        group = a_group(DEFAULT_GROUP_ID + next(self._ids), name, default=False, public=public)
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

    def touch_repository(self, full_name: str, *, pushed_at: datetime) -> None:
        """Have somebody push to a repository."""
        repository = replace(self._repositories[full_name], pushed_at=pushed_at)
        self._repositories[full_name] = repository

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
            return a_group(DEFAULT_GROUP_ID, "Default", default=True, public=False)
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


def custom_label(name: str) -> RunnerLabel:
    return RunnerLabel(name, "custom")


def a_group(group_id: int, name: str, *, default: bool, public: bool) -> RunnerGroup:
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

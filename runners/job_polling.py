"""Jobs asked for at GitHub: the picture of the queue where no webhook tells it.

Looks at the queued and running workflow runs of a scope's repositories, at those that ended since
the last look, and again at every run we hold for open, so that a job that ended is noticed. What
GitHub would not tell stays as it was.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

from runners import jobs
from runners.github.errors import NotFound
from runners.github.types import Job as GitHubJob
from runners.github.types import Listing, Repository, WorkflowRun
from runners.github.urls import ScopeKind, ScopePath
from runners.jobs import JobFacts
from runners.models import Job, Scope
from runners.registry import path_of

OPEN_STATUSES = ("queued", "in_progress")
REPOSITORIES_A_PASS = 30
RUNS_A_REPOSITORY = 100
CLOCK_MARGIN = timedelta(minutes=2)
"""How far our clock and GitHub's may differ; a run looked at twice changes nothing."""


class RunsSource(Protocol):
    """The part of the GitHub client this needs."""

    def list_repositories_for_org(
        self, organization: ScopePath, *, max_items: int | None = None
    ) -> Listing[Repository]:
        """Repositories of an organization."""

    def list_workflow_runs_for_repo(
        self, repository: ScopePath, *, status: str | None = None, max_items: int | None = None
    ) -> Listing[WorkflowRun]:
        """Runs with this status, newest first."""

    def list_jobs_for_workflow_run(self, repository: ScopePath, run_id: int) -> Listing[GitHubJob]:
        """Jobs of a run's latest attempt."""


def poll(scope: Scope, *, github: RunsSource, now: datetime) -> int:
    """Bring the scope's jobs up to date; returns how many changed. Raises GitHubError when cut
    off."""
    changed = 0
    repositories = _repositories(scope, github)
    runs: dict[tuple[str, int], ScopePath] = {}
    for repository in repositories:
        for status in OPEN_STATUSES:
            for run in github.list_workflow_runs_for_repo(
                repository, status=status, max_items=RUNS_A_REPOSITORY
            ):
                runs[(repository.slug, run.id)] = repository
        for run in _ended_since_last_look(scope, repository, github):
            runs[(repository.slug, run.id)] = repository
    open_jobs = Job.objects.filter(scope=scope).exclude(status=Job.Status.COMPLETED)
    for slug, run_id in open_jobs.values_list("repository", "run_id").distinct():
        runs.setdefault((slug, run_id), ScopePath.repository(slug))
    for (_, run_id), repository in runs.items():
        changed += _poll_run(scope, repository, run_id, github, now)
    Scope.objects.filter(pk=scope.pk).update(jobs_polled_at=now)
    return changed


def _ended_since_last_look(
    scope: Scope, repository: ScopePath, github: RunsSource
) -> list[WorkflowRun]:
    """Runs that began and ended between two polls, which neither open list ever showed."""
    since = (scope.jobs_polled_at or scope.created_at) - CLOCK_MARGIN
    ended = github.list_workflow_runs_for_repo(
        repository, status="completed", max_items=RUNS_A_REPOSITORY
    )
    return [run for run in ended if run.updated_at >= since]


def _repositories(scope: Scope, github: RunsSource) -> list[ScopePath]:
    path = path_of(scope)
    if path.kind is ScopeKind.REPOSITORY:
        return [path]
    if path.kind is ScopeKind.ORGANIZATION:
        listed = github.list_repositories_for_org(path, max_items=REPOSITORIES_A_PASS)
        return [ScopePath.repository(repository.full_name) for repository in listed]
    return []  # GitHub has no list of an enterprise's repositories


def _poll_run(
    scope: Scope, repository: ScopePath, run_id: int, github: RunsSource, now: datetime
) -> int:
    try:
        listed = github.list_jobs_for_workflow_run(repository, run_id)
    except NotFound:
        # The run was deleted: what was open of it can't finish any more
        return (
            Job.objects.filter(scope=scope, repository=repository.slug, run_id=run_id)
            .exclude(status=Job.Status.COMPLETED)
            .update(status=Job.Status.COMPLETED, conclusion="cancelled", completed_at=now)
        )
    return sum(jobs.record(scope, facts_of(job, repository.slug), now=now) for job in listed)


def facts_of(job: GitHubJob, repository: str) -> JobFacts:
    """The client's job as the domain takes it."""
    return JobFacts(
        github_id=job.id,
        run_id=job.run_id,
        run_attempt=job.run_attempt,
        repository=repository,
        workflow_name=job.workflow_name,
        name=job.name,
        labels=job.labels,
        html_url=job.html_url,
        head_branch=job.head_branch,
        status=job.status,
        conclusion=job.conclusion,
        runner_name=job.runner_name,
        created_at=job.created_at,
        started_at=job.started_at,
        completed_at=job.completed_at,
        setup_seconds=jobs.setup_seconds(
            job.started_at, job.steps[0].completed_at if job.steps else None
        ),
    )

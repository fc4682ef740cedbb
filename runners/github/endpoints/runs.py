"""Workflows, runs, jobs and logs of a repository.

Source: GitHub Docs "REST API endpoints for workflows", "... workflow runs", "... workflow jobs".
Permission: repository "actions", read for lists and logs, write for the rest; classic token "repo".
"""

from __future__ import annotations

from urllib.parse import quote

from runners.github.parsing import Json
from runners.github.transport import Call
from runners.github.types.listing import Listing, PageOf
from runners.github.types.runs import (
    DispatchedRun,
    Job,
    JobLog,
    Workflow,
    WorkflowRun,
    parse_dispatched_run,
    parse_job,
    parse_workflow,
    parse_workflow_run,
)
from runners.github.urls import ScopeKind, ScopePath

from .base import Endpoints, without_none

RUN_PAGE = PageOf(parse_workflow_run, "workflow_runs")
JOB_PAGE = PageOf(parse_job, "jobs")
WORKFLOW_PAGE = PageOf(parse_workflow, "workflows")
LOG_TAIL_BYTES = 1024 * 1024
LOG_MAX_BYTES = 512 * 1024 * 1024


class _Tail:
    """Keeps the last bytes of a stream."""

    def __init__(self, keep_bytes: int) -> None:
        self._keep_bytes = keep_bytes
        self._kept = bytearray()
        self._size = 0

    def write(self, chunk: bytes, /) -> None:
        """Take the next piece."""
        self._size += len(chunk)
        self._kept += chunk
        del self._kept[: -self._keep_bytes]

    def log(self) -> JobLog:
        """What was kept."""
        text = self._kept.decode("utf-8", errors="replace")
        return JobLog(text, truncated=self._size > len(self._kept))


class RunEndpoints(Endpoints):
    """Operations under `/repos/{owner}/{repo}/actions`; `repository` is a repository scope."""

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
        """List runs, newest first. "List workflow runs for a repository"; read.

        A filtered search gives at most 1,000 runs; `complete` tells. `created` is a search range
        (">=2026-01-01").
        """
        return self._list(
            "list_workflow_runs_for_repo",
            f"{_actions(repository)}/runs",
            RUN_PAGE,
            lambda run: run.id,
            query=without_none(status=status, branch=branch, event=event, created=created),
            max_items=max_items,
        )

    def get_workflow_run(self, repository: ScopePath, run_id: int) -> WorkflowRun:
        """Get a run. "Get a workflow run"; read."""
        return self._get("get_workflow_run", _run(repository, run_id), parse_workflow_run)

    def get_workflow_run_attempt(
        self, repository: ScopePath, run_id: int, attempt_number: int
    ) -> WorkflowRun:
        """Get one attempt of a run. "Get a workflow run attempt"; read."""
        path = f"{_run(repository, run_id)}/attempts/{attempt_number}"
        return self._get("get_workflow_run_attempt", path, parse_workflow_run)

    def list_jobs_for_workflow_run(
        self, repository: ScopePath, run_id: int, *, filter_: str = "latest"
    ) -> Listing[Job]:
        """List a run's jobs. "List jobs for a workflow run"; read.

        `filter_`: "latest" attempt or "all".
        """
        return self._list(
            "list_jobs_for_workflow_run",
            f"{_run(repository, run_id)}/jobs",
            JOB_PAGE,
            lambda job: job.id,
            query={"filter": filter_},
        )

    def list_jobs_for_workflow_run_attempt(
        self, repository: ScopePath, run_id: int, attempt_number: int
    ) -> Listing[Job]:
        """List one attempt's jobs. "List jobs for a workflow run attempt"; read."""
        return self._list(
            "list_jobs_for_workflow_run_attempt",
            f"{_run(repository, run_id)}/attempts/{attempt_number}/jobs",
            JOB_PAGE,
            lambda job: job.id,
        )

    def get_job_for_workflow_run(self, repository: ScopePath, job_id: int) -> Job:
        """Get a job. "Get a job for a workflow run"; read."""
        path = f"{_actions(repository)}/jobs/{job_id}"
        return self._get("get_job_for_workflow_run", path, parse_job)

    def download_job_logs_for_workflow_run(
        self, repository: ScopePath, job_id: int, *, tail_bytes: int = LOG_TAIL_BYTES
    ) -> JobLog:
        """The end of a job's log. "Download job logs for a workflow run"; read.

        GitHub redirects to a store of its own; the credential does not go there.
        """
        tail = _Tail(tail_bytes)
        call = Call(
            "download_job_logs_for_workflow_run",
            f"{_actions(repository)}/jobs/{job_id}/logs",
            max_bytes=LOG_MAX_BYTES,
        )
        self._transport.send(call, tail)
        return tail.log()

    def list_repo_workflows(self, repository: ScopePath) -> Listing[Workflow]:
        """List workflows. "List repository workflows"; read."""
        path = f"{_actions(repository)}/workflows"
        return self._list("list_repo_workflows", path, WORKFLOW_PAGE, lambda found: found.id)

    def get_workflow(self, repository: ScopePath, workflow: int | str) -> Workflow:
        """Get a workflow by id or file name ("ci.yml"). "Get a workflow"; read."""
        return self._get("get_workflow", _workflow(repository, workflow), parse_workflow)

    def create_workflow_dispatch(
        self,
        repository: ScopePath,
        workflow: int | str,
        *,
        ref: str,
        inputs: dict[str, str] | None = None,
    ) -> DispatchedRun | None:
        """Start a workflow. "Create a workflow dispatch event"; write.

        Answers None where GitHub does not tell the run.
        """
        body: dict[str, Json] = {"ref": ref}
        if inputs:
            body["inputs"] = dict(inputs)
        path = f"{_workflow(repository, workflow)}/dispatches"
        return parse_dispatched_run(
            self._change("POST", "create_workflow_dispatch", path, body=body)
        )

    def cancel_workflow_run(self, repository: ScopePath, run_id: int) -> None:
        """Cancel a run. "Cancel a workflow run"; write. Raises Conflict when it has ended."""
        self._change("POST", "cancel_workflow_run", f"{_run(repository, run_id)}/cancel")

    def force_cancel_workflow_run(self, repository: ScopePath, run_id: int) -> None:
        """Cancel a run that does not react to a cancel. "Force cancel a workflow run"; write."""
        path = f"{_run(repository, run_id)}/force-cancel"
        self._change("POST", "force_cancel_workflow_run", path)

    def re_run_workflow(self, repository: ScopePath, run_id: int) -> None:
        """Run all jobs again. "Re-run a workflow"; write."""
        self._change("POST", "re_run_workflow", f"{_run(repository, run_id)}/rerun")

    def re_run_workflow_failed_jobs(self, repository: ScopePath, run_id: int) -> None:
        """Run the failed jobs again. "Re-run failed jobs from a workflow run"; write."""
        path = f"{_run(repository, run_id)}/rerun-failed-jobs"
        self._change("POST", "re_run_workflow_failed_jobs", path)

    def re_run_job_for_workflow_run(self, repository: ScopePath, job_id: int) -> None:
        """Run one job again. "Re-run a job from a workflow run"; write."""
        path = f"{_actions(repository)}/jobs/{job_id}/rerun"
        self._change("POST", "re_run_job_for_workflow_run", path)


def _actions(repository: ScopePath) -> str:
    if repository.kind is not ScopeKind.REPOSITORY:
        raise ValueError(f"Runs belong to a repository, not to {repository}.")
    return f"{repository.api_path}/actions"


def _run(repository: ScopePath, run_id: int) -> str:
    return f"{_actions(repository)}/runs/{run_id}"


def _workflow(repository: ScopePath, workflow: int | str) -> str:
    return f"{_actions(repository)}/workflows/{quote(str(workflow), safe='')}"

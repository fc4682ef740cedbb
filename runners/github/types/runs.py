"""Workflows, their runs and jobs.

Field names and values are GitHub's. A job's runner_* fields mean something from `in_progress` on.
Source: GitHub Docs "REST API endpoints for workflow runs", "... workflow jobs", "... workflows".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from runners.github.parsing import Fields, Json, text_of


@dataclass(frozen=True, slots=True)
class Workflow:
    """A workflow file; `path` is like ".github/workflows/ci.yml"."""

    id: int
    name: str
    path: str
    state: str


@dataclass(frozen=True, slots=True)
class WorkflowRun:
    """One run. `status` and `conclusion` as GitHub spells them, "" when there is none yet."""

    id: int
    name: str
    workflow_id: int
    path: str
    run_number: int
    run_attempt: int
    event: str
    status: str
    conclusion: str
    head_branch: str
    head_sha: str
    display_title: str
    html_url: str
    repository: str
    created_at: datetime
    updated_at: datetime
    run_started_at: datetime | None


@dataclass(frozen=True, slots=True)
class JobStep:
    """One step of a job."""

    number: int
    name: str
    status: str
    conclusion: str
    started_at: datetime | None
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Job:
    """One workflow job. `labels` are those of its `runs-on`, not the runner's."""

    id: int
    run_id: int
    run_attempt: int
    name: str
    workflow_name: str
    head_branch: str
    head_sha: str
    status: str
    conclusion: str
    labels: tuple[str, ...]
    runner_id: int | None
    runner_name: str
    runner_group_id: int | None
    runner_group_name: str
    html_url: str
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    steps: tuple[JobStep, ...]


@dataclass(frozen=True, slots=True)
class DispatchedRun:
    """The run that a dispatch started, where GitHub tells it."""

    workflow_run_id: int
    html_url: str


@dataclass(frozen=True, slots=True)
class JobLog:
    """The end of a job's log; `truncated` when there is more before it."""

    text: str
    truncated: bool


def parse_workflow(value: Json) -> Workflow:
    """Read a workflow."""
    fields = Fields(value, "workflow")
    return Workflow(
        fields.number("id"), fields.text("name"), fields.text("path"), fields.text("state")
    )


def parse_workflow_run(value: Json) -> WorkflowRun:
    """Read a workflow-run."""
    fields = Fields(value, "run")
    return WorkflowRun(
        id=fields.number("id"),
        name=fields.text_or("name"),
        workflow_id=fields.number("workflow_id"),
        path=fields.text_or("path"),
        run_number=fields.number("run_number"),
        run_attempt=fields.number_or_none("run_attempt") or 1,
        event=fields.text_or("event"),
        status=fields.text_or("status"),
        conclusion=fields.text_or("conclusion"),
        head_branch=fields.text_or("head_branch"),
        head_sha=fields.text("head_sha"),
        display_title=fields.text_or("display_title"),
        html_url=fields.text_or("html_url"),
        repository=fields.object("repository").text("full_name"),
        created_at=fields.moment("created_at"),
        updated_at=fields.moment("updated_at"),
        run_started_at=fields.moment_or_none("run_started_at"),
    )


def parse_step(value: Json) -> JobStep:
    """Read one step of a job."""
    fields = Fields(value, "step")
    return JobStep(
        number=fields.number("number"),
        name=fields.text("name"),
        status=fields.text("status"),
        conclusion=fields.text_or("conclusion"),
        started_at=fields.moment_or_none("started_at"),
        completed_at=fields.moment_or_none("completed_at"),
    )


def parse_job(value: Json) -> Job:
    """Read a job; older servers leave `run_attempt` and `created_at` out."""
    fields = Fields(value, "job")
    started_at = fields.moment_or_none("started_at")
    created_at = fields.moment_or_none("created_at") or started_at
    return Job(
        id=fields.number("id"),
        run_id=fields.number("run_id"),
        run_attempt=fields.number_or_none("run_attempt") or 1,
        name=fields.text("name"),
        workflow_name=fields.text_or("workflow_name"),
        head_branch=fields.text_or("head_branch"),
        head_sha=fields.text_or("head_sha"),
        status=fields.text("status"),
        conclusion=fields.text_or("conclusion"),
        labels=fields.list_of("labels", text_of),
        runner_id=fields.number_or_none("runner_id") or None,
        runner_name=fields.text_or("runner_name"),
        runner_group_id=fields.number_or_none("runner_group_id") or None,
        runner_group_name=fields.text_or("runner_group_name"),
        html_url=fields.text_or("html_url"),
        created_at=created_at or fields.moment("created_at"),
        started_at=started_at,
        completed_at=fields.moment_or_none("completed_at"),
        steps=fields.list_of_or("steps", parse_step),
    )


def parse_dispatched_run(value: Json) -> DispatchedRun | None:
    """Read the answer to a dispatch, empty on older API versions."""
    if value is None:
        return None
    fields = Fields(value, "dispatch")
    return DispatchedRun(fields.number("workflow_run_id"), fields.text("html_url"))

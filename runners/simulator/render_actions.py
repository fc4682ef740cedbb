"""Runners, groups, workflows, runs and jobs as GitHub writes them in JSON. Pure."""

from __future__ import annotations

from runners.simulator import fleet, render
from runners.simulator.model import Job, Label, Run, Runner, RunnerGroup, Step, Workflow
from runners.simulator.urls import Urls
from runners.simulator.wire import Json, JsonObject, iso
from runners.simulator.world import World


def runner(world: World, record: Runner) -> JsonObject:
    """A runner with its status as of now."""
    return {
        "id": record.id,
        "name": record.name,
        "os": record.os,
        "status": fleet.status(world, record),
        "busy": bool(record.job_id),
        "ephemeral": record.ephemeral,
        "runner_group_id": record.group_id,
        "version": record.version,
        "labels": [label(each) for each in record.labels],
    }


def label(record: Label) -> JsonObject:
    """A runner's label."""
    return {"id": record.id, "name": record.name, "type": record.type}


def labels(record: Runner) -> JsonObject:
    """What all label operations answer."""
    return {
        "total_count": len(record.labels),
        "labels": [label(each) for each in record.labels],
    }


def group(record: RunnerGroup, urls: Urls, *, seen_from: str) -> JsonObject:
    """A runner group as ``seen_from`` a scope: organizations inherit their enterprise's."""
    base = f"{urls.api}/{seen_from}/actions/runner-groups/{record.id}"
    rendered: JsonObject = {
        "id": record.id,
        "name": record.name,
        "visibility": record.visibility,
        "default": record.default,
        "runners_url": f"{base}/runners",
        "hosted_runners_url": f"{base}/hosted-runners",
        "allows_public_repositories": record.allows_public_repositories,
        "restricted_to_workflows": record.restricted_to_workflows,
        "selected_workflows": [*record.selected_workflows],
        "workflow_restrictions_read_only": record.scope != seen_from,
    }
    if seen_from.startswith("orgs/"):
        rendered["inherited"] = record.scope != seen_from
        if record.visibility == "selected":
            rendered["selected_repositories_url"] = f"{base}/repositories"
    elif record.visibility == "selected":
        rendered["selected_organizations_url"] = f"{base}/organizations"
    return rendered


def workflow(world: World, record: Workflow, urls: Urls) -> JsonObject:
    """A workflow file."""
    repository = world.store.repositories[record.repository_id]
    page = f"{urls.web}/{repository.full_name}"
    return {
        "id": record.id,
        "node_id": render.node_id(record.id),
        "name": record.name,
        "path": record.path,
        "state": record.state,
        "created_at": iso(record.created_at),
        "updated_at": iso(record.created_at),
        "url": f"{urls.api}/repos/{repository.full_name}/actions/workflows/{record.id}",
        "html_url": f"{page}/blob/{repository.default_branch}/{record.path}",
        "badge_url": f"{page}/workflows/{record.name}/badge.svg".replace(" ", "%20"),
    }


def run(world: World, record: Run, urls: Urls, attempt: int | None = None) -> JsonObject:
    """A workflow run; an earlier ``attempt`` shows as completed."""
    repository = world.store.repositories[record.repository_id]
    flow = world.store.workflows[record.workflow_id]
    repository_url = f"{urls.api}/repos/{repository.full_name}"
    base = f"{repository_url}/actions/runs/{record.id}"
    shown = attempt or record.attempt
    earlier = f"{base}/attempts/{shown - 1}" if shown > 1 else None
    small = render.minimal_repository(world, repository, urls)
    actor = render.account(world, record.actor, urls)
    status, conclusion = _state_of_attempt(world, record, shown)
    return {
        "id": record.id,
        "name": flow.name,
        "node_id": render.node_id(record.id),
        "check_suite_id": record.id,
        "check_suite_node_id": render.node_id(record.id),
        "head_branch": record.head_branch,
        "head_sha": record.head_sha,
        "path": flow.path,
        "display_title": record.title,
        "run_number": record.number,
        "run_attempt": shown,
        "referenced_workflows": [],
        "event": record.event,
        "status": status,
        "conclusion": conclusion,
        "workflow_id": record.workflow_id,
        "pull_requests": [],
        "created_at": iso(record.created_at),
        "updated_at": iso(record.updated_at),
        "run_started_at": iso(record.started_at),
        "actor": actor,
        "triggering_actor": actor,
        "url": base,
        "html_url": f"{urls.web}/{repository.full_name}/actions/runs/{record.id}",
        "jobs_url": f"{base}/jobs",
        "logs_url": f"{base}/logs",
        "artifacts_url": f"{base}/artifacts",
        "cancel_url": f"{base}/cancel",
        "rerun_url": f"{base}/rerun",
        "previous_attempt_url": earlier,
        "check_suite_url": f"{repository_url}/check-suites/{record.id}",
        "workflow_url": f"{repository_url}/actions/workflows/{record.workflow_id}",
        "head_commit": _head_commit(record),
        "repository": small,
        "head_repository": small,
        "head_repository_id": repository.id,
    }


def _state_of_attempt(world: World, record: Run, attempt: int) -> tuple[str, str | None]:
    if attempt == record.attempt:
        return record.status, record.conclusion
    conclusions = [world.store.jobs[i].conclusion for i in record.job_ids[attempt - 1]]
    return "completed", next((c for c in conclusions if c != "success"), "success")


def _head_commit(record: Run) -> JsonObject:
    person: JsonObject = {"name": record.actor, "email": f"{record.actor}@users.example.com"}
    return {
        "id": record.head_sha,
        "tree_id": record.head_sha[::-1],
        "message": record.title,
        "timestamp": iso(record.created_at),
        "author": person,
        "committer": person,
    }


def job(world: World, record: Job, urls: Urls) -> JsonObject:
    """A job, the same in the API and in webhooks."""
    the_run = world.store.runs[record.run_id]
    repository = world.store.repositories[record.repository_id]
    base = f"{urls.api}/repos/{repository.full_name}"
    page = f"{urls.web}/{repository.full_name}/actions/runs/{record.run_id}/job/{record.id}"
    taken = record.runner_id != 0
    return {
        "id": record.id,
        "run_id": record.run_id,
        "run_attempt": record.run_attempt,
        "workflow_name": world.store.workflows[the_run.workflow_id].name,
        "head_branch": the_run.head_branch,
        "head_sha": the_run.head_sha,
        "run_url": f"{base}/actions/runs/{record.run_id}",
        "node_id": render.node_id(record.id),
        "url": f"{base}/actions/jobs/{record.id}",
        "html_url": page,
        "check_run_url": f"{base}/check-runs/{record.id}",
        "status": record.status,
        "conclusion": record.conclusion,
        "created_at": iso(record.created_at),
        # GitHub fills this in before the job starts: it equals created_at until then.
        "started_at": iso(record.started_at or record.created_at),
        "completed_at": iso(record.completed_at),
        "name": record.template.name,
        "labels": [*record.template.labels],
        "runner_id": record.runner_id if taken else None,
        "runner_name": record.runner_name if taken else None,
        "runner_group_id": record.runner_group_id if taken else None,
        "runner_group_name": record.runner_group_name if taken else None,
        "steps": _steps(record),
    }


def _steps(record: Job) -> list[Json]:
    if record.status != "completed":
        return []
    return [step(number, each) for number, each in enumerate(record.steps, 1)]


def step(number: int, record: Step) -> JsonObject:
    """A finished step; one that was never reached counts as skipped."""
    return {
        "name": record.name,
        "status": "completed",
        "conclusion": record.conclusion or "skipped",
        "number": number,
        "started_at": iso(record.started_at),
        "completed_at": iso(record.completed_at),
    }

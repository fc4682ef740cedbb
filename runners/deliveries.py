"""What accepted webhook deliveries say, taken in by the worker; each may be processed twice."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from runners import jobs, lifecycle
from runners.jobs import JobFacts
from runners.models import Delivery
from runners.untrusted import LARGEST_INTEGER, integer, moment, text

JOB_ACTIONS = ("queued", "waiting", "in_progress", "completed")


def process(delivery: Delivery, *, now: datetime) -> str:
    """Take one delivery in; returns the outcome in words, which is kept on its row."""
    outcome = _outcome(delivery, now)
    Delivery.objects.filter(pk=delivery.pk).update(processed_at=now, outcome=outcome)
    return outcome


def _outcome(delivery: Delivery, now: datetime) -> str:
    if delivery.event != "workflow_job":
        return "kept"
    if delivery.action not in JOB_ACTIONS:
        return f"unknown action {delivery.action}: kept, nothing done"
    payload = delivery.payload if isinstance(delivery.payload, dict) else {}
    facts = job_facts(payload)
    if facts is None:
        return "not a job we can read: kept, nothing done"
    changed = jobs.record(delivery.scope, facts, now=now)
    if changed and delivery.action in ("in_progress", "completed"):
        lifecycle.wake_reconcile(delivery.scope_id)
    return "job changed" if changed else "nothing new"


def job_facts(payload: Mapping[str, object]) -> JobFacts | None:
    """Read a workflow_job payload; None when it lacks what every job has.

    `status` is the job's own, not the action: an environment-gated job is `queued` with status
    `waiting`. Source: GitHub Docs "Webhook events and payloads: workflow_job".
    """
    job = payload.get("workflow_job")
    repository = payload.get("repository")
    if not isinstance(job, dict) or not isinstance(repository, dict):
        return None
    github_id, run_id = integer(job, "id"), integer(job, "run_id")
    created = moment(job, "created_at") or moment(job, "started_at")
    if github_id is None or run_id is None or created is None:
        return None
    labels = job.get("labels")
    return JobFacts(
        github_id=github_id,
        run_id=run_id,
        run_attempt=integer(job, "run_attempt", low=1, high=LARGEST_INTEGER) or 1,
        repository=text(repository, "full_name", 200),
        workflow_name=text(job, "workflow_name", 300),
        name=text(job, "name", 300),
        labels=[str(label) for label in labels] if isinstance(labels, list) else [],
        html_url=text(job, "html_url", 500),
        head_branch=text(job, "head_branch", 255),
        status=text(job, "status", 20),
        conclusion=text(job, "conclusion", 20),
        runner_name=text(job, "runner_name", 64),
        created_at=created,
        started_at=moment(job, "started_at"),
        completed_at=moment(job, "completed_at"),
        setup_seconds=_setup_seconds(job),
    )


def _setup_seconds(job: Mapping[str, object]) -> float | None:
    steps = job.get("steps")
    first = steps[0] if isinstance(steps, list) and steps else None
    if not isinstance(first, dict):
        return None
    return jobs.setup_seconds(moment(job, "started_at"), moment(first, "completed_at"))

"""What accepted webhook deliveries say, taken in by the worker; each may be processed twice."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from django.utils.dateparse import parse_datetime

from runners import jobs, lifecycle
from runners.jobs import JobFacts
from runners.models import Delivery

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
    github_id, run_id = job.get("id"), job.get("run_id")
    created = _moment(job.get("created_at")) or _moment(job.get("started_at"))
    if not isinstance(github_id, int) or not isinstance(run_id, int) or created is None:
        return None
    attempt = job.get("run_attempt")
    labels = job.get("labels")
    return JobFacts(
        github_id=github_id,
        run_id=run_id,
        run_attempt=attempt if isinstance(attempt, int) else 1,
        repository=_text(repository.get("full_name")),
        workflow_name=_text(job.get("workflow_name")),
        name=_text(job.get("name")),
        labels=[str(label) for label in labels] if isinstance(labels, list) else [],
        html_url=_text(job.get("html_url")),
        head_branch=_text(job.get("head_branch")),
        status=_text(job.get("status")),
        conclusion=_text(job.get("conclusion")),
        runner_name=_text(job.get("runner_name")),
        created_at=created,
        started_at=_moment(job.get("started_at")),
        completed_at=_moment(job.get("completed_at")),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    moment = parse_datetime(value)
    if moment is None:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

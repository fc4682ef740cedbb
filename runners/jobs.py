"""Workflow jobs as GitHub tells them, by webhook or poll: each state moves forward only, per
attempt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction

from runners import losses
from runners.models import Job, Runner, Scope

RANK = {
    Job.Status.WAITING: 0,
    Job.Status.QUEUED: 0,
    Job.Status.IN_PROGRESS: 1,
    Job.Status.COMPLETED: 2,
}
"""Waiting and queued may follow each other both ways (environment approvals); the rest only
rises."""


@dataclass(frozen=True, slots=True)
class JobFacts:
    """One workflow job as GitHub describes it at one moment; times in UTC."""

    github_id: int
    run_id: int
    run_attempt: int
    repository: str
    workflow_name: str
    name: str
    labels: Sequence[str]
    html_url: str
    head_branch: str
    status: str
    conclusion: str
    runner_name: str
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    setup_seconds: float | None = None


def record(scope: Scope, facts: JobFacts, *, now: datetime) -> bool:
    """Take one description of a job; returns whether it changed anything.

    Told twice, out of order or late, the outcome is the same. A status we do not know changes
    nothing.
    """
    status = {"requested": "queued", "pending": "queued"}.get(facts.status, facts.status)
    if status not in Job.Status.values:
        return False
    known = Job.objects.filter(
        scope=scope, github_id=facts.github_id, run_attempt=facts.run_attempt
    ).first()
    if known is None:
        try:
            with transaction.atomic():
                job = _create(scope, facts, Job.Status(status), now)
                losses.settle(job.pk, now=now)
        except IntegrityError:
            return record(scope, facts, now=now)  # somebody else told it in the same moment
        return True
    if RANK[Job.Status(status)] < RANK[Job.Status(known.status)]:
        return False
    changed = _changes(known, facts, Job.Status(status))
    if not changed:
        return False
    # Only while the row still is where we read it; if it moved in between, look again
    unmoved = Job.objects.filter(pk=known.pk, status=known.status)
    with transaction.atomic():
        moved = unmoved.update(**changed, seen_at=now, settled_at=None)
        if moved:
            losses.settle(known.pk, now=now)
    return bool(moved) or record(scope, facts, now=now)


def label_set_of(labels: Iterable[object]) -> str:
    """The labels a job asks for as one key: lower case, sorted, without repeats."""
    return ",".join(sorted({str(label).strip().lower() for label in labels} - {""}))[:500]


def setup_seconds(started_at: datetime | None, ready_at: datetime | None) -> float | None:
    """From a job's start until its first step was done; None while either is unknown."""
    if started_at is None or ready_at is None or ready_at < started_at:
        return None
    return (ready_at - started_at).total_seconds()


def _create(scope: Scope, facts: JobFacts, status: Job.Status, now: datetime) -> Job:
    return Job.objects.create(
        scope=scope,
        github_id=facts.github_id,
        run_id=facts.run_id,
        run_attempt=facts.run_attempt,
        repository=facts.repository,
        workflow_name=facts.workflow_name,
        name=facts.name,
        labels=list(facts.labels),
        label_set=label_set_of(facts.labels),
        html_url=facts.html_url,
        head_branch=facts.head_branch,
        status=status,
        conclusion=facts.conclusion,
        queued_at=facts.created_at,
        seen_at=now,
        **_runner_and_times(scope, facts, status),
    )


def _changes(known: Job, facts: JobFacts, status: Job.Status) -> dict[str, object]:
    wanted: dict[str, object] = {
        "status": status.value,
        "conclusion": facts.conclusion or known.conclusion,
        **{
            name: value
            for name, value in _runner_and_times(known.scope, facts, status).items()
            if value not in (None, "")
        },
    }
    return {name: value for name, value in wanted.items() if getattr(known, name) != value}


def _runner_and_times(scope: Scope, facts: JobFacts, status: Job.Status) -> dict[str, object]:
    """Runner and start are only true from in_progress on; before, GitHub sends stand-ins for
    them."""
    if RANK[status] == 0:
        return {}
    runner_id = (
        Runner.objects.filter(scope=scope, name=facts.runner_name)
        .order_by("-created_at")
        .values_list("pk", flat=True)
        .first()
        if facts.runner_name
        else None
    )
    return {
        "runner_name": facts.runner_name,
        "runner_id": runner_id,
        "started_at": facts.started_at,
        "completed_at": facts.completed_at if status == Job.Status.COMPLETED else None,
        "setup_seconds": facts.setup_seconds,
    }

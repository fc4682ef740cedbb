"""Workflow jobs as GitHub tells them, by webhook or poll: each state moves forward only, per
attempt."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
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
    status = status_of(facts)
    if status is None:
        return False
    known = Job.objects.filter(
        scope=scope, github_id=facts.github_id, run_attempt=facts.run_attempt
    ).first()
    if known is None:
        try:
            with transaction.atomic():
                job = _new(scope, facts, status, now)
                job.save(force_insert=True)
                losses.settle(job.pk, now=now)
        except IntegrityError:
            return record(scope, facts, now=now)  # somebody else told it in the same moment
        return True
    if RANK[status] < RANK[Job.Status(known.status)]:
        return False
    changed = _changes(known, facts, status)
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


@dataclass
class _Batch:
    """Jobs as they will be once everything told is taken in: new ones, and changes by key."""

    known: dict[tuple[int, int], Job]
    new: dict[tuple[int, int], Job] = field(default_factory=dict)
    was: dict[tuple[int, int], str] = field(default_factory=dict)
    changes: dict[tuple[int, int], dict[str, object]] = field(default_factory=dict)


def record_many(scope: Scope, told: Sequence[JobFacts], *, now: datetime) -> list[bool]:
    """Take many descriptions in this order; for each, whether it changed anything.

    Ends where `record` of each would, with a few queries for all of them.
    """
    rows = Job.objects.filter(scope=scope, github_id__in={facts.github_id for facts in told})
    batch = _Batch({(job.github_id, job.run_attempt): job for job in rows})
    for job in batch.known.values():
        job.scope = scope
    names = {facts.runner_name for facts in told if facts.runner_name}
    newest = dict(
        Runner.objects.filter(scope=scope, name__in=names)
        .order_by("created_at")
        .values_list("name", "pk")
    )

    def runner_of(scope: Scope, name: str) -> int | None:
        return newest.get(name)

    outcome = [_fold(batch, scope, facts, runner_of, now) for facts in told]
    try:
        with transaction.atomic():
            Job.objects.bulk_create(batch.new.values())
    except IntegrityError:
        # Somebody else told one of them in the same moment: the long way for all
        return [record(scope, facts, now=now) for facts in told]
    for key, changes in batch.changes.items():
        unmoved = Job.objects.filter(pk=batch.known[key].pk, status=batch.was[key])
        if not unmoved.update(**changes, seen_at=now, settled_at=None):
            for facts in told:
                if (facts.github_id, facts.run_attempt) == key:
                    record(scope, facts, now=now)
    for key in (*batch.new, *batch.changes):
        job = batch.known[key]
        if job.runner_id is not None and RANK[Job.Status(job.status)] > 0:
            losses.settle(job.pk, now=now)
    return outcome


def _fold(
    batch: _Batch,
    scope: Scope,
    facts: JobFacts,
    runner_of: Callable[[Scope, str], int | None],
    now: datetime,
) -> bool:
    status = status_of(facts)
    if status is None:
        return False
    key = (facts.github_id, facts.run_attempt)
    job = batch.known.get(key)
    if job is None:
        batch.known[key] = batch.new[key] = _new(scope, facts, status, now, runner_of)
        return True
    if RANK[status] < RANK[Job.Status(job.status)]:
        return False
    changes = _changes(job, facts, status, runner_of)
    if changes and key not in batch.new:
        batch.was.setdefault(key, job.status)
        batch.changes.setdefault(key, {}).update(changes)
    for name, value in changes.items():
        setattr(job, name, value)
    return bool(changes)


def status_of(facts: JobFacts) -> Job.Status | None:
    """The job's status in our words; None for one we do not know."""
    status = {"requested": "queued", "pending": "queued"}.get(facts.status, facts.status)
    return Job.Status(status) if status in Job.Status.values else None


def _runner_of(scope: Scope, name: str) -> int | None:
    """The newest runner of this name."""
    rows = Runner.objects.filter(scope=scope, name=name).order_by("-created_at")
    return rows.values_list("pk", flat=True).first()


def _new(
    scope: Scope,
    facts: JobFacts,
    status: Job.Status,
    now: datetime,
    runner_of: Callable[[Scope, str], int | None] = _runner_of,
) -> Job:
    return Job(
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
        **_runner_and_times(scope, facts, status, runner_of),
    )


def _changes(
    known: Job,
    facts: JobFacts,
    status: Job.Status,
    runner_of: Callable[[Scope, str], int | None] = _runner_of,
) -> dict[str, object]:
    wanted: dict[str, object] = {
        "status": status.value,
        "conclusion": facts.conclusion or known.conclusion,
        **{
            name: value
            for name, value in _runner_and_times(known.scope, facts, status, runner_of).items()
            if value not in (None, "")
        },
    }
    return {name: value for name, value in wanted.items() if getattr(known, name) != value}


def _runner_and_times(
    scope: Scope,
    facts: JobFacts,
    status: Job.Status,
    runner_of: Callable[[Scope, str], int | None],
) -> dict[str, object]:
    """Runner and start are only true from in_progress on; before, GitHub sends stand-ins for
    them."""
    if RANK[status] == 0:
        return {}
    return {
        "runner_name": facts.runner_name,
        "runner_id": runner_of(scope, facts.runner_name) if facts.runner_name else None,
        "started_at": facts.started_at,
        "completed_at": facts.completed_at if status == Job.Status.COMPLETED else None,
        "setup_seconds": facts.setup_seconds,
    }

"""What the pages say of jobs: why one waits, how long it waited and ran, and how it ended.

Read only; the reasons are those of the last look at the queue, read with one query.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse

from runners import queue_picture, waiting
from runners.models import Job
from runners.waiting import Reason

LONG_WAIT_SECONDS = 120
VERY_LONG_WAIT_SECONDS = 300


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job; lengths in seconds. `reason` only while it waits, `tone` marks a long wait.

    `cancelled_at`: when GitHub cancels it, told once that is near or nothing else can happen.
    """

    job: Job
    url: str
    where: str
    state: str
    word: str
    waited_seconds: float | None
    ran_seconds: float | None
    tone: str
    runner_url: str
    reason: Reason | None = None
    cancelled_at: datetime | None = None
    pool_url: str = ""


def job_rows(jobs: Iterable[Job], *, now: datetime) -> list[JobRow]:
    """Return the rows of these jobs; none of them gets a reason."""
    return [_row(job, now, None) for job in jobs]


def waiting_rows(jobs: Iterable[Job], *, now: datetime) -> list[JobRow]:
    """Return the rows of waiting jobs, each with the reason the last look at the queue gave."""
    loaded = list(jobs)
    if not loaded:
        return []
    reasons = queue_picture.read().reasons(loaded, now=now)
    return [_row(job, now, why) for job, why in zip(loaded, reasons, strict=True)]


def _row(job: Job, now: datetime, why: Reason | None) -> JobRow:
    state, word = _state(job)
    begun = job.started_at
    waited = ((begun or now) - job.queued_at).total_seconds()
    if begun is None and job.completed_at is not None:
        waited = (job.completed_at - job.queued_at).total_seconds()
    ran = ((job.completed_at or now) - begun).total_seconds() if begun else None
    return JobRow(
        job=job,
        url=job.get_absolute_url(),
        where=" · ".join(part for part in (job.repository, job.head_branch) if part),
        state=state,
        word=word,
        waited_seconds=max(0.0, waited),
        ran_seconds=None if ran is None else max(0.0, ran),
        tone=wait_tone(waited),
        runner_url=reverse("runner-detail", args=[job.runner_id]) if job.runner_id else "",
        reason=why,
        cancelled_at=_cancelled_at(job, why, now),
        pool_url=reverse("pool-detail", args=[why.pool]) if why is not None and why.pool else "",
    )


def _cancelled_at(job: Job, why: Reason | None, now: datetime) -> datetime | None:
    """When GitHub gives up on a queued job; approvals have a clock of their own."""
    if why is None or job.status != Job.Status.QUEUED:
        return None
    at = waiting.cancelled_at(job.queued_at)
    near = at - now <= waiting.CANCEL_IS_NEAR
    return at if near or why.code in waiting.UNROUTABLE else None


def _state(job: Job) -> tuple[str, str]:
    """The state's value and word: of a completed job, how it ended."""
    if job.status == Job.Status.COMPLETED:
        ended = job.conclusion or "completed"
        return ended, ended.replace("_", " ").capitalize()
    if job.status == Job.Status.IN_PROGRESS:
        return "running", job.get_status_display()
    return job.status, job.get_status_display()


def wait_tone(waited: float) -> str:
    """How a wait of so many seconds stands out: the classes of its words."""
    if waited >= VERY_LONG_WAIT_SECONDS:
        return "down strong"
    return "caution strong" if waited >= LONG_WAIT_SECONDS else "muted"

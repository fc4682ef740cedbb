"""What the pages say of jobs: why one waits, how long it waited and ran, and how it ended.

Read only; `supplies` runs four queries however many jobs and runners there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse

from runners.models import Job, Pool, Runner
from runners.states import SERVING, DisplayState, RunnerState
from runners.waiting import Reason, Supply, reason

_KIND: Mapping[str, str] = {
    DisplayState.IDLE: "idle",
    DisplayState.STARTING: "starting",
    DisplayState.BUSY: "busy",
    DisplayState.OFFLINE: "down",
    DisplayState.LOST: "down",
    DisplayState.FAILED: "down",
    DisplayState.QUARANTINED: "down",
}
_SERVES = (*SERVING, RunnerState.FAILED)
LONG_WAIT_SECONDS = 120
VERY_LONG_WAIT_SECONDS = 300

Counts = Sequence[tuple[int | None, str, str, int]]


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job; lengths in seconds. `reason` only while it waits, `tone` marks a long wait."""

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


def job_rows(jobs: Iterable[Job], *, now: datetime) -> list[JobRow]:
    """Return the rows of these jobs; none of them gets a reason."""
    return [_row(job, now, None) for job in jobs]


def waiting_rows(
    jobs: Iterable[Job], *, now: datetime, counted: Counts | None = None
) -> list[JobRow]:
    """Return the rows of waiting jobs, each with its reason; `counted` as `Runner.counted`."""
    loaded = list(jobs)
    known = supplies(now, counted) if loaded else []
    return [_row(job, now, _reason(job, known, now)) for job in loaded]


def supplies(now: datetime, counted: Counts | None = None) -> list[Supply]:
    """Count what serves: a pool's runners together, those without a pool by their labels."""
    pools: dict[int, Counter[str]] = {}
    for pool_id, state, display, number in counted or Runner.objects.counted(now):
        if pool_id is not None and state in _SERVES and display in _KIND:
            pools.setdefault(pool_id, Counter())[_KIND[display]] += number
    labels = {
        pool.pk: frozenset(label.name.lower() for label in pool.labels.all())
        for pool in Pool.objects.prefetch_related("labels")
    }
    known = [Supply(labels[pk], **pools.get(pk, Counter())) for pk in labels]
    alone: dict[frozenset[str], Counter[str]] = {}
    for runner in Runner.objects.for_rows().filter(pool__isnull=True, state__in=_SERVES):
        names = frozenset(label.name.lower() for label in runner.labels.all())
        if (display := runner.display_at(now)) in _KIND:
            alone.setdefault(names, Counter())[_KIND[display]] += 1
    return [*known, *(Supply(names, **counts) for names, counts in alone.items())]


def _reason(job: Job, known: list[Supply], now: datetime) -> Reason:
    if job.status == Job.Status.WAITING:
        return Reason("cordoned", "It waits for approval at GitHub.", "Approve the deployment.")
    waited = (now - job.queued_at).total_seconds()
    return reason([str(label) for label in job.labels], known, waited_seconds=waited)


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
        tone=_tone(waited),
        runner_url=reverse("runner-detail", args=[job.runner_id]) if job.runner_id else "",
        reason=why,
    )


def _state(job: Job) -> tuple[str, str]:
    """The state's value and word: of a completed job, how it ended."""
    if job.status == Job.Status.COMPLETED:
        ended = job.conclusion or "completed"
        return ended, ended.replace("_", " ").capitalize()
    if job.status == Job.Status.IN_PROGRESS:
        return "running", job.get_status_display()
    return job.status, job.get_status_display()


def _tone(waited: float) -> str:
    if waited >= VERY_LONG_WAIT_SECONDS:
        return "down strong"
    return "caution strong" if waited >= LONG_WAIT_SECONDS else "muted"

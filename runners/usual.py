"""How long jobs usually run: the median of their latest good runs, by repository, workflow and
job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from statistics import median

from django.core.cache import cache

from runners.models import Job

JobKind = tuple[str, str, str]
"""Repository, workflow and job name."""

LOOKED_AT = timedelta(days=7)
JOBS_LOOKED_AT = 2_000
RUNS_COUNTED = 20
KEPT_SECONDS = 600
_KEPT = "usual-seconds"


def usual_seconds(*, now: datetime) -> Mapping[JobKind, float]:
    """The usual length of each kind of job that finished well lately; one bounded query."""
    rows = (
        Job.objects.filter(
            queued_at__gte=now - LOOKED_AT,
            status=Job.Status.COMPLETED,
            conclusion="success",
            started_at__isnull=False,
            completed_at__isnull=False,
        )
        .order_by("-queued_at")
        .values_list("repository", "workflow_name", "name", "started_at", "completed_at")
    )
    return medians(
        ((repository, workflow, name), (ended - begun).total_seconds())
        for repository, workflow, name, begun, ended in rows[:JOBS_LOOKED_AT]
        if begun and ended
    )


def kept_seconds(*, now: datetime) -> Mapping[JobKind, float]:
    """`usual_seconds` as it was up to ten minutes ago, for who asks every few seconds."""
    known: Mapping[JobKind, float] | None = cache.get(_KEPT)
    if known is None:
        known = usual_seconds(now=now)
        cache.set(_KEPT, known, timeout=KEPT_SECONDS)
    return known


def medians(runs: Iterable[tuple[JobKind, float]]) -> Mapping[JobKind, float]:
    """The median of each kind's first runs; give the newest first."""
    lengths: dict[JobKind, list[float]] = {}
    for kind, seconds in runs:
        known = lengths.setdefault(kind, [])
        if len(known) < RUNS_COUNTED:
            known.append(max(0.0, seconds))
    return {kind: median(known) for kind, known in lengths.items()}


def kind_of(job: Job) -> JobKind:
    """What this job is a run of."""
    return job.repository, job.workflow_name, job.name

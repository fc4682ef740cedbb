"""Why jobs started late, from what the event log and the runners tell of the time they waited."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from runners.models import Event, Host, Job
from runners.waits import Span, Wait, WaitCause, main_cause

# A host that is away for longer is no news any more: what then lacks is capacity.
AWAY_FOR: Final = timedelta(hours=1)
# A pause or quiesce is looked for so long before the oldest wait began.
LOOK_BACK: Final = timedelta(days=7)
BEGINS: Final = {
    "fleet.quiesce": WaitCause.POLICY,
    "pool.pause": WaitCause.POLICY,
    "host.offline": WaitCause.HOST_LOST,
    "host.cordon": WaitCause.DRAIN,
}
ENDS: Final = {
    "fleet.resume": "fleet.quiesce",
    "pool.resume": "pool.pause",
    "host.online": "host.offline",
    "host.uncordon": "host.cordon",
}


@dataclass(frozen=True, slots=True)
class Held:
    """A stretch of time in which something was held back: the whole fleet, a pool or a host."""

    cause: WaitCause
    object_kind: str
    object_id: int | None
    span: Span


def causes_of(jobs: Sequence[Job], *, now: datetime) -> dict[int, WaitCause]:
    """The main cause of each job's wait, by its id; jobs with `runner`, `host` and `pool` loaded.

    Three queries however many jobs, none without any.
    """
    waits = {job.pk: _wait(job) for job in jobs if job.started_at is not None}
    if not waits:
        return {}
    held = holds(min(wait.begin for wait in waits.values()), now)
    like = _hosts_like(jobs)
    return {
        job.pk: main_cause(waits[job.pk], _spans(job, held, like))
        for job in jobs
        if job.pk in waits
    }


def _wait(job: Job) -> Wait:
    runner = job.runner
    return Wait(
        begin=job.queued_at,
        end=job.started_at or job.queued_at,
        runner_created_at=runner.created_at if runner else None,
        runner_online_at=runner.online_at if runner else None,
    )


def holds(since: datetime, now: datetime) -> list[Held]:
    """Every stretch that may touch a wait since then; one that goes on ends now."""
    events = Event.objects.filter(
        at__gte=since - LOOK_BACK, at__lte=now, action__in=[*BEGINS, *ENDS]
    ).order_by("at", "pk")
    rows = events.values_list("at", "action", "object_kind", "object_id")
    return list(pair(rows, now))


def pair(rows: Iterable[tuple[datetime, str, str, int | None]], now: datetime) -> Iterable[Held]:
    """Join beginnings and ends in the order they happened; pure."""
    open_: dict[tuple[str, str, int | None], datetime] = {}
    for at, action, kind, pk in rows:
        if action in BEGINS:
            open_.setdefault((action, kind, pk), at)
        elif (begun := open_.pop((ENDS[action], kind, pk), None)) is not None:
            yield _held(ENDS[action], kind, pk, begun, at)
    for (action, kind, pk), begun in open_.items():
        yield _held(action, kind, pk, begun, now)


def _held(action: str, kind: str, pk: int | None, begun: datetime, end: datetime) -> Held:
    cause = BEGINS[action]
    last = end if cause is WaitCause.POLICY else min(end, begun + AWAY_FOR)
    return Held(cause, kind, pk, (begun, last))


def _hosts_like(jobs: Sequence[Job]) -> dict[str, frozenset[int]]:
    """Host ids by architecture: those whose loss a job of that architecture feels."""
    wanted = {job.runner.host.architecture for job in jobs if job.runner is not None}
    by_architecture: dict[str, set[int]] = {name: set() for name in wanted}
    rows = Host.objects.filter(architecture__in=wanted).order_by()
    for pk, name in rows.values_list("pk", "architecture"):
        by_architecture[name].add(pk)
    return {name: frozenset(pks) for name, pks in by_architecture.items()}


def _spans(
    job: Job, held: Iterable[Held], like: Mapping[str, frozenset[int]]
) -> dict[WaitCause, list[Span]]:
    runner = job.runner
    pool = runner.pool_id if runner else None
    hosts = like.get(runner.host.architecture, frozenset()) if runner else frozenset()
    spans: dict[WaitCause, list[Span]] = {}
    for each in held:
        matches = (
            each.object_kind == "fleet"
            or (each.object_kind == "pool" and each.object_id == pool)
            or (each.object_kind == "host" and each.object_id in hosts)
        )
        if matches:
            spans.setdefault(each.cause, []).append(each.span)
    return spans

"""What the last look at the queue found: each group of waiting jobs with the reason it waits.

The scaler writes it with each plan; pages, commands and the overview read this one row, so that
what they say is what was decided, and nobody plans again to explain.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypedDict

from django.db import transaction

from runners import audit, usual, waiting
from runners.audit import Actor
from runners.models import Job, QueuePicture
from runners.scaling import Code, Plan, Verdict
from runners.waiting import UNROUTABLE, Reason, Seen

ONLY: Final = 1
OLD_AFTER: Final = timedelta(minutes=1)
"""A look older than this tells of a scaler that stands still; it looks every few seconds."""


@dataclass(frozen=True, slots=True)
class Share:
    """Jobs of a group that share a reason."""

    jobs: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Group:
    """Jobs that wait alike: same scope, repository and labels (lower case).

    `shares` in order of age, those that fare worst last; `early` names the jobs of all others.
    """

    scope_id: int
    scope: str
    repository: str
    labels: tuple[str, ...]
    jobs: int
    oldest_at: datetime
    shares: tuple[Share, ...]
    early: Mapping[int, str]

    @property
    def worst(self) -> Reason:
        """The reason of the jobs that fare worst."""
        return self.shares[-1].reason

    @property
    def unroutable(self) -> bool:
        """Whether no waiting helps."""
        return self.worst.code in UNROUTABLE

    @property
    def ours(self) -> bool:
        """Whether these jobs are meant for runners of ours."""
        return self.worst.code != Code.NOT_OURS

    def count(self, *codes: Code) -> int:
        """How many jobs have one of these codes."""
        return sum(share.jobs for share in self.shares if share.reason.code in codes)

    def reason_of(self, job_id: int) -> Reason:
        """Why one of its jobs waits."""
        code = self.early.get(job_id)
        return next(
            (share.reason for share in self.shares if share.reason.code == code), self.worst
        )


@dataclass(frozen=True, slots=True)
class Picture:
    """The groups as the last look found them; `at` None before the first."""

    at: datetime | None
    groups: tuple[Group, ...] = ()

    def is_old(self, now: datetime) -> bool:
        """Whether nobody looked for so long that it may be wrong."""
        return self.at is None or now - self.at > OLD_AFTER

    def reasons(self, jobs: Sequence[Job], *, now: datetime) -> Iterator[Reason]:
        """Why each of these waiting jobs waits."""
        by_key = {
            (each.scope_id, each.repository, frozenset(each.labels)): each for each in self.groups
        }
        # A job told to two scopes is in the group of one of them
        elsewhere = {(repository, labels): each for (_, repository, labels), each in by_key.items()}
        for job in jobs:
            labels = frozenset(str(label).lower() for label in job.labels)
            group = by_key.get((job.scope_id, job.repository, labels))
            group = group or elsewhere.get((job.repository, labels))
            yield self._reason(job, group, now)

    def _reason(self, job: Job, group: Group | None, now: datetime) -> Reason:
        if job.status == Job.Status.WAITING:
            return waiting.APPROVAL
        if self.is_old(now):
            return waiting.picture_is_old(self.at)
        return group.reason_of(job.pk) if group else waiting.NOT_LOOKED_AT


def read() -> Picture:
    """The last picture; one query."""
    row = QueuePicture.objects.filter(pk=ONLY).first()
    if row is None:
        return Picture(None)
    return Picture(row.at, tuple(_group(stored) for stored in row.groups))


def take(plan: Plan, *, now: datetime) -> int:
    """Keep what a plan found; tells once of each group that nothing serves. Returns how many new.

    Groups of one moment are written in one go: whoever reads sees one look, never half of two.
    """
    verdicts = [verdict for verdict in plan.verdicts if verdict.demand.count]
    names = {decision.pool_id: decision.name for decision in plan.decisions}
    seen = Seen(now, names, _free_at(verdicts, now=now))
    groups = [_described(verdict, seen) for verdict in verdicts]
    new = _news(groups, verdicts)
    stored = [_stored(group) for group in groups]
    digest = hashlib.sha256(json.dumps(stored).encode()).hexdigest()[:16]
    with transaction.atomic():
        # A look that found the same rewrites a moment and no list
        if not QueuePicture.objects.filter(pk=ONLY, digest=digest).update(at=now):
            QueuePicture.objects.update_or_create(
                pk=ONLY, defaults={"at": now, "digest": digest, "groups": stored}
            )
        for group, job_id in new:
            _tell(group, job_id, now)
    return len(new)


def _news(groups: Sequence[Group], verdicts: Sequence[Verdict]) -> list[tuple[Group, int]]:
    """Groups that nothing serves and nobody was told of yet, each with its oldest job."""
    stuck = [
        (group, verdict.demand.job_ids[0])
        for group, verdict in zip(groups, verdicts, strict=True)
        if group.unroutable
    ]
    if not stuck:
        return []
    told = {_key(group) for group in read().groups if group.unroutable}
    return [(group, job_id) for group, job_id in stuck if _key(group) not in told]


def _tell(group: Group, job_id: int, now: datetime) -> None:
    job = Job.objects.filter(pk=job_id).first()
    if job is None:  # thrown away since the look
        return
    audit.record(
        job,
        "job.unroutable",
        by=Actor.system("scaling"),
        at=now,
        reason=f"{group.worst.cause} {group.worst.fix}",
        detail={
            "jobs": group.jobs,
            "labels": list(group.labels),
            "cancelled_at": waiting.cancelled_at(group.oldest_at).isoformat(),
        },
    )


def _described(verdict: Verdict, seen: Seen) -> Group:
    demand = verdict.demand
    counts = (
        (Code.RUNNING, verdict.running),
        (Code.READY, verdict.ready),
        (Code.STARTING, verdict.starting),
        (Code.PLANNED, verdict.planned),
        (verdict.code, verdict.left),
    )
    shares: list[Share] = []
    early: dict[int, str] = {}
    at = 0
    for code, jobs in counts:
        if not jobs:
            continue
        shares.append(Share(jobs, waiting.reason(verdict, code, seen=seen)))
        early |= dict.fromkeys(demand.job_ids[at : at + jobs], code.value)
        at += jobs
    worst = shares[-1].reason.code
    return Group(
        scope_id=demand.scope.id,
        scope=demand.scope.slug,
        repository=demand.repository,
        labels=tuple(sorted(demand.labels)),
        jobs=demand.count,
        oldest_at=demand.oldest_at,
        shares=tuple(shares),
        early={job_id: code for job_id, code in early.items() if code != worst},
    )


def _free_at(verdicts: Sequence[Verdict], *, now: datetime) -> dict[int, datetime]:
    """When a runner of each full pool is likely free next, from how long its jobs usually run."""
    full = {each.pool_id for each in verdicts if each.code in (Code.AT_MAX, Code.HOSTS_FULL)}
    full.discard(None)
    if not full:
        return {}
    running = (
        Job.objects.unfinished()
        .filter(status=Job.Status.IN_PROGRESS, started_at__isnull=False, runner__pool__in=full)
        .select_related("runner")
        .only("repository", "workflow_name", "name", "started_at", "runner__pool_id")
    )
    lengths = usual.kept_seconds(now=now)
    free: dict[int, datetime] = {}
    for job in running:
        seconds = lengths.get(usual.kind_of(job))
        if seconds is None or job.started_at is None or job.runner is None:
            continue
        pool_id = job.runner.pool_id
        ends = job.started_at + timedelta(seconds=seconds)
        if pool_id is not None and (pool_id not in free or ends < free[pool_id]):
            free[pool_id] = ends
    return free


def _key(group: Group) -> tuple[int, str, tuple[str, ...]]:
    return group.scope_id, group.repository, group.labels


class _StoredShare(TypedDict):
    """A share as the row keeps it."""

    jobs: int
    code: str
    state: str
    cause: str
    fix: str
    pool: str


class _StoredGroup(TypedDict):
    """A group as the row keeps it; keys of `early` are job ids, `oldest_at` is ISO 8601."""

    scope_id: int
    scope: str
    repository: str
    labels: list[str]
    jobs: int
    oldest_at: str
    shares: list[_StoredShare]
    early: dict[str, str]


def _stored(group: Group) -> _StoredGroup:
    return {
        "scope_id": group.scope_id,
        "scope": group.scope,
        "repository": group.repository,
        "labels": list(group.labels),
        "jobs": group.jobs,
        "oldest_at": group.oldest_at.isoformat(),
        "shares": [
            {
                "jobs": share.jobs,
                "code": share.reason.code,
                "state": share.reason.state,
                "cause": share.reason.cause,
                "fix": share.reason.fix,
                "pool": share.reason.pool,
            }
            for share in group.shares
        ],
        "early": {str(job_id): code for job_id, code in group.early.items()},
    }


def _group(stored: _StoredGroup) -> Group:
    return Group(
        scope_id=stored["scope_id"],
        scope=stored["scope"],
        repository=stored["repository"],
        labels=tuple(stored["labels"]),
        jobs=stored["jobs"],
        oldest_at=datetime.fromisoformat(stored["oldest_at"]),
        shares=tuple(
            Share(
                share["jobs"],
                Reason(share["state"], share["cause"], share["fix"], share["code"], share["pool"]),
            )
            for share in stored["shares"]
        ),
        early={int(job_id): code for job_id, code in stored["early"].items()},
    )

"""What a failure means for its runner, its host and its pool: counted, held back, quarantined.

Writes the counters and nothing else: whoever starts runners asks them (`placement`, `pools`,
`recovery`). Runs inside the caller's transaction.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db.models import F, Q

from runners import audit
from runners.audit import Actor
from runners.failure import NEVER_REPLACED, NOT_THE_HOSTS, Cause
from runners.models import Host, Pool, Postmortem, Runner

BACKOFF_SECONDS: Final = 5
BACKOFF_LIMIT_SECONDS: Final = 600
CRASH_LIMIT: Final = 5
PROVEN_AFTER: Final = timedelta(minutes=10)
HOST_PATIENCE: Final = 3
HOST_BACKOFF_SECONDS: Final = 30
HOST_LIMIT: Final = 10
POOL_LIMIT: Final = 10
UNUSED_QUICKLY: Final = timedelta(seconds=60)


def backoff(failures: int, first_seconds: int = BACKOFF_SECONDS) -> timedelta:
    """How long to wait after so many failures in a row: doubled each time, ten minutes at most."""
    seconds = first_seconds * 2 ** min(max(failures - 1, 0), 10)
    return timedelta(seconds=min(BACKOFF_LIMIT_SECONDS, seconds))


def note_failure(runner: Runner, *, cause: Cause, serving: bool, now: datetime, by: Actor) -> None:
    """Count a failure where it counts; `serving` when the runner was still wanted."""
    if cause not in NOT_THE_HOSTS:
        _count_on_host(runner.host_id, now, by)
    if runner.pool_id is not None:
        count_on_pool(runner.pool_id, now, by)
    elif serving and cause not in NEVER_REPLACED:
        _count_on_runner(runner, now, by)


def note_active(runner: Runner) -> None:
    """A runner came online: its host and pool can start runners, so they begin anew."""
    anew = {"consecutive_failures": 0, "backoff_until": None}
    Host.objects.filter(pk=runner.host_id, consecutive_failures__gt=0).update(**anew)
    if runner.pool_id is not None:
        Pool.objects.filter(pk=runner.pool_id, consecutive_failures__gt=0).update(**anew)


def note_unused_end(runner: Runner, *, worked: bool, now: datetime, by: Actor) -> None:
    """A one-job runner ended well without having been of use: once is GitHub's way, often is not.

    GitHub removes idle JIT runners after minutes, and they exit with 0. Where they end within
    their first minute without having been online, the pool must not start them without end.
    """
    unused = runner.online_at is None and not runner.jobs_done and not worked
    if not unused or runner.pool_id is None:
        return
    if runner.jobs.exists():
        return  # GitHub told of its job, which was over before the host reported again
    if now - (runner.process_started_at or runner.created_at) < UNUSED_QUICKLY:
        count_on_pool(runner.pool_id, now, by)


def proved_itself(runner: Runner, now: datetime) -> bool:
    """Whether the runner did a job or stayed online long enough that its end is no crash loop."""
    if runner.online_at is None:
        return False
    return runner.jobs_done > 0 or now - runner.online_at >= PROVEN_AFTER


def count_on_pool(pool_id: int, now: datetime, by: Actor) -> None:
    """Let a pool whose starts keep failing wait longer each time, then stop it."""
    Pool.objects.filter(pk=pool_id).update(consecutive_failures=F("consecutive_failures") + 1)
    pool = Pool.objects.get(pk=pool_id)
    failures = pool.consecutive_failures
    until = now + backoff(failures + 1)
    Pool.objects.filter(pk=pool_id).update(backoff_until=until)
    if failures < POOL_LIMIT or not _on_hosts_enough(pool):
        return
    if Pool.objects.filter(pk=pool_id, quarantined_at__isnull=True).update(quarantined_at=now):
        audit.record(
            pool,
            "pool.quarantine",
            by=by,
            at=now,
            became="quarantined",
            reason=f"The last {failures} runners of {pool.name} failed. It starts no more until "
            "it is released.",
        )


def _on_hosts_enough(pool: Pool) -> bool:
    """Whether the last failures were on more than one host, or there is only one to fail on."""
    last = Postmortem.objects.filter(runner__pool=pool).order_by("-at")[:POOL_LIMIT]
    hosts = set(last.values_list("runner__host_id", flat=True))
    if len(hosts) != 1:
        return True  # several; or none, when runners end unused
    able = Host.objects.in_service().filter(Q(architecture=pool.architecture) | Q(architecture=""))
    others = able if pool.architecture else Host.objects.in_service()
    return not others.exclude(pk__in=hosts).exists()


def _count_on_host(host_id: int, now: datetime, by: Actor) -> None:
    Host.objects.filter(pk=host_id).update(consecutive_failures=F("consecutive_failures") + 1)
    host = Host.objects.get(pk=host_id)
    failures = host.consecutive_failures
    if failures < HOST_PATIENCE:
        return
    until = now + backoff(failures - HOST_PATIENCE + 1, HOST_BACKOFF_SECONDS)
    Host.objects.filter(pk=host_id).update(backoff_until=until)
    if failures < HOST_LIMIT:
        return
    if Host.objects.filter(pk=host_id, quarantined_at__isnull=True).update(quarantined_at=now):
        audit.record(
            host,
            "host.quarantine",
            by=by,
            at=now,
            became="quarantined",
            reason=f"The last {failures} runners on {host.name} failed. It is given no more until "
            "it is released.",
        )


def _count_on_runner(runner: Runner, now: datetime, by: Actor) -> None:
    """Plan the replacement of a runner that no pool looks after, or stop after too many."""
    crashes = 1 if proved_itself(runner, now) else runner.crashes + 1
    quarantined = crashes >= CRASH_LIMIT
    runner.crashes = crashes
    runner.replace_at = None if quarantined else now + backoff(crashes)
    runner.quarantined_at = now if quarantined else None
    Runner.objects.filter(pk=runner.pk).update(
        crashes=crashes, replace_at=runner.replace_at, quarantined_at=runner.quarantined_at
    )
    if quarantined:
        audit.record(
            runner,
            "runner.quarantine",
            by=by,
            at=now,
            became="quarantined",
            reason=f"It crashed {crashes} times in a row. It is not started again until it is "
            "released.",
        )

"""Throw away what nobody will look at again: sessions that ended, old tasks, failures and
deliveries."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.contrib.sessions.models import Session
from django_q.models import Failure

from runners import decisions, deliveries, lifecycle, pool_samples
from runners.audit import Actor
from runners.errors import IllegalTransition, StaleState
from runners.models import Runner

KEEP_FAILED_TASKS = timedelta(days=14)


def keep_house(*, decisions_kept: timedelta, now: datetime) -> str:
    """Delete what is past its time and say how much that was."""
    sessions, _ = Session.objects.filter(expire_date__lt=now).delete()
    failures, _ = Failure.objects.filter(stopped__lt=now - KEEP_FAILED_TASKS).delete()
    forgotten = deliveries.forget_old(now=now)
    looks = decisions.forget(before=now - decisions_kept)
    samples = pool_samples.thin(now=now)
    return (
        f"{sessions} sessions, {failures} failed tasks, {forgotten} deliveries, {looks} decisions "
        f"and {samples} samples of pools deleted"
    )


def close_failed(*, keep: timedelta, now: datetime) -> int:
    """Close failed runners that hold nothing any more and were shown for `keep`; returns how many.

    Their rows, events and postmortems stay. One that waits for its replacement or is quarantined
    stays listed: somebody or something still has to act on it.
    """
    done = Runner.objects.failed_for_good().filter(state_changed_at__lte=now - keep)
    closed = 0
    for runner in done.order_by("pk")[:500]:
        try:
            lifecycle.finish(
                runner, reason=runner.state_reason, now=now, by=Actor.system("housekeeping")
            )
        except (StaleState, IllegalTransition):
            continue  # somebody deregistered it meanwhile
        closed += 1
    return closed

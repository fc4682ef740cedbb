"""Failed runners that no pool looks after are replaced; what was quarantined is let out again.

Decides from the tables alone and starts runners through the lifecycle. Pools replace their own by
keeping their size (`pools`). Two processes at once make one replacement: the claim is a conditional
update, and `Runner.replaces` holds each row once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction

from runners import audit, fleet, leases, lifecycle
from runners.audit import Actor
from runners.errors import InvalidRequest, NoCapacity, StaleState
from runners.failure import Cause
from runners.models import Event, Host, Pool, Runner, RunnerPackage
from runners.states import RunnerState

AT_A_TIME: Final = 100
TRY_AGAIN: Final = timedelta(seconds=5)
ASK_FOR_PACKAGE_AGAIN: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Replaced:
    """What one look at the due replacements came to; `held_back` says why others wait."""

    started: tuple[Runner, ...] = ()
    held_back: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "; ".join([f"{len(self.started)} replaced", *self.held_back])


def replace_due(*, now: datetime, by: Actor) -> Replaced:
    """Start the replacement of each failed runner whose time has come.

    One that finds no room or no runner version waits and is tried again; while the fleet admits
    none, all wait.
    """
    due = Runner.objects.filter(state=RunnerState.FAILED, replace_at__lte=now)
    failed = list(
        due.select_related("scope", "host")
        .prefetch_related("labels")
        .order_by("replace_at")[:AT_A_TIME]
    )
    if not failed:
        return Replaced()
    if why := fleet.quiesced():
        return Replaced(held_back=(why,))
    started: list[Runner] = []
    held_back: list[str] = []
    for runner in failed:
        if why := no_newer_version(runner):
            _wait(runner, now + ASK_FOR_PACKAGE_AGAIN)
            held_back.append(f"{runner.name}: {why}")
            continue
        try:
            started += _replace(runner, now=now, by=by)
        except StaleState:
            continue  # another process replaced it, or a person took it away
        except (NoCapacity, InvalidRequest) as error:
            _wait(runner, now + TRY_AGAIN)
            held_back.append(f"{runner.name}: {error.user_message}")
    return Replaced(tuple(started), tuple(held_back))


def _replace(runner: Runner, *, now: datetime, by: Actor) -> list[Runner]:
    with transaction.atomic():
        claimed = Runner.objects.filter(
            pk=runner.pk, state=RunnerState.FAILED, replace_at=runner.replace_at
        ).update(replace_at=None)
        if not claimed:
            raise StaleState(f"{runner.name} was replaced a moment ago.")
        return lifecycle.provision(
            order_for(runner), by=by, reason=f"Replaces {runner.name}, which failed", now=now
        )


def _wait(runner: Runner, until: datetime) -> None:
    Runner.objects.filter(pk=runner.pk, replace_at=runner.replace_at).update(replace_at=until)


def order_for(runner: Runner) -> lifecycle.Order:
    """The order a failed runner came from, open to any host of the same kind."""
    labels = [label.name for label in runner.labels.all()]
    return lifecycle.Order(
        scope=runner.scope,
        labels=labels,
        ephemeral=runner.ephemeral,
        runner_group_id=runner.runner_group_id,
        runner_group_name=runner.runner_group_name,
        architecture=runner.host.architecture,
        needs_gpu=bool(runner.gpu) or "gpu" in {label.lower() for label in labels},
        emulation=bool(runner.emulates),
        sites=(runner.host.site,) if runner.host.site else (),
        replaces=runner,
    )


def no_newer_version(runner: Runner) -> str:
    """Why a runner whose version GitHub refused can't be started anew yet; "" when it can."""
    if runner.failure_cause != Cause.DEPRECATED:
        return ""
    package = RunnerPackage.objects.filter(
        scope=runner.scope_id, os=runner.host.os, architecture=runner.host.architecture
    ).first()
    if package and version(package.version) > version(runner.runner_version):
        return ""
    return f"GitHub no longer accepts version {runner.runner_version} and offers none that is newer"


def version(text: str) -> tuple[int, ...]:
    """A version as numbers, to be compared; what is no number counts as 0."""
    return tuple(int(part) if part.isdigit() else 0 for part in text.split("."))


def release_runner(runner: Runner, *, by: Actor, reason: str, now: datetime) -> Event | None:
    """Start a quarantined runner's replacement after all. Releasing twice changes nothing (None).

    Its crashes are counted anew from here.
    """
    with transaction.atomic():
        held = Runner.objects.filter(
            pk=runner.pk, state=RunnerState.FAILED, quarantined_at__isnull=False
        )
        if not held.update(quarantined_at=None, crashes=0, replace_at=now):
            return None
        return audit.record(
            runner, "runner.release", by=by, at=now, was="quarantined", reason=reason
        )


def release_host(host: Host, *, by: Actor, reason: str, now: datetime) -> Event | None:
    """Give the host runners again: ends its quarantine or its back-off; None when it had none."""
    with transaction.atomic():
        was = "quarantined" if host.quarantined_at else "backing off"
        held = Host.objects.filter(pk=host.pk).exclude(
            quarantined_at__isnull=True, backoff_until__isnull=True
        )
        if not held.update(quarantined_at=None, backoff_until=None, consecutive_failures=0):
            return None
        return audit.record(host, "host.release", by=by, at=now, was=was, reason=reason)


def release_pool(pool: Pool, *, by: Actor, reason: str, now: datetime) -> Event | None:
    """Let the pool start runners again: ends its quarantine or its back-off; None when it had
    none."""
    with transaction.atomic():
        was = "quarantined" if pool.quarantined_at else "backing off"
        held = Pool.objects.filter(pk=pool.pk).exclude(
            quarantined_at__isnull=True, backoff_until__isnull=True
        )
        if not held.update(quarantined_at=None, backoff_until=None, consecutive_failures=0):
            return None
        return audit.record(pool, "pool.release", by=by, at=now, was=was, reason=reason)


@dataclass(frozen=True, slots=True)
class Recovered:
    """What `recover` did, in names."""

    slots_freed: tuple[str, ...]
    leases_freed: tuple[str, ...]
    replaced: Replaced


def recover(*, now: datetime, by: Actor) -> Recovered:
    """Free local capacity that nobody uses any more; touches no queue, no job, no live runner."""
    from_closed = Runner.objects.filter(state=RunnerState.REMOVED, slot__isnull=False)
    freed = []
    for runner in from_closed.order_by("pk"):
        lifecycle.release_slot(runner)
        freed.append(runner.name)
    return Recovered(tuple(freed), tuple(leases.free_dead(now)), replace_due(now=now, by=by))

"""What a host says of one runner, written down, and where it leads.

The only writer of `Runner.phase` and its like; moves go through the lifecycle.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from runners import lifecycle
from runners.agent_messages import SlotReport
from runners.audit import Actor
from runners.errors import IllegalTransition, StaleState
from runners.failure import Cause
from runners.models import Event, Host, Runner
from runners.states import SERVING, Phase, RunnerState


def observe(runner: Runner, slot: SlotReport, *, now: datetime, host: Host) -> None:
    """Write what changed of one runner's process and let the lifecycle draw its conclusion."""
    was = Phase(runner.phase)
    said: dict[str, object] = {
        "phase": slot.phase.value,
        "pid": slot.pid,
        "process_started_at": slot.process_started_at,
        "exit_code": slot.exit_code,
        "phase_reason": slot.reason,
        "job_name": slot.job_name,
        "job_started_at": slot.job_started_at,
        "runner_version": slot.runner_version or runner.runner_version,
    }
    changed = {name: value for name, value in said.items() if getattr(runner, name) != value}
    if slot.phase == Phase.BUSY:
        # Use is only worth a write while a job runs, and only when it moved
        use = {"cpu_percent": slot.cpu_percent, "memory_bytes": slot.memory_bytes}
        changed |= {
            name: value
            for name, value in use.items()
            if value is not None and getattr(runner, name) != value
        }
    elif runner.cpu_percent is not None:
        changed |= {"cpu_percent": None, "memory_bytes": None}
    if changed:
        changed["observed_at"] = now
        Runner.objects.filter(pk=runner.pk).update(**changed)
        for name, value in changed.items():
            setattr(runner, name, value)
    try:
        _conclude(runner, was, now=now, by=Actor(Event.ActorKind.AGENT, host.name))
    except (StaleState, IllegalTransition):
        # Another writer moved it first; the next heartbeat tells the same again
        runner.refresh_from_db()


def _conclude(runner: Runner, was: Phase, *, now: datetime, by: Actor) -> None:
    """Move the runner where what its host says leads."""
    phase = Phase(runner.phase)
    state = RunnerState(runner.state)
    if phase == Phase.LISTENING and state == RunnerState.PROVISIONING and was != phase:
        lifecycle.wake_reconcile(runner.scope_id)
    elif phase == Phase.GONE and state == RunnerState.REMOVING:
        if runner.github_deleted_at is not None:
            lifecycle.finish(runner, reason=runner.state_reason, now=now, by=by)
        elif was != phase:
            lifecycle.wake_reconcile(runner.scope_id)
    elif phase == Phase.GONE and state == RunnerState.FAILED:
        lifecycle.release_slot(runner)
        if runner.github_deleted_at is None:
            lifecycle.wake_reconcile(runner.scope_id)
    elif phase == Phase.FAILED and state in SERVING:
        reason = runner.phase_reason or "Could not start"
        lifecycle.fail(runner, cause=Cause.OTHER, reason=reason, now=now, by=by)
    elif phase == Phase.GONE and state in SERVING:
        reason = "Its host does not have it any more"
        lifecycle.fail(runner, cause=Cause.STATE_LOST, reason=reason, now=now, by=by)
    elif phase in (Phase.EXITED, Phase.FAILED, Phase.GONE) and state == RunnerState.DRAINING:
        if was != phase:
            lifecycle.wake_reconcile(runner.scope_id)
    elif phase == Phase.EXITED and runner.ephemeral and state != RunnerState.REMOVING:
        _conclude_ephemeral_exit(runner, state, now=now, by=by)


def _conclude_ephemeral_exit(
    runner: Runner, state: RunnerState, *, now: datetime, by: Actor
) -> None:
    if state not in SERVING:
        return
    if runner.exit_code == 0:
        with transaction.atomic():
            lifecycle.retire_registration(
                runner, reason=runner.phase_reason or "Finished its job", now=now, by=by
            )
            lifecycle.wake_reconcile(runner.scope_id)
    else:
        reason = runner.phase_reason or f"Exited with code {runner.exit_code}"
        lifecycle.fail(runner, cause=Cause.EXIT, reason=reason, now=now, by=by)

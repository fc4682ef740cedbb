"""What a host says of one runner, written down, and where it leads.

The only writer of `Runner.phase` and its like; moves go through the lifecycle.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from runners import crashes, lifecycle, losses
from runners.agent_messages import SlotReport
from runners.audit import Actor
from runners.errors import IllegalTransition, StaleState
from runners.failure import Cause, End
from runners.models import Event, Host, Runner
from runners.states import PROCESS_ENDED, SERVING, Phase, RunnerState


@dataclass(frozen=True, slots=True)
class Ended:
    """How a runner ended, if it did: what it did before, why, and what else its host told."""

    was: Phase
    cause: Cause
    told: End


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
    if was == Phase.BUSY and slot.phase == Phase.LISTENING:
        said["job_ended_at"] = now
    changed = {name: value for name, value in said.items() if getattr(runner, name) != value}
    if slot.phase == Phase.BUSY:
        # Use is only worth a write while a job runs, and only when it moved
        use = {"cpu_percent": slot.cpu_percent, "memory_bytes": slot.memory_bytes}
        changed |= {
            name: value
            for name, value in use.items()
            if value is not None and getattr(runner, name) != value
        }
        changed |= _peaks(runner, slot)
    elif runner.cpu_percent is not None:
        changed |= {"cpu_percent": None, "memory_bytes": None}
    if changed:
        changed["observed_at"] = now
        Runner.objects.filter(pk=runner.pk).update(**changed)
        for name, value in changed.items():
            setattr(runner, name, value)
    ended = Ended(was, _cause(slot), _end(slot, was))
    try:
        _conclude(runner, ended, now=now, by=Actor(Event.ActorKind.AGENT, host.name))
    except (StaleState, IllegalTransition):
        # Another writer moved it first; the next heartbeat tells the same again
        runner.refresh_from_db()


def _peaks(runner: Runner, slot: SlotReport) -> dict[str, object]:
    """The highest use since the job began, where this report raises it; each job begins anew."""
    begun = runner.job_started_at != slot.job_started_at or runner.job_name != slot.job_name
    peaks: dict[str, object] = {}
    for name, value, highest in (
        ("job_peak_cpu_percent", slot.cpu_percent, runner.job_peak_cpu_percent),
        ("job_peak_memory_bytes", slot.memory_bytes, runner.job_peak_memory_bytes),
    ):
        if begun or highest is None or (value is not None and value > highest):
            peaks[name] = value
    return {name: value for name, value in peaks.items() if getattr(runner, name) != value}


def _cause(slot: SlotReport) -> Cause:
    """Why the runner ended: the agent's word where it has one, else what its phase says."""
    if slot.cause in Cause.values:
        return Cause(slot.cause)
    if slot.phase == Phase.GONE:
        return Cause.STATE_LOST
    if slot.phase != Phase.EXITED:
        return Cause.OTHER
    code = slot.exit_code or 0
    return Cause.SIGNAL if code < 0 or code > 128 else Cause.EXIT


def _end(slot: SlotReport, was: Phase) -> End:
    there = slot.end_facts
    facts: dict[str, object] = {}
    if there is not None:
        facts = {
            "at": there.at.isoformat() if there.at else None,
            "cpu_percent": there.cpu_percent,
            "memory_used_bytes": there.memory_used_bytes,
            "disk_free_bytes": there.disk_free_bytes,
        }
    return End(
        was_phase=was.value,
        log_tail=slot.log_tail,
        facts={name: value for name, value in facts.items() if value is not None},
    )


def _conclude(runner: Runner, ended: Ended, *, now: datetime, by: Actor) -> None:
    """Move the runner where what its host says leads."""
    was = ended.was
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
    elif phase in (Phase.FAILED, Phase.GONE) and state in SERVING:
        words = "Could not start" if phase == Phase.FAILED else "Its host does not have it any more"
        _fail(runner, ended, runner.phase_reason or words, now=now, by=by)
    elif phase in PROCESS_ENDED and state == RunnerState.DRAINING:
        if was != phase:
            lifecycle.wake_reconcile(runner.scope_id)
    elif phase == Phase.EXITED and runner.ephemeral and state in SERVING:
        _conclude_ephemeral_exit(runner, ended, now=now, by=by)
    elif phase == Phase.EXITED and state in SERVING and ended.cause == Cause.DEPRECATED:
        # Its host does not start it again: only another one, from a newer package, can serve
        _fail(runner, ended, runner.phase_reason, now=now, by=by)
    if runner.state not in (RunnerState.FAILED, RunnerState.REMOVED) and _broke_off(runner, was):
        losses.lose_job_of(runner, cause=ended.cause, now=now, by=by)


def _broke_off(runner: Runner, was: Phase) -> bool:
    """Whether a process ended badly under its job, although its runner is not failed by that."""
    return was == Phase.BUSY and runner.phase in PROCESS_ENDED and runner.exit_code != 0


def _conclude_ephemeral_exit(runner: Runner, ended: Ended, *, now: datetime, by: Actor) -> None:
    if runner.exit_code != 0:
        reason = runner.phase_reason or f"Exited with code {runner.exit_code}"
        _fail(runner, ended, reason, now=now, by=by)
        return
    with transaction.atomic():
        lifecycle.retire_registration(
            runner, reason=runner.phase_reason or "Finished its job", now=now, by=by
        )
        crashes.note_unused_end(runner, worked=ended.was == Phase.BUSY, now=now, by=by)
        lifecycle.wake_reconcile(runner.scope_id)


def _fail(runner: Runner, ended: Ended, reason: str, *, now: datetime, by: Actor) -> None:
    lifecycle.fail(runner, cause=ended.cause, reason=reason, now=now, by=by, end=ended.told)

"""Agent messages for tests: the smallest valid ones, as JSON values."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from runners.agent_messages import Report, parse_heartbeat
from runners.heartbeat import Policy
from runners.models import Host, Runner
from tests.factories import NOW

POLICY = Policy(
    quiet_seconds=30,
    active_seconds=3,
    late_after_seconds=60,
    offline_after_seconds=90,
    sample_seconds=60,
)
SAMPLE: dict[str, Any] = {
    "cpu_percent": 12.5,
    "load1": 0.4,
    "memory_used_bytes": 8_000_000_000,
    "memory_total_bytes": 32_000_000_000,
    "disk_used_bytes": 100_000_000_000,
    "disk_total_bytes": 500_000_000_000,
    "network_sent_bytes": 10,
    "network_received_bytes": 20,
    "temperature_celsius": 51.5,
}


def slot(runner: Runner, phase: str, **said: Any) -> dict[str, Any]:
    """What a host says of one runner, in a phase."""
    return {
        "runner_id": runner.pk,
        "name": runner.name,
        "slot": runner.slot,
        "phase": phase,
        "pid": 4242 if phase in ("starting", "listening", "busy", "stopping") else None,
        "process_started_at": None,
        "exit_code": None,
        "reason": "",
        "job": None,
        "runner_version": "2.336.0",
        "cpu_percent": 0.0,
        "memory_bytes": 0,
        **said,
    }


def as_told(runner: Runner) -> dict[str, Any]:
    """What a host says when it repeats what it said last."""
    job = {"name": runner.job_name, "started_at": _iso(runner.job_started_at)}
    return slot(
        runner,
        runner.phase,
        pid=runner.pid,
        process_started_at=_iso(runner.process_started_at),
        exit_code=runner.exit_code,
        reason=runner.phase_reason,
        job=job if runner.job_name else None,
        cpu_percent=runner.cpu_percent,
        memory_bytes=runner.memory_bytes,
    )


def entry(seq: int, kind: str, runner: Runner | None = None, **detail: Any) -> dict[str, Any]:
    """One journal entry."""
    return {
        "seq": seq,
        "at": NOW.isoformat(),
        "runner_id": runner.pk if runner else None,
        "kind": kind,
        "detail": detail,
    }


def heartbeat(host: Host, *slots: dict[str, Any], **said: Any) -> dict[str, Any]:
    """A heartbeat of a host that holds the present wanted set."""
    return {
        "protocol": 1,
        "agent_version": host.agent_version,
        "boot_id": host.boot_id,
        "at": NOW.isoformat(),
        "wanted_version": host.wanted_version,
        "slots": list(slots),
        "journal": [],
        **said,
    }


def report(host: Host, *slots: dict[str, Any], **said: Any) -> Report:
    """The same, parsed."""
    return parse_heartbeat(heartbeat(host, *slots, **said))


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None

"""What is written down in the second a runner fails; inside the caller's transaction.

Only collects what is known by then: it asks neither GitHub nor the host, and moves nothing.
"""

from __future__ import annotations

from datetime import datetime

from runners.failure import Cause, End
from runners.models import Host, Job, Postmortem, Runner, RunnerLog

LOG_TAIL_CHARACTERS = 8 * 1024
HOST_COLUMNS = (
    "cpu_percent",
    "load1",
    "memory_used_bytes",
    "memory_bytes",
    "disk_used_bytes",
    "disk_total_bytes",
    "temperature_celsius",
    "sampled_at",
)


def write(
    runner: Runner, *, cause: Cause, words: str, end: End, job: Job | None, now: datetime
) -> Postmortem:
    """Record why the runner failed; a second failure of the same runner changes nothing."""
    row, _ = Postmortem.objects.get_or_create(
        runner=runner,
        defaults={
            "at": now,
            "cause": cause,
            "words": words,
            "exit_code": runner.exit_code,
            "was_phase": end.was_phase or runner.phase,
            "job": job,
            "job_name": job.name if job else runner.job_name,
            "log_tail": (end.log_tail or _own_log_tail(runner))[-LOG_TAIL_CHARACTERS:],
            "host_facts": _host_facts(runner.host_id) | dict(end.facts),
        },
    )
    return row


def _own_log_tail(runner: Runner) -> str:
    text = RunnerLog.objects.filter(runner=runner).values_list("text", flat=True).first()
    return text or ""


def _host_facts(host_id: int) -> dict[str, object]:
    """The host's last sample, as it was told; times as ISO 8601 text."""
    row = Host.objects.values(*HOST_COLUMNS).get(pk=host_id)
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in row.items()
        if value is not None
    }

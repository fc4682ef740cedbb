"""What became of a failed runner, as ready values: cause, exit, last lines, its host then, its job.

Read only; three queries at most, none for a live runner that replaces no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from runners.failure import Cause, exit_words
from runners.models import Job, Postmortem, Runner
from runners.states import LIVE, Phase
from runners.templatetags.fleet import size

LOG_CHARACTERS: Final = 3_000


@dataclass(frozen=True, slots=True)
class HostFact:
    """One figure of the host in that second, in words."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class WhatHappened:
    """The card: `replaces` and `replaced_by` are its neighbours in a row of replacements."""

    at: datetime | None
    cause: str
    words: str
    exit: str
    was: str
    job: Job | None
    job_name: str
    job_words: str
    log: str
    host_facts: list[HostFact]
    crashes: int
    replaces: Runner | None
    replaced_by: Runner | None
    replace_at: datetime | None


def what_happened(runner: Runner) -> WhatHappened | None:
    """Return the card of this runner; None when there is nothing to tell."""
    if runner.state in LIVE and runner.replaces_id is None:
        return None
    post = Postmortem.objects.select_related("job").filter(pk=runner.pk).first()
    successor = Runner.objects.filter(replaces=runner).first()
    if post is None and runner.replaces_id is None:
        return None
    return WhatHappened(
        at=post.at if post else None,
        cause=Cause(post.cause).label if post else "",
        words=post.words if post else "",
        exit=_exit(post),
        was=Phase(post.was_phase).label if post else "",
        job=post.job if post else None,
        job_name=post.job_name if post else "",
        job_words=post.job.failure_reason if post and post.job else "",
        log=post.log_tail[-LOG_CHARACTERS:] if post else "",
        host_facts=_host_facts(post.host_facts) if post else [],
        crashes=runner.crashes,
        replaces=runner.replaces,
        replaced_by=successor,
        replace_at=runner.replace_at,
    )


def _exit(post: Postmortem | None) -> str:
    if post is None or post.exit_code is None:
        return ""
    words = exit_words(post.exit_code)
    return words[0].upper() + words[1:]


def _host_facts(facts: dict[str, object]) -> list[HostFact]:
    """The figures a person can judge by; what was not told is left out."""
    number = {name: value for name, value in facts.items() if isinstance(value, int | float)}
    shown = []
    if "cpu_percent" in number:
        shown.append(HostFact("CPU", f"{number['cpu_percent']:.0f}%"))
    if "load1" in number:
        shown.append(HostFact("Load", f"{number['load1']:.1f}"))
    if "memory_used_bytes" in number:
        whole = f" of {size(number['memory_bytes'])}" if "memory_bytes" in number else ""
        shown.append(HostFact("Memory", f"{size(number['memory_used_bytes'])} used{whole}"))
    if "disk_free_bytes" in number:
        shown.append(HostFact("Disk", f"{size(number['disk_free_bytes'])} free"))
    elif "disk_used_bytes" in number and "disk_total_bytes" in number:
        free = number["disk_total_bytes"] - number["disk_used_bytes"]
        shown.append(HostFact("Disk", f"{size(free)} free"))
    if "temperature_celsius" in number:
        shown.append(HostFact("Temperature", f"{number['temperature_celsius']:.0f} °C"))
    return shown

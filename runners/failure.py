"""Why runners fail, in codes and in words; pure data. Whose fault a lost job is follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from django.db.models import TextChoices


class Cause(TextChoices):
    """The agent names the first ones, the dashboard the last."""

    EXIT = "exit", "Ended with an error"
    SIGNAL = "signal", "Killed by a signal"
    OOM = "oom", "Out of memory"
    DISK_FULL = "disk-full", "Disk full"
    DEPRECATED = "deprecated", "Runner version no longer accepted"
    REGISTRATION = "registration", "Could not register"
    PACKAGE = "package", "Runner package could not be fetched"
    KEEPER_LOST = "keeper-lost", "Its keeper on the host died"
    REBOOTED = "rebooted", "Host was restarted"
    STATE_LOST = "state-lost", "Host forgot it"
    HUNG = "hung", "Hung"
    START_DEADLINE = "start-deadline", "Not online in time"
    HOST_LOST = "host-lost", "Host fell silent"
    NO_PACKAGE = "no-package", "No runner application for this host"
    FORCED = "forced", "Stopped by a person"
    OTHER = "other", "Other"


class FailureClass(TextChoices):
    """Whose a failed job is."""

    PRODUCT = "product", "Product: the workflow's own steps"
    RUNNER = "runner", "Runner: its process"
    ENVIRONMENT = "environment", "Environment: the host"
    INFRASTRUCTURE = "infrastructure", "Infrastructure: network, GitHub or Fleetui"


CLASS_OF: Final[dict[Cause, FailureClass]] = {
    Cause.EXIT: FailureClass.RUNNER,
    Cause.SIGNAL: FailureClass.RUNNER,
    Cause.OOM: FailureClass.ENVIRONMENT,
    Cause.DISK_FULL: FailureClass.ENVIRONMENT,
    Cause.DEPRECATED: FailureClass.RUNNER,
    Cause.REGISTRATION: FailureClass.INFRASTRUCTURE,
    Cause.PACKAGE: FailureClass.INFRASTRUCTURE,
    Cause.KEEPER_LOST: FailureClass.RUNNER,
    Cause.REBOOTED: FailureClass.ENVIRONMENT,
    Cause.STATE_LOST: FailureClass.ENVIRONMENT,
    Cause.HUNG: FailureClass.RUNNER,
    Cause.START_DEADLINE: FailureClass.RUNNER,
    Cause.HOST_LOST: FailureClass.ENVIRONMENT,
    Cause.NO_PACKAGE: FailureClass.INFRASTRUCTURE,
    Cause.FORCED: FailureClass.INFRASTRUCTURE,
    Cause.OTHER: FailureClass.RUNNER,
}

NOT_THE_HOSTS: Final = frozenset(
    {
        Cause.REGISTRATION,
        Cause.PACKAGE,
        Cause.NO_PACKAGE,
        Cause.DEPRECATED,
        Cause.FORCED,
        Cause.HOST_LOST,
    }
)
"""Failures that say nothing against the machine they happened on."""

NEVER_REPLACED: Final = frozenset({Cause.FORCED, Cause.NO_PACKAGE})
"""Failures after which another of the same would be unwanted, or fail the same way at once."""

EXIT_WORDS: Final[dict[int, str]] = {
    0: "done",
    1: "gave up: bad configuration, deleted registration or access denied",
    2: "an error that may pass",
    3: "updating itself",
    4: "updating itself",
    5: "the same runner is active elsewhere",
    7: "this runner version is no longer accepted",
    130: "interrupted",
    137: "killed",
    143: "asked to end",
}
"""What exit codes of the runner's listener mean; past 128 it was ended by a signal."""


def exit_words(code: int) -> str:
    """Say an exit code with its meaning: "exit code 137 (killed)"."""
    words = EXIT_WORDS.get(code, "")
    if not words and (code > 128 or code < 0):
        words = f"ended by signal {code - 128 if code > 128 else -code}"
    return f"exit code {code}" + (f" ({words})" if words else "")


@dataclass(frozen=True, slots=True)
class End:
    """What the host said of a runner's end; empty where the host said nothing.

    `was_phase` is what it did before, `log_tail` its last output, `facts` the host's figures of
    that second by name (units in the names).
    """

    was_phase: str = ""
    log_tail: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)


NOTHING_TOLD: Final = End()

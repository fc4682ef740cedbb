"""The kinds of drift: name, meaning, fix, and which are safe to mend without asking. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.db.models import TextChoices


class DriftKind(TextChoices):
    """Each way in which the three columns can disagree."""

    GHOST = "ghost", "Ghost registration"
    NEVER_ONLINE = "never-online", "Registered, never online"
    UNKNOWN_PROCESS = "unknown-process", "Running, but unknown here"
    ALIVE_BUT_OFFLINE = "alive-but-offline", "Process alive, GitHub says offline"
    BUSY_BUT_IDLE = "busy-but-idle", "GitHub says busy, host says idle"
    LABELS = "labels", "Labels differ"
    DUPLICATE_NAME = "duplicate-name", "Duplicate name"
    WRONG_VERSION = "wrong-version", "Runner version behind"
    FOREIGN = "foreign", "Somebody else's runner"
    REMOVED_AT_GITHUB = "removed-at-github", "Removed at GitHub under us"
    LEFTOVER = "leftover", "Left over on a host"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a kind of drift tells a person, and what its fix does.

    `safe` kinds are mended without asking unless switched off. `settle_seconds`: how long it must
    last before it is shown or mended; most mismatches are news under way and pass by themselves.
    """

    meaning: str
    fix: str
    consequence: str
    safe: bool = False
    settle_seconds: int = 60


MEANINGS: Final[dict[DriftKind, Meaning]] = {
    DriftKind.GHOST: Meaning(
        "GitHub lists a runner that carries our mark, but none of ours goes by it. A registration "
        "outlived its runner.",
        "Deregister it",
        "It is deleted at GitHub. GitHub refuses while a job is on it.",
        safe=True,
    ),
    DriftKind.NEVER_ONLINE: Meaning(
        "The runner is registered, but did not come online within its start deadline.",
        "Give up on it",
        "It becomes failed, its registration is deleted and its slot is freed.",
        safe=True,
        settle_seconds=0,
    ),
    DriftKind.UNKNOWN_PROCESS: Meaning(
        "A host runs a runner process that nobody here asked for, or one from after a backup that "
        "was restored.",
        "Stop it",
        "The host ends the process tree and wipes its directory. A job on it fails, unless the "
        "host knows it as a runner: then the job is waited for.",
    ),
    DriftKind.ALIVE_BUT_OFFLINE: Meaning(
        "The host says the process is alive while GitHub says the runner is offline. The process "
        "is believed: GitHub may say offline while a runner takes jobs.",
        "Drain it",
        "It is drained: a job on it goes on to its end, then it is deregistered. Its pool starts "
        "another.",
    ),
    DriftKind.BUSY_BUT_IDLE: Meaning(
        "GitHub counts a job on the runner that its host does not see. It is treated as busy.",
        "Drain it",
        "It is drained: deleted at GitHub once GitHub no longer counts a job on it.",
    ),
    DriftKind.LABELS: Meaning(
        "The labels at GitHub are not the ones we want.",
        "Push the wanted labels",
        "The custom labels at GitHub are replaced. An ephemeral runner is drained, and its pool "
        "starts another.",
        safe=True,
    ),
    DriftKind.DUPLICATE_NAME: Meaning(
        "GitHub lists several runners under one name of ours.",
        "Deregister the others",
        "Every runner of that name except ours is deleted at GitHub, unless a job is on it.",
    ),
    DriftKind.WRONG_VERSION: Meaning(
        "The runner's application is older than the one GitHub offers. GitHub stops giving it jobs "
        "30 days after a newer release.",
        "Drain and replace it",
        "It finishes its job and leaves; its pool starts one with the offered version.",
        settle_seconds=0,
    ),
    DriftKind.FOREIGN: Meaning(
        "GitHub lists a runner without our mark: another tool or person registered it. It is shown "
        "and counted, never touched.",
        "Adopt it for clean-up",
        "It is treated as a ghost of ours from then on, and may be deregistered.",
        settle_seconds=0,
    ),
    DriftKind.REMOVED_AT_GITHUB: Meaning(
        "GitHub no longer lists the runner although we did not remove it.",
        "Stop and replace it",
        "Its process is ended once no job runs, its slot is freed, its pool starts another.",
        safe=True,
        settle_seconds=0,
    ),
    DriftKind.LEFTOVER: Meaning(
        "A work directory or process of a runner that is gone was left on its host.",
        "Clean it up",
        "The host ends the process and deletes the directory.",
        safe=True,
    ),
}

SAFE: Final = tuple(kind for kind, meaning in MEANINGS.items() if meaning.safe)
"""The kinds mended without asking unless a person decided otherwise."""

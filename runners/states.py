"""What a runner may be, in data: wanted states, legal moves, and what a person sees.

Pure: no ORM, no clock. `display_state` computes the word on the page from the three columns of
facts (wanted, observed by the host, told by GitHub); `runners.models.runner.RunnerQuerySet` has the
equal annotation for filters, and a test compares the two over every combination.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.db.models import TextChoices


class RunnerState(TextChoices):
    """What we want of a runner. Written by `lifecycle.transition` only."""

    PROVISIONING = "provisioning", "Provisioning"
    ACTIVE = "active", "Active"
    DRAINING = "draining", "Draining"
    REMOVING = "removing", "Removing"
    REMOVED = "removed", "Removed"
    FAILED = "failed", "Failed"


TRANSITIONS: Final[dict[RunnerState, frozenset[RunnerState]]] = {
    RunnerState.PROVISIONING: frozenset(
        {RunnerState.ACTIVE, RunnerState.DRAINING, RunnerState.REMOVING, RunnerState.FAILED}
    ),
    RunnerState.ACTIVE: frozenset({RunnerState.DRAINING, RunnerState.REMOVING, RunnerState.FAILED}),
    RunnerState.DRAINING: frozenset(
        {
            RunnerState.PROVISIONING,
            RunnerState.ACTIVE,
            RunnerState.REMOVING,
            RunnerState.FAILED,
        }
    ),
    RunnerState.REMOVING: frozenset({RunnerState.REMOVED}),
    RunnerState.FAILED: frozenset({RunnerState.REMOVING, RunnerState.REMOVED}),
    RunnerState.REMOVED: frozenset(),
}

LIVE: Final = (
    RunnerState.PROVISIONING,
    RunnerState.ACTIVE,
    RunnerState.DRAINING,
    RunnerState.REMOVING,
)
"""States in which a runner still needs somebody's work to reach its end."""

SERVING: Final = (RunnerState.PROVISIONING, RunnerState.ACTIVE)
"""States that count towards a pool's size."""


class Phase(TextChoices):
    """What the host says the runner's process does. Written by `heartbeat` only; "" until it said
    anything."""

    UNSEEN = "", "Not seen yet"
    FETCHING = "fetching", "Fetching the runner package"
    PREPARING = "preparing", "Preparing the slot"
    REGISTERING = "registering", "Registering with GitHub"
    STARTING = "starting", "Starting"
    LISTENING = "listening", "Listening for jobs"
    BUSY = "busy", "Running a job"
    STOPPING = "stopping", "Stopping"
    EXITED = "exited", "Exited"
    FAILED = "failed", "Could not start"
    GONE = "gone", "Gone"


PROCESS_ALIVE: Final = (Phase.STARTING, Phase.LISTENING, Phase.BUSY, Phase.STOPPING)
PROCESS_ENDED: Final = (Phase.EXITED, Phase.FAILED, Phase.GONE)


class GitHubStatus(TextChoices):
    """What GitHub says. "" until it said anything; absent once a complete list no longer had the
    runner."""

    UNKNOWN = "", "Unknown"
    ONLINE = "online", "Online"
    OFFLINE = "offline", "Offline"
    ABSENT = "absent", "Not registered"


class DisplayState(TextChoices):
    """The one word a person sees for a runner, most urgent meaning first when sorted by `ORDER`."""

    QUARANTINED = "quarantined", "Quarantined"
    LOST = "lost", "Lost"
    FAILED = "failed", "Failed"
    OFFLINE = "offline", "Offline"
    STARTING = "starting", "Starting"
    DRAINING = "draining", "Draining"
    REMOVING = "removing", "Removing"
    BUSY = "busy", "Busy"
    IDLE = "idle", "Idle"
    REMOVED = "removed", "Removed"


ORDER: Final[dict[DisplayState, int]] = {state: index for index, state in enumerate(DisplayState)}

TONE: Final[dict[DisplayState, str]] = {
    DisplayState.QUARANTINED: "bad",
    DisplayState.LOST: "bad",
    DisplayState.FAILED: "bad",
    DisplayState.OFFLINE: "bad",
    DisplayState.STARTING: "start",
    DisplayState.DRAINING: "warn",
    DisplayState.REMOVING: "warn",
    DisplayState.BUSY: "accent",
    DisplayState.IDLE: "ok",
    DisplayState.REMOVED: "mute",
}


class HostState(TextChoices):
    """The one word a person sees for a host."""

    OFFLINE = "offline", "Offline"
    LATE = "late", "Late"
    QUARANTINED = "quarantined", "Quarantined"
    ENROLLING = "enrolling", "Waiting for first heartbeat"
    CORDONED = "cordoned", "Cordoned"
    ONLINE = "online", "Online"
    RETIRED = "retired", "Retired"


HOST_TONE: Final[dict[HostState, str]] = {
    HostState.OFFLINE: "bad",
    HostState.LATE: "warn",
    HostState.QUARANTINED: "bad",
    HostState.ENROLLING: "start",
    HostState.CORDONED: "warn",
    HostState.ONLINE: "ok",
    HostState.RETIRED: "mute",
}


@dataclass(frozen=True, slots=True)
class RunnerFacts:
    """The three columns, reduced to what the display depends on.

    `host_silent`: the host's heartbeat is past `offline_after`, so what it said last is no longer
    known. `quarantined`: it crashed too often in a row to be replaced once more.
    """

    state: RunnerState
    phase: Phase
    github_status: GitHubStatus
    github_busy: bool
    host_silent: bool
    quarantined: bool = False


def is_busy(facts: RunnerFacts) -> bool:
    """Busy is believed if either the host or GitHub says so."""
    return facts.phase == Phase.BUSY or facts.github_busy


def display_state(facts: RunnerFacts) -> DisplayState:
    """Return the word for these facts; unknown facts never read as good ones."""
    if facts.state == RunnerState.FAILED and facts.quarantined:
        return DisplayState.QUARANTINED
    if facts.state in (RunnerState.REMOVED, RunnerState.REMOVING, RunnerState.FAILED):
        return DisplayState(facts.state.value)
    if facts.host_silent:
        return DisplayState.LOST
    if facts.state == RunnerState.DRAINING:
        return DisplayState.DRAINING
    if facts.state == RunnerState.PROVISIONING:
        return DisplayState.STARTING
    if is_busy(facts):
        return DisplayState.BUSY
    if facts.phase in PROCESS_ENDED or facts.github_status in (
        GitHubStatus.OFFLINE,
        GitHubStatus.ABSENT,
    ):
        return DisplayState.OFFLINE
    return DisplayState.IDLE

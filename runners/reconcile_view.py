"""What a pass looks at: one runner in its three columns, and the conditions it is judged by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from runners.drift_kinds import DriftKind
from runners.states import GitHubStatus, Phase, RunnerState


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long things may take before they count as failed.

    `start`: until a runner is online at GitHub. `host_lost`: how long a host may be silent before
    its runners are replaced elsewhere, if GitHub agrees that they do nothing. `online_ghost`: how
    long a registration of ours without a runner may be online before it is deleted.
    """

    start: timedelta
    host_lost: timedelta = timedelta(minutes=5)
    online_ghost: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a pass is judged by, besides the runners.

    `complete`: GitHub's list was read to its end; a partial one proves no absence. `back_at`: when
    GitHub was last reachable again after an outage. `quiesced`: runners not begun are held back.
    `offered`: runner version by (os, architecture). `auto`: kinds of drift mended without asking.
    """

    now: datetime
    complete: bool
    deadlines: Deadlines
    owner_mark: str
    back_at: datetime | None = None
    quiesced: bool = False
    offered: Mapping[tuple[str, str], str] = field(default_factory=dict)
    auto: frozenset[DriftKind] = frozenset()


@dataclass(frozen=True, slots=True)
class OurRunner:
    """One runner of ours, with the three columns and what is needed of its host.

    `start_deadline`: its pool's own, None for the installation's.
    """

    pk: int
    name: str
    state: RunnerState
    state_changed_at: datetime
    ephemeral: bool
    force: bool
    labels: frozenset[str]
    phase: Phase
    observed_at: datetime | None
    runner_version: str
    drain_deadline_at: datetime | None
    registered_at: datetime | None
    github_id: int | None
    github_status: GitHubStatus
    github_busy: bool
    github_labels: tuple[str, ...]
    github_seen_at: datetime | None
    github_offline_since: datetime | None
    github_deleted: bool
    holds_slot: bool
    host_id: int
    host_name: str
    host_os: str
    host_architecture: str
    host_silent_at: datetime | None
    host_retired: bool
    start_deadline: timedelta | None = None

    def host_silent(self, now: datetime) -> bool:
        """Whether what the host said last is no longer known."""
        return self.host_silent_at is None or self.host_silent_at <= now

    @property
    def host_let_go(self) -> bool:
        """Whether nothing of it is left on its host, so that it can't register any more."""
        return self.phase == Phase.GONE or self.host_retired

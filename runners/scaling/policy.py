"""What a person decides of a pool, as the arithmetic takes it: presets, limits, hours, hosts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Presets(StrEnum):
    """Ready-made ways to answer a queue; each of their numbers can be overridden."""

    LAZY = "lazy"
    BALANCED = "balanced"
    AGGRESSIVE = "aggressive"


@dataclass(frozen=True, slots=True)
class Preset:
    """When waiting jobs start runners, and when idle ones leave.

    Runners start once `scale_up_jobs` jobs wait without a ready runner, or one of them has waited
    `scale_up_seconds`, whichever comes first.
    """

    scale_up_jobs: int
    scale_up_seconds: int
    idle_timeout_seconds: int = 300


PRESETS: Final[Mapping[Presets, Preset]] = {
    Presets.LAZY: Preset(5, 120),
    Presets.BALANCED: Preset(2, 60),
    Presets.AGGRESSIVE: Preset(1, 30),
}


@dataclass(frozen=True, slots=True)
class Window:
    """Hours in which a pool has other limits; None keeps the pool's own.

    `days` are those on which it begins; one whose end is not after its begin goes on into the next
    day, so 00:00 to 00:00 is the whole day.
    """

    days: frozenset[str]
    begins: time
    ends: time
    min_idle: int | None = None
    max_runners: int | None = None

    def holds(self, local: datetime) -> bool:
        """Whether this moment, in the pool's own time zone, lies in the window."""
        clock = local.time().replace(tzinfo=None)
        today = DAYS[local.weekday()] in self.days
        if self.begins < self.ends:
            return today and self.begins <= clock < self.ends
        yesterday = DAYS[(local.weekday() - 1) % 7] in self.days
        return (today and clock >= self.begins) or (yesterday and clock < self.ends)


@dataclass(frozen=True, slots=True)
class Size:
    """What one runner takes of its host besides a slot; 0 takes nothing that is counted.

    GPUs are counted in shares, `GPU_SHARES` a GPU, so that runners may share one.
    """

    cpus: int = 0
    memory_bytes: int = 0
    disk_bytes: int = 0
    gpu_shares: int = 0

    def fits(self, left: Size) -> bool:
        """Whether there is so much left; what is not asked for does not matter."""
        return (
            (not self.cpus or self.cpus <= left.cpus)
            and (not self.memory_bytes or self.memory_bytes <= left.memory_bytes)
            and (not self.disk_bytes or self.disk_bytes <= left.disk_bytes)
            and (not self.gpu_shares or self.gpu_shares <= left.gpu_shares)
        )

    def __add__(self, other: Size) -> Size:
        return Size(
            self.cpus + other.cpus,
            self.memory_bytes + other.memory_bytes,
            self.disk_bytes + other.disk_bytes,
            self.gpu_shares + other.gpu_shares,
        )

    def __sub__(self, other: Size) -> Size:
        return Size(
            self.cpus - other.cpus,
            self.memory_bytes - other.memory_bytes,
            self.disk_bytes - other.disk_bytes,
            self.gpu_shares - other.gpu_shares,
        )


NO_SIZE: Final = Size()
GPU_SHARES: Final = 840
"""Shares of one GPU: every number of runners from 1 to 8 divides it."""


@dataclass(frozen=True, slots=True)
class Policy:
    """All that a plan needs of what a person decided; lengths in seconds, 0 for none.

    `sites` in order of preference; with `sites_only` hosts elsewhere never serve. A host must carry
    all `host_labels`. Labels, repositories and sites in lower case; "" and () mean any. None of the
    three overrides means what the preset says.
    """

    labels: frozenset[str]
    min_idle: int = 0
    max_runners: int = 10
    warm_spares: int = 0
    preset: Presets = Presets.AGGRESSIVE
    scale_up_jobs: int | None = None
    scale_up_seconds: int | None = None
    idle_timeout_seconds: int | None = None
    start_deadline_seconds: int = 120
    max_lifetime_seconds: int = 0
    scale_up_step: int = 0
    cooldown_seconds: int = 0
    priority: int = 0
    weight: int = 1
    ephemeral: bool = True
    repositories: tuple[str, ...] = ()
    architecture: str = ""
    needs_gpu: bool = False
    promises: frozenset[str] = frozenset()
    sites: tuple[str, ...] = ()
    sites_only: bool = False
    host_labels: frozenset[str] = frozenset()
    emulation: bool = False
    size: Size = NO_SIZE
    time_zone: str = "UTC"
    windows: tuple[Window, ...] = ()

    @property
    def trigger_jobs(self) -> int:
        """Jobs without a ready runner that start runners at once."""
        return _either(self.scale_up_jobs, PRESETS[self.preset].scale_up_jobs)

    @property
    def trigger_after(self) -> timedelta:
        """The wait of one job that starts runners however few wait."""
        seconds = _either(self.scale_up_seconds, PRESETS[self.preset].scale_up_seconds)
        return timedelta(seconds=seconds)

    @property
    def idle_timeout(self) -> timedelta:
        """How long a runner may be idle before it may leave."""
        seconds = _either(self.idle_timeout_seconds, PRESETS[self.preset].idle_timeout_seconds)
        return timedelta(seconds=seconds)


def _either(override: int | None, preset: int) -> int:
    return preset if override is None else override


@dataclass(frozen=True, slots=True)
class Limits:
    """How many runners a pool keeps idle and may have at one moment."""

    min_idle: int
    max_runners: int


def limits_at(policy: Policy, now: datetime) -> Limits:
    """The limits in force now: the first window that holds, else the pool's own.

    A minimum above the maximum in force is cut to it.
    """
    minimum, maximum = policy.min_idle, policy.max_runners
    if policy.windows:
        local = now.astimezone(ZoneInfo(policy.time_zone))
        for window in policy.windows:
            if window.holds(local):
                minimum = _either(window.min_idle, minimum)
                maximum = _either(window.max_runners, maximum)
                break
    return Limits(min(minimum, maximum), maximum)

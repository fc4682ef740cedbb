"""Runner versions: which may still register, which still get jobs, and since when."""

from __future__ import annotations

from runners.simulator.wire import whole
from runners.simulator.world import World


def version_key(version: str) -> tuple[int, ...]:
    """Sortable form of ``2.336.0``; parts that are not numbers count as 0."""
    return tuple(whole(part) or 0 for part in version.split("."))


def is_older(version: str, other: str) -> bool:
    """True when ``version`` comes before ``other``."""
    return version_key(version) < version_key(other)


def registration_refused(world: World, version: str) -> bool:
    """True for a version below the minimum, or past its own registration date."""
    if is_older(version, world.settings.minimum_runner_version):
        return True
    release = world.store.releases.get(version)
    ends = release.registration_deprecates_at if release else None
    return ends is not None and ends <= world.clock.time()


def runtime_refused(world: World, version: str) -> bool:
    """True for a version that no longer receives messages."""
    release = world.store.releases.get(version)
    ends = release.runtime_deprecates_at if release else None
    return ends is not None and ends <= world.clock.time()

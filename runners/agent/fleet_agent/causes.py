"""Why a runner ended, as one of the protocol's codes; and what proves it.

It reads counters and files and decides; it changes nothing.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from .errors import AgentError
from .exit_codes import DEPRECATED

DISK_FLOOR_BYTES = 64 * 1024**2
SIGKILL_CODE = 137
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
NO_SPACE_WORDS = re.compile(r"No space left on device|Disk quota exceeded")
# The runner's and config.sh's own words for a version GitHub gives nothing to any more.
DEPRECATED_WORDS = re.compile(
    r"[Rr]unner version \S+ is deprecated|version is out of date and can no longer register"
)


class Cause(str, Enum):
    """The codes of docs/guide/agent-protocol.md."""

    NONE = ""
    FINISHED = "finished"
    EXIT = "exit"
    SIGNAL = "signal"
    OOM = "oom"
    DISK_FULL = "disk-full"
    DEPRECATED = "deprecated"
    REGISTRATION = "registration"
    PACKAGE = "package"
    KEEPER_LOST = "keeper-lost"
    REBOOTED = "rebooted"
    STATE_LOST = "state-lost"
    HUNG = "hung"


@dataclass(frozen=True)
class Evidence:
    """What is known in the moment a runner is seen to have ended."""

    exit_code: int | None
    console_tail: str
    oom_kills_rose: bool
    disk_free_bytes: int
    record_lost: bool


def cause_of_end(seen: Evidence) -> Cause:
    """Return why a runner ended, by the strongest evidence there is."""
    code = seen.exit_code
    if code == 0:
        return Cause.FINISHED
    if code == DEPRECATED or DEPRECATED_WORDS.search(seen.console_tail):
        return Cause.DEPRECATED
    if code == SIGKILL_CODE and seen.oom_kills_rose:
        return Cause.OOM
    if NO_SPACE_WORDS.search(seen.console_tail) or seen.disk_free_bytes < DISK_FLOOR_BYTES:
        return Cause.DISK_FULL
    if code is None:
        return Cause.STATE_LOST if seen.record_lost else Cause.KEEPER_LOST
    return Cause.SIGNAL if code > 128 else Cause.EXIT


def cause_of_error(error: BaseException) -> Cause:
    """Return why something could not be done: a full disk anywhere in the chain comes first."""
    if lacks_space(error):
        return Cause.DISK_FULL
    if DEPRECATED_WORDS.search(str(error)):
        return Cause.DEPRECATED
    return Cause(error.cause) if isinstance(error, AgentError) else Cause.EXIT


def lacks_space(error: BaseException | None) -> bool:
    """Return whether a full disk or an exhausted quota is behind an error."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in NO_SPACE:
            return True
        error = error.__cause__ or error.__context__
    return False


def oom_kills(
    groups: Iterable[Path] = (),
    proc_root: Path = Path("/proc"),
    sysfs_root: Path = Path("/sys"),
) -> int | None:
    """Return how often the out-of-memory killer struck so far, None where nothing says.

    A slot's own control groups say it of this slot alone. Else the agent's own counts what
    happened to it and everything below it (cgroup v2: ``memory.events``, v1:
    ``memory.oom_control``), so its runners too. Where there is none, the whole machine's count has
    to do (``/proc/vmstat``).
    """
    for group in groups:
        for name in ("memory.events", "memory.oom_control"):
            found = counter(group / name, "oom_kill")
            if found is not None:
                return found
    root = sysfs_root / "fs/cgroup"
    for line in lines_of(proc_root / "self/cgroup"):
        _, controllers, path = line.split(":", 2)
        relative = path.lstrip("/")
        if controllers == "":
            file = root / relative / "memory.events"
        elif "memory" in controllers.split(","):
            file = root / "memory" / relative / "memory.oom_control"
        else:
            continue
        found = counter(file, "oom_kill")
        if found is not None:
            return found
    return counter(proc_root / "vmstat", "oom_kill")


def counter(path: Path, name: str) -> int | None:
    """Return one number of a file of ``name number`` lines."""
    for line in lines_of(path):
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return None


def lines_of(path: Path) -> list[str]:
    """Return a kernel file's lines; none where it cannot be read."""
    try:
        return path.read_text("ascii", errors="replace").splitlines()
    except OSError:
        return []

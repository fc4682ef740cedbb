"""How jobs are kept apart on this host: found out once, told to the server, used at each start.

Three things are independent of each other: limits (control groups), the user a job runs as (one a
slot where the agent is root, else the agent's own), and the view (own processes, files and temp
only, where the kernel lets the agent make namespaces). What is not possible is declared, never
passed over: as root without a private view no runner is started unless the operator said so.
"""

from __future__ import annotations

import grp
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from . import confine
from .errors import AgentError
from .limits import (
    ControlGroups,
    cpus_for,
    find_control_groups,
    host_limits,
    procs_files,
)
from .marks import place_of
from .own_limits import usable_cpus, usable_memory_bytes
from .slot_directory import SlotDirectory, memory_root
from .wire import IsolationFacts, Wanted

log = logging.getLogger(__name__)

SLOT_UID_VARIABLE = "FLEET_AGENT_SLOT_UIDS"
ROOT_VARIABLE = "FLEET_AGENT_JOBS_AS_ROOT"
SHARE_VARIABLE = "FLEET_AGENT_SHARE"
VIEW_VARIABLE = "FLEET_AGENT_PRIVATE_VIEW"
RESERVE_CPU_VARIABLE = "FLEET_AGENT_RESERVE_CPU"
RESERVE_MEMORY_VARIABLE = "FLEET_AGENT_RESERVE_MEMORY_GB"
# Used by nobody by convention: above the users of a machine, below the ranges of subuid(5).
SLOT_UIDS = 70_000
UIDS_A_PLACE = 257
PLACES = 100
PROBE_SECONDS = 20
HIDDEN = ("/home", "/root", "/run")
TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108
SHARED_MEMORY = "/dev/shm"  # noqa: S108
# Of /run, what programs need to resolve names and find devices: no sockets that obey anybody.
KEPT = (
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager/resolv.conf",
    "/run/nscd",
    "/run/udev/data",
    "/run/nvidia-persistenced",
    "/run/current-system",
    "/run/opengl-driver",
)
DEVICE_GROUPS = ("render", "video")
CONTROL_GROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Isolation:
    """What this agent does for each slot. ``first_uid`` None: jobs run as the agent's user."""

    groups: ControlGroups
    private: bool
    view_reason: str
    first_uid: int | None
    state_dir: Path
    shared: tuple[str, ...] = ()
    jobs_as_root: bool = False

    @property
    def runs_jobs_as(self) -> str:
        """Return ``slot-user``, ``agent-user`` or ``root``."""
        if self.first_uid is not None:
            return "slot-user"
        return "root" if os.geteuid() == 0 else "agent-user"

    def facts(self) -> IsolationFacts:
        """Return what is said of it in the host's facts."""
        in_memory = memory_root(self.state_dir / "slots") is not None
        return {
            "limits": list(self.groups.bases),
            "limits_by": f"cgroup v{self.groups.version}" if self.groups.bases else "",
            "limits_reason": self.groups.reason,
            "jobs_run_as": self.runs_jobs_as,
            "view": "private" if self.private else "shared",
            "view_reason": self.view_reason,
            "credentials": "memory" if in_memory and self.private else "disk",
            "shared": list(self.shared),
        }

    def require_allowed(self) -> None:
        """Refuse to run a job as root unless the operator said so; raises AgentError."""
        if self.runs_jobs_as == "root" and not self.jobs_as_root:
            raise AgentError(
                f"jobs would run as root here ({self.view_reason}): run the agent as a user of "
                f"its own, or set {ROOT_VARIABLE}=yes if that is what you want"
            )

    def uid_of(self, slot: int) -> int | None:
        """Return the user id of a slot's jobs, None for the agent's own."""
        return None if self.first_uid is None else self.first_uid + slot

    def order(
        self, slot: SlotDirectory, wanted: Wanted, package: Path, *, groups: bool
    ) -> dict[str, object]:
        """Return what a start order says of confinement; makes the slot's groups when asked to."""
        made = []
        if groups:
            made = self.groups.prepare(slot.path.name, wanted.limits)
            slot.note_groups(made)
        view = self.view(slot, wanted.slot, package, wanted.work_folder) if self.private else None
        return {
            "groups": procs_files(made),
            "cpus": cpus_for(wanted.limits, wanted.slot, sorted(os.sched_getaffinity(0))),
            "view": view,
        }

    def view(
        self, slot: SlotDirectory, number: int, package: Path, work_folder: str
    ) -> dict[str, object]:
        """Return a slot's view: its own files at their own paths, all else of ours hidden."""
        uid = self.uid_of(number)
        # What lies below a temporary directory must not hang on the slot's own: there that is new
        # and in memory.
        above = {str(path) for path in self.state_dir.parents}
        new = [path for path in TEMPORARY if path in above]
        binds: list[tuple[str, str, bool]] = [
            *((str(slot.temporary), path, False) for path in TEMPORARY if path not in above),
            (str(slot.files), str(slot.runner_root), False),
            *((str(d), str(slot.runner_root / d.name), True) for d in directories_of(package)),
            (str(slot.work), str(slot.runner_root / work_folder), False),
            (str(slot.diag), str(slot.runner_root / "_diag"), False),
            (str(slot.home), str(slot.home), False),
            (str(slot.temporary), str(slot.temporary), False),
        ]
        if uid is None:
            # Those of its slots are the agent's own user's, and so every job's to change
            binds += shown_groups()
        else:
            binds += [(str(slot.etc / n), f"/etc/{n}", True) for n in ("passwd", "group")]
        return {
            "user_namespace": os.geteuid() != 0,
            "uid": uid,
            "groups": device_groups() if uid is not None else [],
            "hide": [*HIDDEN, str(self.state_dir)],
            "memory": [SHARED_MEMORY, *new],
            "keep": [*KEPT, *self.shared],
            "binds": binds,
        }


def user_of(slot: int) -> str:
    """Return the name that a slot's user has in its own view."""
    return f"fleet-slot-{slot}"


def directories_of(package: Path) -> list[Path]:
    """Return the directories of an unpacked package."""
    return sorted(entry for entry in package.iterdir() if entry.is_dir())


def shown_groups(root: Path = CONTROL_GROUPS) -> list[tuple[str, str, bool]]:
    """Return the binds that let the control groups be seen and not changed: one tree, or several
    below one folder."""
    if not root.is_dir():
        return []
    trees = [root, *(path for path in sorted(root.iterdir()) if os.path.ismount(path))]
    return [(str(path), str(path), True) for path in trees]


def device_groups() -> list[int]:
    """Return the groups that may use graphics cards, where the host has them."""
    found = []
    for name in DEVICE_GROUPS:
        try:
            found.append(grp.getgrnam(name).gr_gid)
        except KeyError:
            continue
    return found


def find_isolation(state_dir: Path, environment: Mapping[str, str] = os.environ) -> Isolation:
    """Find out what can be done here, by trying it; raises AgentError for a wrong setting."""
    slots = state_dir.absolute() / "slots"
    place = place_of(slots)
    groups = find_control_groups(f"fleet-agent-{place[:8]}")
    if groups.bases:
        try:
            groups.bound_host(
                host_limits(
                    usable_cpus(),
                    usable_memory_bytes(),
                    number_of(environment, RESERVE_CPU_VARIABLE),
                    gigabytes_of(environment, RESERVE_MEMORY_VARIABLE),
                )
            )
        except OSError as err:
            groups = ControlGroups(0, {}, f"{err.filename}: {err.strerror}")
    as_root = environment.get(ROOT_VARIABLE, "").lower() in ("1", "yes", "true")
    if as_root and os.geteuid() == 0:
        private, reason = False, f"{ROOT_VARIABLE} is set"
    elif environment.get(VIEW_VARIABLE, "").lower() in ("0", "no", "false"):
        private, reason = False, f"{VIEW_VARIABLE} says no"
    elif memory_root(slots) is None:
        private, reason = False, "no memory-backed file system to keep credentials on"
    else:
        reason = try_view(state_dir.absolute())
        private = not reason
    first = slot_uids(state_dir, environment)[0] if os.geteuid() == 0 and private else None
    shared = tuple(p for p in environment.get(SHARE_VARIABLE, "").split(":") if p)
    found = Isolation(groups, private, reason, first, state_dir.absolute(), shared, as_root)
    log.info(
        "limits: %s; jobs run as %s; view %s", groups.words, found.runs_jobs_as, reason or "private"
    )
    return found


def slot_uids(state_dir: Path, environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Return the first and the last user id that slots of this state directory have as root."""
    place = place_of(state_dir.absolute() / "slots")
    first = int(number_of(environment, SLOT_UID_VARIABLE) or 0) or (
        SLOT_UIDS + int(place[:8], 16) % PLACES * UIDS_A_PLACE
    )
    return first, first + UIDS_A_PLACE - 1


def try_view(state_dir: Path) -> str:
    """Start a trial program in a view; return why that is not possible, "" when it is."""
    if sys.platform != "linux":
        return "this system has no namespaces"
    order = {
        "argv": ["/bin/true"],
        "cwd": "/",
        "env": {},
        "view": {
            "user_namespace": os.geteuid() != 0,
            "uid": SLOT_UIDS if os.geteuid() == 0 else None,
            "groups": [],
            "hide": [*HIDDEN, str(state_dir)],
            "memory": [SHARED_MEMORY],
            "keep": [],
            "binds": shown_groups() if os.geteuid() != 0 else [],
        },
    }
    with tempfile.TemporaryFile() as said:
        try:
            done = subprocess.run(
                confine_command(),
                input=json.dumps(order).encode(),
                stdout=said,
                stderr=said,
                env={},
                cwd="/",
                timeout=PROBE_SECONDS,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as err:
            return f"namespaces could not be tried ({type(err).__name__})"
        said.seek(0)
        words = said.read(2000).decode(errors="replace").strip().rpartition("\n")[2]
    if done.returncode == 0:
        return ""
    return words.rpartition("runner: ")[2] or f"the trial ended with {done.returncode}"


def confine_command() -> list[str]:
    """Return the program that runs one command confined, its order on standard input."""
    return [sys.executable, "-I", "-S", confine.__file__]


def write_user_files(slot: SlotDirectory, uid: int, name: str) -> None:
    """Write the users and groups of a slot's view: the host's, and the slot's own user.

    Programs such as ssh refuse to work for a user id without a name; the host's own files are not
    touched.
    """
    slot.etc.mkdir(mode=0o755, exist_ok=True)
    lines = {
        "passwd": f"{name}:x:{uid}:{uid}:runner slot:{slot.home}:/bin/bash\n",
        "group": f"{name}:x:{uid}:\n",
    }
    for file, line in lines.items():
        host = Path("/etc") / file
        text = host.read_text("utf-8", errors="replace") if host.exists() else ""
        if text and not text.endswith("\n"):
            text += "\n"
        (slot.etc / file).write_text(text + line, "utf-8")
        (slot.etc / file).chmod(0o644)


def number_of(environment: Mapping[str, str], name: str) -> float | None:
    """Return a number from the environment, None where it is not set; raises AgentError."""
    text = environment.get(name, "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 2**31:
        raise AgentError(f"{name}={text} is no usable number")
    return value


def gigabytes_of(environment: Mapping[str, str], name: str) -> int | None:
    """Return gigabytes from the environment in bytes."""
    value = number_of(environment, name)
    return None if value is None else int(value * 10**9)

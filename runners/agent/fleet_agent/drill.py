"""Failure drills: break one thing on purpose, on a host of yours, and see that it mends itself.

Each breaks what the name says and nothing else, for a bounded time, and leaves nothing behind even
when it is killed in the middle. It asks nobody for anything: what becomes of the failure is up to
the fleet.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from .config import StateDir, write_whole
from .errors import AgentError
from .marks import MarkedTree, marked_trees
from .process_table import boot_id

LONGEST_SECONDS = 3600.0
CHUNK_BYTES = 64 * 1024 * 1024

Say = Callable[[str], None]


def kill_runner(state_dir: StateDir, say: Say, *, name: str = "", busy: bool = False) -> None:
    """Kill a runner's listener as the out-of-memory killer would: one without a job unless
    ``busy``. Raises AgentError when there is none."""
    trees = [tree for tree in marked_trees(state_dir.slots) if tree.listener is not None]
    names = {tree.runner_id: _name(state_dir, tree) for tree in trees}
    wanted = [tree for tree in trees if name in ("", names[tree.runner_id])]
    if not wanted:
        raise AgentError(f"no runner {name or 'at all'} runs here")
    fitting = [tree for tree in wanted if busy or not tree.busy]
    if not fitting:
        raise AgentError("every such runner has a job: with --busy one is killed all the same")
    tree = fitting[0]
    listener = tree.listener
    if listener is None or not listener.ref.send(signal.SIGKILL):
        raise AgentError(f"{names[tree.runner_id]} ended by itself just now")
    say(
        f"killed {names[tree.runner_id]} (process {listener.pid}): the agent tells why it ended, "
        "and another takes its place"
    )


def _name(state_dir: StateDir, tree: MarkedTree) -> str:
    """Return the runner's name by its slot's record; its number where that cannot be read."""
    record = state_dir.slots / str(tree.runner_id) / "slot.json"
    try:
        return str(json.loads(record.read_text("utf-8"))["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return str(tree.runner_id)


def cut_network(state_dir: StateDir, say: Say, *, seconds: float) -> None:
    """Let the agent reach no dashboard for so long, as with a pulled cable; runners go on.

    The end is in a file that the agent looks at, so that it comes however this program ends.
    """
    _bounded(seconds)
    until = time.monotonic() + seconds
    write_whole(state_dir.cut_file, f"{boot_id()} {until}\n", durable=False)
    say(f"the agent reaches no dashboard for {seconds:.0f} s; its runners go on")


def is_cut(state_dir: StateDir) -> bool:
    """Return whether a drill keeps the agent from its dashboard now; not past a reboot."""
    try:
        boot, _, until = state_dir.cut_file.read_text("ascii").partition(" ")
        if boot == boot_id() and time.monotonic() < float(until):
            return True
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        pass
    state_dir.cut_file.unlink(missing_ok=True)
    return False


def fill_disk(state_dir: StateDir, say: Say, *, percent: float, seconds: float) -> None:
    """Fill the disk of the state directory up to ``percent`` and hold it for so long.

    The file has no name any more when it is written: it goes with this program, however that ends.
    """
    _bounded(seconds)
    if not 0 < percent < 100:
        raise AgentError("the share of the disk must be between 0 and 100 percent")
    usage = shutil.disk_usage(state_dir.root)
    missing = int(usage.total * percent / 100) - usage.used
    if missing <= 0:
        raise AgentError(f"the disk is {usage.used * 100 // usage.total} % full already")
    path = state_dir.root / "drill.fill"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        path.unlink()
        _allocate(descriptor, missing)
        say(f"the disk of {state_dir.root} is {percent:.0f} % full for {seconds:.0f} s")
        time.sleep(seconds)
    finally:
        os.close(descriptor)
    say("the disk has its room back")


def _allocate(descriptor: int, size: int) -> None:
    for start in range(0, size, CHUNK_BYTES):
        try:
            os.posix_fallocate(descriptor, start, min(CHUNK_BYTES, size - start))
        except OSError as err:
            if err.errno == errno.ENOSPC:
                return  # somebody else was quicker: it is full
            raise AgentError(f"the disk cannot be filled: {err.strerror}") from err


def _bounded(seconds: float) -> None:
    if not 0 < seconds <= LONGEST_SECONDS:
        raise AgentError(f"a drill lasts more than 0 and at most {LONGEST_SECONDS:.0f} s")


def state_of(path: Path) -> StateDir:
    """Return the state directory of an agent that runs. Raises AgentError when none does."""
    state_dir = StateDir(path)
    if not state_dir.is_locked():
        raise AgentError(f"no agent runs with {path}: there is nothing to drill")
    return state_dir

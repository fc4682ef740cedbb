"""What lies or runs on this host for no runner it should have: found, told, removed when asked to.

It looks at nothing but the agent's own slots directory and processes that carry its own mark, and
removes only what it found there and the server named. A tree in which a job runs is left alone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from .errors import AgentError
from .marks import MarkedTree, marked_trees
from .process_table import CLOCK_TICKS, boot_time_seconds
from .process_tree import end_tree
from .removal import remove_tree, set_aside
from .runner_process import read_keeper_file
from .slot_directory import SlotDirectory
from .slots import Slot
from .wire import Leftover, timestamp_of
from .work import StillBusy, has_worker, wait_for_end

log = logging.getLogger(__name__)

SEARCH_SECONDS = 180.0
MOST_LEFTOVERS = 50
MOST_ENTRIES_MEASURED = 20_000
PATH_CHARACTERS = 300


@dataclass(frozen=True)
class Found:
    """One leftover as it is told, and what it is here: a directory, or the processes of a mark."""

    told: Leftover
    path: Path | None
    mark: str


def find_leftovers(
    slots_root: Path, known_names: Iterable[str], known_marks: Iterable[str]
) -> list[Found]:
    """Return what belongs to none of the slots that have these directories and marks."""
    known = set(known_names)
    found = [of_tree(tree) for tree in marked_trees(slots_root, known_marks)]
    try:
        paths = sorted(slots_root.iterdir())
    except OSError:
        paths = []
    found += [of_path(path) for path in paths if path.name not in known]
    return found[:MOST_LEFTOVERS]


def of_tree(tree: MarkedTree) -> Found:
    """Describe the processes of one mark by the runner, or else by the oldest of them."""
    top = tree.listener or tree.processes[0]
    try:
        path = os.readlink(f"/proc/{top.pid}/cwd")
    except OSError:
        path = ""
    told: Leftover = {
        "kind": "process",
        "name": f"{top.name}-{top.pid}",
        "path": path[:PATH_CHARACTERS],
        "pid": top.pid,
        "since": timestamp_of(boot_time_seconds() + top.ticks / CLOCK_TICKS),
        "bytes": sum(process.memory_bytes for process in tree.processes),
    }
    return Found(told, None, tree.mark)


def of_path(path: Path) -> Found:
    """Describe something that lies in the slots directory."""
    try:
        since = timestamp_of(path.lstat().st_mtime)
    except OSError:
        since = None
    told: Leftover = {
        "kind": "work-directory",
        "name": path.name,
        "path": str(path)[:PATH_CHARACTERS],
        "pid": None,
        "since": since,
        "bytes": disk_bytes(path),
    }
    return Found(told, path, "")


def disk_bytes(path: Path) -> int | None:
    """Return how much a tree takes on the disk; None when it is too large to be walked."""
    total = seen = 0
    waiting = [str(path)]
    while waiting:
        where = waiting.pop()
        try:
            status = os.lstat(where)
            total += status.st_blocks * 512
            if os.path.isdir(where) and not os.path.islink(where):
                waiting += [entry.path for entry in os.scandir(where)]
        except OSError:
            continue
        seen += 1
        if seen > MOST_ENTRIES_MEASURED:
            return None
    return total


class LeftoverWatch:
    """Looks for leftovers now and then, in a thread of its own, and cleans what was asked for.

    The loop's thread calls everything here. What became a slot's while a thread looked is no
    leftover: every result is held against the slots there are when it is used.
    """

    def __init__(self, slots_root: Path, poke: Callable[[], None]) -> None:
        self.slots_root = slots_root
        self.poke = poke
        self.found: dict[str, Found] = {}
        self.asked: set[str] = set()
        self.due = False  # to be told: it changed, or was never told
        self.searched = False
        self.searching = False
        self.next_search = 0.0
        self.results: queue.SimpleQueue[list[Found]] = queue.SimpleQueue()

    def turn(self, now: float, slots: Iterable[Slot]) -> None:
        """Take in what a search found, and begin the next when it is time or something is asked."""
        slots = list(slots)
        with contextlib.suppress(queue.Empty):
            self.take(without_slots(self.results.get_nowait(), slots))
        if self.searching or (now < self.next_search and not self.asked):
            return
        self.searching, self.next_search = True, now + SEARCH_SECONDS
        asked = without_slots(
            [self.found[name] for name in self.asked if name in self.found], slots
        )
        self.asked = set()
        marks = [one.mark for one in asked if one.path is None]
        trash = set_aside_all(self.slots_root, [one.path for one in asked if one.path is not None])
        names = {slot.directory.path.name for slot in slots}
        known = {slot.mark for slot in slots}

        def run() -> None:
            found: list[Found] = []
            try:
                clean(self.slots_root, marks, trash)
                found = find_leftovers(self.slots_root, names, known)
            finally:
                self.results.put(found)
                self.poke()

        threading.Thread(target=run, name="leftovers", daemon=True).start()

    def take(self, found: list[Found]) -> None:
        """Take in what a search found."""
        self.searching = False
        new = {one.told["name"]: one for one in found}
        self.due = self.due or not self.searched or new.keys() != self.found.keys()
        self.found, self.searched = new, True

    def ask(self, names: Iterable[str]) -> None:
        """Note what the server wants cleaned; names of nothing that was found are ignored."""
        self.asked |= set(names) & self.found.keys()

    def to_tell(self) -> list[Leftover] | None:
        """Return what to tell, None when the server knows it."""
        return [one.told for one in self.found.values()] if self.due else None

    def told(self, leftovers: list[Leftover] | None) -> None:
        """Note that the server has heard this."""
        if leftovers is not None and leftovers == self.to_tell():
            self.due = False


def without_slots(found: list[Found], slots: list[Slot]) -> list[Found]:
    """Return what belongs to none of the slots."""
    marks = {slot.mark for slot in slots}
    names = {slot.directory.path.name for slot in slots}
    return [
        one
        for one in found
        if (one.mark not in marks if one.path is None else one.path.name not in names)
    ]


def set_aside_all(slots_root: Path, paths: list[Path]) -> list[Path]:
    """Rename directories out of the way, at once, so that a new slot finds its place empty.

    One whose runner is alive stays as it is. Returns the new paths, to be deleted at leisure.
    """
    alive = {str(tree.runner_id) for tree in marked_trees(slots_root)} if paths else set()
    aside = []
    for path in paths:
        started = read_keeper_file(SlotDirectory(path))
        if path.name in alive or (started is not None and started.runner.alive()):
            log.warning("%s is not cleaned: its runner is alive", path.name)
            continue
        try:
            aside.append(set_aside(path))
        except OSError as err:
            log.warning("%s is not cleaned: %s", path.name, err.strerror)
    return aside


def clean(slots_root: Path, marks: list[str], trash: list[Path]) -> None:
    """End the processes of these marks and delete these paths; what fails is found again."""
    for mark in marks:
        try:
            end_marked(slots_root, mark)
        except AgentError as err:
            log.warning("left-over processes are not ended: %s", err)
    for path in trash:
        try:
            remove_tree(path)
        except OSError as err:
            log.warning("a left-over directory is not deleted: %s", err)


def end_marked(slots_root: Path, mark: str) -> None:
    """End the processes of a mark; raises StillBusy while a job runs among them."""
    for found in marked_trees(slots_root):
        if found.mark != mark:
            continue
        tree = found.tree
        if found.busy or has_worker(tree):
            raise StillBusy("a job is running")
        if tree.runner is not None:
            tree.runner.send(signal.SIGINT)
            wait_for_end(tree, threading.Event())
        left = end_tree(tree)
        if left:
            raise AgentError(f"{left} of the processes do not end, even when killed")

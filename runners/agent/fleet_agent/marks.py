"""The mark that every process of a slot carries in its environment, and who carries ours.

A mark is ``<place>.<runner id>.<random>``. The place stands for one state directory on one host,
so that an agent whose records were lost still knows its own processes from those of another agent
on the same machine, and whose runner each belongs to.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .process_table import (
    Process,
    ProcessRef,
    ProcessTable,
    command_line,
    is_program,
    is_worker,
    mark_of,
)
from .process_tree import Tree

LISTENER = "Runner.Listener"
KEEPER = "keeper.py"
MARK = re.compile(r"[0-9a-f]{16}\.(\d{1,18})\.[0-9a-f]{32}")


def place_of(slots_root: Path) -> str:
    """Return what stands for this slots directory on this host in its marks."""
    where = f"{socket.gethostname()}:{os.path.realpath(slots_root)}"
    return hashlib.sha256(where.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def new_mark(slots_root: Path, runner_id: int) -> str:
    """Return a mark no slot had before."""
    return f"{place_of(slots_root)}.{runner_id}.{secrets.token_hex(16)}"


@dataclass(frozen=True)
class MarkedTree:
    """The live processes that carry one mark, the oldest first; never empty."""

    mark: str
    runner_id: int
    processes: tuple[Process, ...]

    @property
    def keeper(self) -> ProcessRef | None:
        """The keeper, if it lives."""
        for process in self.processes:
            if any(os.path.basename(part) == KEEPER for part in command_line(process.pid)[:5]):
                return process.ref
        return None

    @property
    def listener(self) -> Process | None:
        """The runner itself, if it lives: it leads a session of its own."""
        for process in self.processes:
            if process.session == process.pid and is_program(process, LISTENER):
                return process
        return None

    @property
    def busy(self) -> bool:
        """Whether a job runs in it."""
        return any(is_worker(process) for process in self.processes)

    @property
    def tree(self) -> Tree:
        """What identifies its processes to whoever ends them."""
        listener = self.listener
        return Tree(self.mark, self.keeper, listener.ref if listener is not None else None)


def marked_trees(slots_root: Path, known_marks: Iterable[str] = ()) -> list[MarkedTree]:
    """Return every tree that carries a mark of this place which is none of ``known_marks``."""
    prefix = place_of(slots_root) + "."
    known = set(known_marks)
    found: dict[str, list[Process]] = {}
    for process in ProcessTable.read().processes.values():
        if process.state in "ZX":
            continue
        mark = mark_of(process.pid)
        if mark is not None and mark.startswith(prefix) and mark not in known:
            found.setdefault(mark, []).append(process)
    trees = []
    for mark, processes in found.items():
        match = MARK.fullmatch(mark)
        if match is not None:
            oldest_first = tuple(sorted(processes, key=lambda process: process.ticks))
            trees.append(MarkedTree(mark, int(match[1]), oldest_first))
    return trees

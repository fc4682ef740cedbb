"""End a runner's whole process tree and prove that nothing of it is left.

Members are found three ways, since a job may try to hide: below the keeper (a child subreaper,
so daemons stay below it), in the runner's session, and by the slot's mark in the environment
(which still finds them when the keeper itself was killed).
"""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass

from .process_table import ProcessRef, ProcessTable, carries_mark

ROUND_SECONDS = 0.05
KILL_SECONDS = 10.0
FREEZE_ROUNDS = 20


@dataclass(frozen=True)
class Tree:
    """What identifies one slot's processes; keeper and runner may be unknown or dead."""

    mark: str
    keeper: ProcessRef | None
    runner: ProcessRef | None


def members(tree: Tree) -> set[ProcessRef]:
    """Return every live process of the slot, the keeper not counted."""
    table = ProcessTable.read()
    found: set[ProcessRef] = set()
    for root in (tree.keeper, tree.runner):
        if root is not None:
            found.update(p.ref for p in table.descendants(root) if p.state not in "ZX")
    for process in table.processes.values():
        if process.state in "ZX":
            continue
        # A session id may have been given to another process once ours ended, so only those
        # younger than the runner count.
        in_session = (
            tree.runner is not None
            and process.session == tree.runner.pid
            and process.ticks >= tree.runner.ticks
        )
        if in_session or carries_mark(process.pid, tree.mark):
            found.add(process.ref)
    if tree.keeper is not None:
        found.discard(tree.keeper)
    return found


def end_tree(tree: Tree) -> int:
    """Kill every process of the slot, the keeper last; return how many would not end.

    The tree is frozen first, so that one that forks faster than it is read comes to rest.
    """
    frozen: set[ProcessRef] = set()
    for _ in range(FREEZE_ROUNDS):
        new = members(tree) - frozen
        if not new:
            break
        for process in new:
            process.send(signal.SIGSTOP)
        frozen |= new
    deadline = time.monotonic() + KILL_SECONDS
    left = members(tree)
    while left and time.monotonic() < deadline:
        for process in left:
            process.send(signal.SIGKILL)
        time.sleep(ROUND_SECONDS)
        left = members(tree)
    if left:
        return len(left)
    return end_keeper(tree, deadline)


def end_keeper(tree: Tree, deadline: float) -> int:
    """Give the keeper a moment to record the end and leave by itself, then kill it."""
    if tree.keeper is None:
        return 0
    patience = time.monotonic() + 2.0
    while tree.keeper.alive() and time.monotonic() < patience:
        time.sleep(ROUND_SECONDS)
    while tree.keeper.alive() and time.monotonic() < deadline + 2.0:
        tree.keeper.send(signal.SIGKILL)
        time.sleep(ROUND_SECONDS)
    return int(tree.keeper.alive())

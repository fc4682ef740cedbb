"""Take up what an earlier agent left: running slots by identity, everything else cleaned away.

A slot is adopted when its keeper or its runner is still the very process that was recorded (same
boot, same id, same start). A slot that was only coming up is dropped whole: the server still wants
its runner and it is made again. Directories without a readable record belong to nobody, unless
processes with our mark say whose they are (``recover_slot``).
"""

from __future__ import annotations

import contextlib
import logging
import time
from pathlib import Path

from . import console
from .causes import Cause
from .errors import AgentError
from .journal import Journal
from .marks import MarkedTree, marked_trees
from .observe import console_tail
from .process_table import ProcessTable, carries_mark
from .removal import TRASH_PREFIX, remove_tree
from .runner_process import read_keeper_file
from .slot_directory import SlotDirectory, memory_root
from .slots import COMING_UP, ENDED, Slot, load_slot
from .wire import BadAnswer, Phase, Wanted
from .work import clean_up

log = logging.getLogger(__name__)

KEEPER_SECONDS = 2.0
REBOOTED = "the host was restarted under it"
LOST = "the agent's record of it was lost while it ran, and it has ended"


def adopt_slots(slots_root: Path, boot_id: str, journal: Journal) -> dict[int, Slot]:
    """Return the slots that go on, by runner id; ends and deletes what does not."""
    slots_root.mkdir(mode=0o700, parents=True, exist_ok=True)
    adopted = {}
    working = {str(tree.runner_id) for tree in marked_trees(slots_root)}
    for path in sorted(slots_root.iterdir()):
        try:
            slot = load_slot(path)
        except (BadAnswer, NotADirectoryError):
            if path.name not in working:
                sweep_orphan(path, journal)
            continue
        if adopt_slot(slot, boot_id, journal):
            adopted[slot.runner_id] = slot
            slot.save()
    sweep_memory(slots_root, working | {path.name for path in slots_root.iterdir()})
    return adopted


def sweep_memory(slots_root: Path, known: set[str]) -> None:
    """Delete what lies in memory for a slot that is no more."""
    root = memory_root(slots_root)
    if root is None or not root.is_dir():
        return
    for path in root.iterdir():
        if path.name not in known:
            log.warning("%s belonged to a slot that is no more and is deleted", path)
            with contextlib.suppress(OSError):
                remove_tree(path)


def adopt_slot(slot: Slot, boot_id: str, journal: Journal) -> bool:
    """Bring one recorded slot up to date; return whether it is still to be reported."""
    if slot.boot_id != boot_id:
        slot.boot_id = boot_id
        slot.keeper = slot.runner = None
        return note_reboot(slot, journal)
    if slot.phase in (*COMING_UP, Phase.STARTING) or slot.keeper is None:
        find_keeper(slot)
    if slot.runner is not None and slot.phase not in (Phase.FAILED, Phase.GONE):
        return adopt_runner(slot, journal)
    if slot.phase in ENDED:
        if slot.over or slot.phase is Phase.GONE:
            clean_quietly(slot)
        return True
    # It was coming up: nothing of it is worth keeping.
    clean_quietly(slot)
    slot.directory.remove()
    log.info("slot of runner %d was only half made and is dropped", slot.runner_id, extra=slot.ids)
    return False


def adopt_runner(slot: Slot, journal: Journal) -> bool:
    """Adopt a slot whose runner was started, whether or not it still runs."""
    if slot.phase in COMING_UP:
        slot.phase = Phase.STARTING
    if slot.phase is Phase.STOPPING:  # the server says again if it is to be stopped
        slot.phase = Phase.EXITED if slot.exit_noted else Phase.LISTENING
    running = slot.runner is not None and slot.runner.alive()
    if running:
        journal.add("adopted", slot.runner_id)
        log.info("runner %d goes on and is adopted", slot.runner_id, extra=slot.ids)
    return True


def recover_slot(
    wanted: Wanted, slots_root: Path, boot_id: str, tree: MarkedTree, journal: Journal
) -> Slot:
    """Return a slot for a runner whose record was lost, from the processes that carry its mark.

    Where its listener lives it goes on and is watched as any other. What it did before, and what
    it says if its files are lost too, stays unknown. Without a listener it has ended.
    """
    listener = tree.listener
    slot = Slot(
        runner_id=wanted.runner_id,
        name=wanted.name,
        number=wanted.slot,
        mode=wanted.mode,
        directory=SlotDirectory(slots_root / str(wanted.runner_id)),
        mark=tree.mark,
        boot_id=boot_id,
        keeper=tree.keeper,
        runner=listener.ref if listener is not None else None,
        wanted=wanted,
        record_lost=True,
    )
    journal.add("recovered", slot.runner_id, pid=slot.runner.pid if slot.runner else None)
    if slot.runner is not None:
        slot.phase, slot.listening = Phase.LISTENING, True
    else:
        slot.phase, slot.cause, slot.reason = Phase.EXITED, Cause.STATE_LOST, LOST
        journal.add(
            "exited", slot.runner_id, exit_code=None, reason=LOST, cause=slot.cause.value, job=None
        )
    # What it said before was told already, or is not to be told twice.
    slot.events_offset = console.end_offset(slot.directory.console, "events-")
    slot.log_offset = console.end_offset(slot.directory.console, "console-")
    slot.save()
    log.warning(
        "runner %d is found again although its record was lost", slot.runner_id, extra=slot.ids
    )
    return slot


def note_reboot(slot: Slot, journal: Journal) -> bool:
    """Record that a reboot ended this runner, and wipe what it left; drop it if it never ran."""
    if slot.phase in COMING_UP:
        clean_quietly(slot)
        slot.directory.remove()
        return False
    if slot.phase not in ENDED:
        lost_job = slot.job["name"] if slot.job is not None else None
        slot.phase, slot.exit_code, slot.reason, slot.job = Phase.EXITED, None, REBOOTED, None
        slot.cause = Cause.REBOOTED
        slot.ending = {"log_tail": console_tail(slot), "facts_at_end": None}
        journal.add(
            "exited",
            slot.runner_id,
            exit_code=None,
            reason=REBOOTED,
            cause=slot.cause.value,
            job=lost_job,
        )
    if slot.over:
        clean_quietly(slot)
    return True


def find_keeper(slot: Slot) -> None:
    """Look for a keeper that was started just before the last agent ended."""
    deadline = time.monotonic() + KEEPER_SECONDS
    while True:
        started = read_keeper_file(slot.directory)
        if started is not None and (started.keeper.alive() or started.runner.alive()):
            slot.keeper, slot.runner = started.keeper, started.runner
            return
        processes = ProcessTable.read().processes.values()
        marked = any(carries_mark(p.pid, slot.mark) for p in processes if p.state not in "ZX")
        if started is not None or not marked or time.monotonic() > deadline:
            return
        time.sleep(0.05)


def clean_quietly(slot: Slot) -> None:
    """End what is left of a slot and wipe it; what fails is logged and tried at the next start."""
    try:
        clean_up(slot.directory, slot.tree)
    except AgentError as err:
        log.warning("slot of runner %d: %s", slot.runner_id, err, extra=slot.ids)


def sweep_orphan(path: Path, journal: Journal) -> None:
    """Delete something in the slots directory that no record claims.

    Where a runner still works in it, it is left alone and told: it may have a job.
    """
    ours = path.name.isdigit() or path.name.startswith(TRASH_PREFIX)
    if not ours:
        log.warning("%s is not a slot's: it is told as left over", path)
        return
    started = read_keeper_file(SlotDirectory(path))
    if started is not None and started.runner.alive():
        log.warning("a runner without a record works in %s and is left alone", path)
        journal.add("orphan", directory=path.name, pid=started.runner.pid)
        return
    log.warning("%s belongs to no slot and is deleted", path.name)
    try:
        remove_tree(path)
    except OSError as err:
        log.warning("%s", err)

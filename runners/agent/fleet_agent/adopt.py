"""Take up what an earlier agent left: running slots by identity, everything else cleaned away.

A slot is adopted when its keeper or its runner is still the very process that was recorded (same
boot, same id, same start). A slot that was only coming up is dropped whole: the server still wants
its runner and it is made again. Directories without a readable record belong to nobody.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

from .errors import AgentError
from .journal import Journal
from .process_table import ProcessTable, carries_mark
from .removal import remove_tree
from .runner_process import read_exit_file, read_keeper_file
from .slot_directory import SlotDirectory
from .slots import COMING_UP, ENDED, Slot, load_slot
from .wire import BadAnswer, Phase
from .work import clean_up

log = logging.getLogger(__name__)

KEEPER_SECONDS = 2.0
REBOOTED = "the host was restarted under it"
RESTARTED = "it had ended when the agent started again"


def adopt_slots(slots_root: Path, boot_id: str, journal: Journal) -> dict[int, Slot]:
    """Return the slots that go on, by runner id; ends and deletes what does not."""
    slots_root.mkdir(mode=0o700, parents=True, exist_ok=True)
    adopted = {}
    for path in sorted(slots_root.iterdir()):
        try:
            slot = load_slot(path)
        except (BadAnswer, NotADirectoryError):
            sweep_orphan(path, journal)
            continue
        if adopt_slot(slot, boot_id, journal):
            adopted[slot.runner_id] = slot
            slot.save()
    return adopted


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
    log.info("slot of runner %d was only half made and is dropped", slot.runner_id)
    return False


def adopt_runner(slot: Slot, journal: Journal) -> bool:
    """Adopt a slot whose runner was started, whether or not it still runs."""
    if slot.phase in COMING_UP:
        slot.phase = Phase.STARTING
    if slot.phase is Phase.STOPPING:
        slot.phase = Phase.LISTENING  # the server says again if it is to be stopped
    running = slot.runner is not None and slot.runner.alive()
    if running:
        journal.add("adopted", slot.runner_id)
        log.info("runner %d goes on and is adopted", slot.runner_id)
    elif slot.phase is not Phase.EXITED and not read_exit_file(slot.directory)[0]:
        slot.reason = RESTARTED
    return True


def note_reboot(slot: Slot, journal: Journal) -> bool:
    """Record that a reboot ended this runner, and wipe what it left; drop it if it never ran."""
    if slot.phase in COMING_UP:
        clean_quietly(slot)
        slot.directory.remove()
        return False
    if slot.phase not in ENDED:
        lost_job = slot.job["name"] if slot.job is not None else None
        slot.phase, slot.exit_code, slot.reason, slot.job = Phase.EXITED, None, REBOOTED, None
        journal.add("exited", slot.runner_id, exit_code=None, reason=REBOOTED, job=lost_job)
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
        log.warning("slot of runner %d: %s", slot.runner_id, err)


def sweep_orphan(path: Path, journal: Journal) -> None:
    """Delete something in the slots directory that no record claims.

    Where a runner still works in it, it is left alone and told: it may have a job.
    """
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

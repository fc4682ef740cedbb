"""Learn what a slot's processes do now: from the keeper's files and one process table.

It changes the slot it is given and the journal, and starts nothing.
"""

from __future__ import annotations

import logging
import time

from . import console
from .exit_codes import describe
from .journal import Journal
from .process_table import ProcessTable
from .redact import redact
from .runner_process import read_exit_file
from .slots import ENDED, Slot
from .wire import Phase

log = logging.getLogger(__name__)

JOB_LINE_SECONDS = 10.0
FINISHING_SECONDS = 30.0
LAST_WORDS_BYTES = 2048
LAST_WORDS_CHARACTERS = 160


def observe(slot: Slot, table: ProcessTable, journal: Journal) -> bool:
    """Bring a slot whose runner was started up to date; return whether anything changed.

    A runner whose keeper is gone without a record of the end is left as it is when it still runs
    (see ``keeper_lost``).
    """
    before = (slot.phase, slot.job, slot.exit_code, slot.runner_version)
    read_console(slot, journal)
    ended, exit_code = read_exit_file(slot.directory)
    if not ended and slot.keeper is not None and not slot.keeper.alive():
        ended = slot.runner is None or not slot.runner.alive()
    if ended:
        note_exit(slot, exit_code, journal)
    elif slot.phase is not Phase.STOPPING:
        slot.phase = running_phase(slot, table)
    return before != (slot.phase, slot.job, slot.exit_code, slot.runner_version)


def keeper_lost(slot: Slot) -> bool:
    """Return whether the runner goes on with nobody draining it."""
    return (
        slot.keeper is not None
        and slot.runner is not None
        and not slot.keeper.alive()
        and slot.runner.alive()
    )


def running_phase(slot: Slot, table: ProcessTable) -> Phase:
    """Return starting, listening or busy: a live worker, or a job line too fresh for one."""
    root = slot.root
    if root is not None and table.worker_below(root) is not None:
        return Phase.BUSY
    if slot.job is not None and time.monotonic() - slot.job_line_at < JOB_LINE_SECONDS:
        return Phase.BUSY
    if slot.mode == "jit" and time.monotonic() - slot.job_ended_at < FINISHING_SECONDS:
        return Phase.BUSY  # it had its one job and is about to end: it is not free for another
    return Phase.LISTENING if slot.listening else Phase.STARTING


def read_console(slot: Slot, journal: Journal) -> None:
    """Take in the notable console lines since the last time."""
    events, slot.events_offset = console.read_events(slot.directory.console, slot.events_offset)
    for event in events:
        if match := console.VERSION.search(event.text):
            slot.runner_version = match[1]
        elif match := console.COMPLETED.search(event.text):
            slot.job, slot.job_ended_at = None, time.monotonic()
            journal.add("job-completed", slot.runner_id, job=match[1], result=match[2])
        elif match := console.STARTED.search(event.text):
            slot.job = {"name": redact(match[1]), "started_at": event.at}
            slot.job_line_at = time.monotonic()
            journal.add("job-started", slot.runner_id, job=match[1])
        elif "Listening for Jobs" in event.text:
            slot.listening = True
        elif "Runner connect error" in event.text:
            journal.add("connection-lost", slot.runner_id, line=event.text)
        elif "Runner reconnected" in event.text:
            journal.add("reconnected", slot.runner_id)


def note_exit(slot: Slot, exit_code: int | None, journal: Journal) -> None:
    """Record that the runner's process ended, once."""
    if slot.phase in ENDED or slot.exit_noted:
        return
    slot.exit_noted = True
    slot.exit_code = exit_code
    slot.reason = describe(exit_code)
    if exit_code != 0 and (words := last_words(slot)):
        slot.reason += f" ({words})"
    lost_job = slot.job["name"] if slot.job is not None else None
    slot.job = None
    slot.listening = False
    journal.add("exited", slot.runner_id, exit_code=exit_code, reason=slot.reason, job=lost_job)
    log.info("runner %d ended: %s", slot.runner_id, slot.reason)
    if slot.phase is not Phase.STOPPING:
        slot.phase = Phase.EXITED


def last_words(slot: Slot) -> str:
    """Return the last line the runner printed, redacted and cut."""
    end = console.end_offset(slot.directory.console, "console-")
    piece = console.read_from(
        slot.directory.console, "console-", max(0, end - LAST_WORDS_BYTES), LAST_WORDS_BYTES
    )
    lines = [line.strip() for line in piece.data.decode(errors="replace").splitlines()]
    lines = [line for line in lines if line]
    return redact(lines[-1])[:LAST_WORDS_CHARACTERS] if lines else ""

"""Learn what a slot's processes do now: from the keeper's files and one process table.

It changes the slot it is given and the journal, and starts nothing.
"""

from __future__ import annotations

import json
import logging
import time

from . import console
from .causes import Cause, Evidence, cause_of_end, oom_kills
from .exit_codes import describe
from .journal import Journal
from .metrics import CpuWatch, end_facts
from .process_table import ProcessTable
from .redact import redact
from .runner_process import read_exit_file
from .slots import ENDED, Slot
from .wire import Phase

log = logging.getLogger(__name__)

JOB_LINE_SECONDS = 10.0
FINISHING_SECONDS = 30.0
TAIL_BYTES = 4096
TAIL_JSON_BYTES = 6 * 1024  # so that it fits into a heartbeat
LAST_WORDS_CHARACTERS = 160
REMOVED = "Removed .runner"
UNCONNECTED = "it lost its connection to GitHub and tries again"
WORDS = {
    Cause.OOM: "killed by SIGKILL: the kernel's out-of-memory killer was at work: give the host "
    "more memory or its jobs less to do",
    Cause.DISK_FULL: "no space left on the disk: make room on the host",
    Cause.STATE_LOST: "the agent's record of it was lost while it ran: its exit code is unknown",
}


def observe(slot: Slot, table: ProcessTable, journal: Journal, cpu: CpuWatch) -> bool:
    """Bring a slot whose runner was started up to date; return whether anything changed.

    A runner whose keeper is gone without a record of the end is left as it is when it still runs
    (see ``keeper_lost``).
    """
    before = what_changes(slot)
    read_console(slot, journal)
    ended, exit_code = read_exit_file(slot.directory)
    if not ended and slot.keeper is not None and not slot.keeper.alive():
        ended = slot.runner is None or not slot.runner.alive()
    if ended:
        note_exit(slot, exit_code, journal, cpu)
    elif slot.phase is not Phase.STOPPING:
        slot.phase = running_phase(slot, table)
    return before != what_changes(slot)


def what_changes(slot: Slot) -> tuple[object, ...]:
    """Return what an observation may change."""
    said = (slot.exit_code, slot.reason, slot.runner_version)
    return (slot.phase, slot.job, slot.events_offset, *said)


def keeper_lost(slot: Slot) -> bool:
    """Return whether the runner goes on with nobody draining it."""
    drained = slot.keeper is not None and slot.keeper.alive()
    return not drained and slot.runner is not None and slot.runner.alive()


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
        key = f"{slot.mark}:line:{event.offset}"
        if match := console.VERSION.search(event.text):
            slot.runner_version = match[1]
        elif match := console.COMPLETED.search(event.text):
            slot.job, slot.job_ended_at = None, time.monotonic()
            journal.add("job-completed", slot.runner_id, key=key, job=match[1], result=match[2])
        elif match := console.STARTED.search(event.text):
            slot.job = {"name": redact(match[1]), "started_at": event.at}
            slot.job_line_at = time.monotonic()
            slot.oom_kills = oom_kills(slot.directory.groups)
            journal.add("job-started", slot.runner_id, key=key, job=match[1])
        elif "Listening for Jobs" in event.text:
            slot.listening = True
        elif "Runner connect error" in event.text:
            slot.reason = UNCONNECTED
            journal.add("connection-lost", slot.runner_id, key=key, line=event.text)
        elif "Runner reconnected" in event.text:
            slot.reason = ""
            journal.add("reconnected", slot.runner_id, key=key)


def note_exit(slot: Slot, exit_code: int | None, journal: Journal, cpu: CpuWatch) -> None:
    """Record that the runner's process ended, and why, once."""
    if slot.phase in ENDED or slot.exit_noted:
        return
    slot.exit_noted = True
    tail = console_tail(slot)
    lost_job = slot.job["name"] if slot.job is not None else None
    if exit_code is None and proves_clean_end(slot, tail):
        exit_code, lost_job = 0, None
    facts = end_facts(slot.directory.path, cpu)
    kills = oom_kills(slot.directory.groups)
    rose = kills is not None and slot.oom_kills is not None and kills > slot.oom_kills
    slot.exit_code = exit_code
    slot.cause = cause_of_end(
        Evidence(exit_code, tail, rose, facts["disk_free_bytes"], slot.record_lost)
    )
    slot.reason = reason_of(slot.cause, exit_code, tail)
    slot.ending = {"log_tail": tail, "facts_at_end": facts}
    slot.job = None
    slot.listening = False
    journal.add(
        "exited",
        slot.runner_id,
        key=exit_key(slot),
        exit_code=exit_code,
        reason=slot.reason,
        cause=slot.cause.value,
        job=lost_job,
    )
    log.info("runner %d ended: %s", slot.runner_id, slot.reason, extra=slot.ids)
    if slot.phase is not Phase.STOPPING:
        slot.phase = Phase.EXITED


def exit_key(slot: Slot) -> str:
    """Return what the end of this very process is known by in the journal."""
    process = f"{slot.runner.pid}.{slot.runner.ticks}" if slot.runner is not None else "unknown"
    return f"{slot.mark}:exit:{process}"


def proves_clean_end(slot: Slot, tail: str) -> bool:
    """Return whether the slot's files show that its one-job runner ended as it should.

    Such a runner deletes its own configuration as the last thing after its job (Runner.cs), and
    says so. Output that nobody drained is lost with the runner, so that the file which was there
    while it listened and is no more has to do.
    """
    if slot.mode != "jit":
        return False
    return REMOVED in tail or (
        slot.listening and slot.directory.files.exists() and not slot.directory.configured
    )


def reason_of(cause: Cause, exit_code: int | None, tail: str) -> str:
    """Return why a runner ended, in words."""
    words = WORDS.get(cause) or describe(exit_code)
    lines = [line for line in map(str.strip, tail.splitlines()) if line]
    if exit_code != 0 and lines:
        words += f" ({lines[-1][:LAST_WORDS_CHARACTERS]})"
    return words


def console_tail(slot: Slot) -> str:
    """Return the console's last whole lines, redacted."""
    directory = slot.directory.console
    end = console.end_offset(directory, "console-")
    start = max(0, end - TAIL_BYTES)
    data = console.read_from(directory, "console-", start, TAIL_BYTES).data
    if start > 0:  # a secret must not be cut in two, where neither half looks like one
        data = data.partition(b"\n")[2]
    tail = redact(data.decode("utf-8", errors="replace"))
    while len(json.dumps(tail)) > TAIL_JSON_BYTES:  # control characters are six bytes each there
        tail = tail[len(tail) // 2 :]
    return tail

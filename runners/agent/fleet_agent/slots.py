"""One runner on this host as the agent knows it, kept on disk so that a restart finds it again.

The record holds no secret. A slot lives from the first time the server wants its runner until the
server, having been told that it ended, wants it no more.
"""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path

from .backoff import Backoff
from .causes import Cause
from .config import write_whole
from .marks import new_mark
from .packages import directory_name
from .process_table import CLOCK_TICKS, ProcessRef, boot_time_seconds
from .process_tree import Tree
from .slot_directory import SlotDirectory
from .wire import (
    BadAnswer,
    EndFacts,
    Ending,
    JobReport,
    JsonObject,
    Mode,
    Phase,
    SlotReport,
    Wanted,
    as_object,
    optional_text,
    take,
    timestamp_of,
)

log = logging.getLogger(__name__)

REASON_CHARACTERS = 300
RUNNING = (Phase.STARTING, Phase.LISTENING, Phase.BUSY, Phase.STOPPING)
COMING_UP = (Phase.FETCHING, Phase.PREPARING, Phase.REGISTERING)
ENDED = (Phase.EXITED, Phase.FAILED, Phase.GONE)


@dataclass
class Slot:
    """A runner's place on this host: what is wanted of it, its processes, what it does now."""

    runner_id: int
    name: str
    number: int
    mode: Mode
    directory: SlotDirectory
    mark: str
    phase: Phase = Phase.FETCHING
    reason: str = ""
    cause: Cause = Cause.NONE
    exit_code: int | None = None
    keeper: ProcessRef | None = None
    runner: ProcessRef | None = None
    boot_id: str = ""
    runner_version: str = ""
    package_name: str = ""
    job: JobReport | None = None
    listening: bool = False
    exit_noted: bool = False
    record_lost: bool = False  # found again by its mark alone
    oom_kills: int | None = None  # the kernel's count when it started, or when its job did
    ending: Ending | None = None  # until the server has it
    events_offset: int = 0
    log_offset: int = 0  # bytes of the console that were sent
    log_next: int = 0  # the offset the server wants next, in its own counting
    # From here on: of this agent process only.
    wanted: Wanted | None = None
    task: str = ""
    force: threading.Event = field(default_factory=threading.Event)
    restarts: Backoff = field(default_factory=lambda: Backoff(1.0, 60.0, jitter=False))
    retries: Backoff = field(default_factory=lambda: Backoff(2.0, 60.0))
    retry_at: float = 0.0
    job_line_at: float = -1e9
    job_ended_at: float = -1e9
    log_refused: bool = False
    cleaned: bool = False
    started_at: float = 0.0

    @property
    def tree(self) -> Tree:
        """What identifies its processes."""
        return Tree(self.mark, self.keeper, self.runner)

    @property
    def root(self) -> ProcessRef | None:
        """The topmost process of its tree."""
        return self.keeper or self.runner

    @property
    def ids(self) -> dict[str, object]:
        """What a log record about it carries, as ``extra``."""
        return {"runner_id": self.runner_id}

    @property
    def over(self) -> bool:
        """Whether this runner will never run again: nothing of it is to be kept."""
        return self.phase is Phase.FAILED or (self.phase is Phase.EXITED and self.mode == "jit")

    def report(self, cpu_percent: float = 0.0, memory_bytes: int = 0) -> SlotReport:
        """Return this slot as every heartbeat tells it."""
        running = self.phase in RUNNING and self.runner is not None
        started = None
        if running and self.runner is not None:
            started = timestamp_of(boot_time_seconds() + self.runner.ticks / CLOCK_TICKS)
        return {
            "runner_id": self.runner_id,
            "name": self.name,
            "slot": self.number,
            "phase": self.phase.value,
            "pid": self.runner.pid if running and self.runner else None,
            "process_started_at": started,
            "exit_code": self.exit_code,
            "reason": self.reason[:REASON_CHARACTERS],
            "cause": self.cause.value,
            "job": self.job,
            "runner_version": self.runner_version,
            "cpu_percent": cpu_percent,
            "memory_bytes": memory_bytes,
        }

    def save(self) -> None:
        """Write the record; a full disk costs re-adoption, not the runner."""
        facts = {
            "runner_id": self.runner_id,
            "name": self.name,
            "slot": self.number,
            "mode": self.mode,
            "mark": self.mark,
            "phase": self.phase.value,
            "reason": self.reason,
            "cause": self.cause.value,
            "exit_code": self.exit_code,
            "keeper": [self.keeper.pid, self.keeper.ticks] if self.keeper else None,
            "runner": [self.runner.pid, self.runner.ticks] if self.runner else None,
            "boot_id": self.boot_id,
            "runner_version": self.runner_version,
            "package_name": self.package_name,
            "job": self.job,
            "listening": self.listening,
            "exit_noted": self.exit_noted,
            "record_lost": self.record_lost,
            "oom_kills": self.oom_kills,
            "ending": self.ending,
            "events_offset": self.events_offset,
            "log_offset": self.log_offset,
            "log_next": self.log_next,
        }
        try:
            self.directory.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(self.directory.record_file, json.dumps(facts), durable=False)
        except OSError as err:
            log.warning(
                "slot %d could not be recorded: %s",
                self.runner_id,
                err.strerror,
                extra=self.ids,
            )


def new_slot(wanted: Wanted, slots_root: Path, boot_id: str) -> Slot:
    """Return a slot for a runner just wanted, recorded before anything is done for it."""
    slot = Slot(
        runner_id=wanted.runner_id,
        name=wanted.name,
        number=wanted.slot,
        mode=wanted.mode,
        directory=SlotDirectory(slots_root / str(wanted.runner_id)),
        mark=new_mark(slots_root, wanted.runner_id),
        boot_id=boot_id,
        wanted=wanted,
    )
    slot.save()
    return slot


def gone_report(wanted: Wanted) -> SlotReport:
    """Return the report of a runner that is to be stopped and of which nothing is here."""
    return {
        "runner_id": wanted.runner_id,
        "name": wanted.name,
        "slot": wanted.slot,
        "phase": Phase.GONE.value,
        "pid": None,
        "process_started_at": None,
        "exit_code": None,
        "reason": "",
        "cause": "",
        "job": None,
        "runner_version": "",
        "cpu_percent": 0.0,
        "memory_bytes": 0,
    }


def wants_to_run(slot: Slot) -> bool:
    """Return whether a slot's runner is still to run; safe to ask from any thread."""
    wanted = slot.wanted
    return wanted is not None and wanted.run


def use_package(slot: Slot) -> None:
    """Remember which package a slot runs, so that the sweep keeps it."""
    if slot.wanted is not None and slot.wanted.package is not None:
        slot.package_name = directory_name(slot.wanted.package)


def load_slot(path: Path) -> Slot:
    """Read a slot's record; raises BadAnswer when it is missing or damaged."""
    directory = SlotDirectory(path)
    try:
        source = as_object(json.loads(directory.record_file.read_text("utf-8")), "slot record")
        job = source.get("job")
        return Slot(
            runner_id=take(source, "runner_id", int),
            name=take(source, "name", str),
            number=take(source, "slot", int),
            mode="persistent" if take(source, "mode", str) == "persistent" else "jit",
            directory=directory,
            mark=take(source, "mark", str),
            phase=Phase(take(source, "phase", str)),
            reason=take(source, "reason", str),
            cause=Cause(optional_text(source, "cause") or ""),
            exit_code=optional_int(source, "exit_code"),
            keeper=optional_ref(source, "keeper"),
            runner=optional_ref(source, "runner"),
            boot_id=take(source, "boot_id", str),
            runner_version=take(source, "runner_version", str),
            package_name=take(source, "package_name", str),
            job=parse_job(job) if isinstance(job, dict) else None,
            listening=take(source, "listening", bool),
            exit_noted=source.get("exit_noted") is True,
            record_lost=source.get("record_lost") is True,
            oom_kills=optional_int(source, "oom_kills"),
            ending=parse_ending(source.get("ending")),
            events_offset=take(source, "events_offset", int),
            log_offset=take(source, "log_offset", int),
            log_next=take(source, "log_next", int),
        )
    except (OSError, ValueError) as err:
        raise BadAnswer(f"{path} holds no readable slot record") from err


def parse_job(source: JsonObject) -> JobReport:
    """Parse the job of a slot record."""
    return {"name": take(source, "name", str), "started_at": optional_text(source, "started_at")}


def parse_ending(value: object) -> Ending | None:
    """Parse what is still to be told of an end; without its facts it is told without them."""
    if not isinstance(value, dict):
        return None
    facts = value.get("facts_at_end")
    kept: EndFacts | None = None
    if isinstance(facts, dict):
        kept = {
            "at": take(facts, "at", str),
            "cpu_percent": take(facts, "cpu_percent", float),
            "memory_used_bytes": take(facts, "memory_used_bytes", int),
            "disk_free_bytes": take(facts, "disk_free_bytes", int),
        }
    return {"log_tail": optional_text(value, "log_tail") or "", "facts_at_end": kept}


def optional_int(source: JsonObject, key: str) -> int | None:
    """Return an integer, or None where it is missing or null."""
    value = source.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def optional_ref(source: JsonObject, key: str) -> ProcessRef | None:
    """Return a process identity stored as [pid, ticks]."""
    value = source.get(key)
    if isinstance(value, list) and len(value) == 2 and all(isinstance(v, int) for v in value):
        return ProcessRef(value[0], value[1])
    return None

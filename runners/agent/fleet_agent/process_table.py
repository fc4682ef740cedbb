"""One snapshot of the host's processes, read straight from ``/proc``.

A snapshot of 300 processes costs a few milliseconds; it answers everything the agent asks about
its runners: who descends from whom, who carries a slot's mark, is a worker alive, how much is
used. Identity is (pid, start ticks): a process id alone may have been given to another by now.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MARK_VARIABLE = "FLEET_SLOT"
WORKER = "Runner.Worker"


@dataclass(frozen=True)
class ProcessRef:
    """One process for good: its id and when it started, in clock ticks since boot."""

    pid: int
    ticks: int

    def alive(self) -> bool:
        """Return whether this very process still runs (a zombie does not)."""
        process = read_process(self.pid)
        return process is not None and process.ticks == self.ticks and process.state not in "ZX"

    def send(self, number: signal.Signals) -> bool:
        """Send a signal to this very process; False when it is gone."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        except OSError:  # kernel before 5.3: the check and the signal cannot be one step
            return self._send_by_pid(number)
        try:
            # The descriptor pins the process, so a check after opening it cannot be outrun.
            if not self.alive():
                return False
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True

    def _send_by_pid(self, number: signal.Signals) -> bool:
        if not self.alive():
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True


@dataclass(frozen=True)
class Process:
    """One line of the table: ids, state letter, start and CPU ticks, resident bytes."""

    pid: int
    parent: int
    group: int
    session: int
    state: str
    ticks: int
    cpu_ticks: int
    memory_bytes: int
    name: str

    @property
    def ref(self) -> ProcessRef:
        """Its identity."""
        return ProcessRef(self.pid, self.ticks)


def read_process(pid: int, proc_root: Path = Path("/proc")) -> Process | None:
    """Return one process, or None when there is none with this id."""
    try:
        text = (proc_root / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    head, _, tail = text.rpartition(b")")
    fields = tail.split()
    return Process(
        pid=pid,
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        state=fields[0].decode(),
        ticks=int(fields[19]),
        cpu_ticks=int(fields[11]) + int(fields[12]),
        memory_bytes=int(fields[21]) * PAGE_BYTES,
        name=head.partition(b"(")[2].decode(errors="replace"),
    )


class ProcessTable:
    """All processes of one instant, with children by parent."""

    def __init__(self, processes: dict[int, Process]) -> None:
        self.processes = processes
        self.children: dict[int, list[Process]] = {}
        for process in processes.values():
            self.children.setdefault(process.parent, []).append(process)

    @classmethod
    def read(cls, proc_root: Path = Path("/proc")) -> ProcessTable:
        """Read the table now; processes that end meanwhile are left out."""
        pids = [int(name) for name in os.listdir(proc_root) if name.isdigit()]
        found = (read_process(pid, proc_root) for pid in pids)
        return cls({process.pid: process for process in found if process is not None})

    def descendants(self, root: ProcessRef) -> Iterator[Process]:
        """Yield every process below ``root``, itself excluded."""
        top = self.processes.get(root.pid)
        if top is None or top.ticks != root.ticks:
            return
        waiting = list(self.children.get(root.pid, ()))
        while waiting:
            process = waiting.pop()
            yield process
            waiting.extend(self.children.get(process.pid, ()))

    def worker_below(self, root: ProcessRef) -> Process | None:
        """Return the live ``Runner.Worker`` below a runner, if any: it is running a job."""
        for process in self.descendants(root):
            if process.state not in "ZX" and is_worker(process):
                return process
        return None


def is_worker(process: Process) -> bool:
    """Return whether a process is a worker: it runs a job."""
    return is_program(process, WORKER)


def is_program(process: Process, name: str) -> bool:
    """Return whether a process is this program, by its name or as a script that is interpreted."""
    if process.name == name:
        return True
    return any(os.path.basename(part) == name for part in command_line(process.pid)[:4])


def command_line(pid: int) -> list[str]:
    """Return a process's arguments; empty when it is gone, a kernel thread or not ours to read."""
    try:
        text = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return text.decode(errors="replace").split("\0")[:-1]


def mark_of(pid: int) -> str | None:
    """Return the slot's mark that a process was started with, None when it has none of its own."""
    try:
        text = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    prefix = f"{MARK_VARIABLE}=".encode()
    for entry in text.split(b"\0"):
        if entry.startswith(prefix):
            return entry[len(prefix) :].decode(errors="replace")
    return None


def carries_mark(pid: int, mark: str) -> bool:
    """Return whether a process was started with this slot's mark in its environment."""
    return mark_of(pid) == mark


def boot_id(proc_root: Path = Path("/proc")) -> str:
    """Return the id of this boot of the host ("" where the kernel does not say)."""
    try:
        return (proc_root / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


@cache
def boot_time_seconds(proc_root: Path = Path("/proc")) -> float:
    """Return when the host booted, in seconds since the epoch, by the clock of the first call.

    The kernel's figure moves with every correction of the clock; what was told once stays.
    """
    for line in (proc_root / "stat").read_text(encoding="ascii").splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return 0.0

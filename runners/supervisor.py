"""Keeps child processes running until told to stop, and then leaves nothing behind.

Each child has a session (or a process group) of its own, so that a terminal's Ctrl-C reaches only
us, and is told to end when we die. One thread pumps output, starts and ends: forking beside threads
is a trap. Knows nothing of Django; what is run is the caller's business.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Self

import psutil

from runners.processes import (
    adopt_orphans,
    describe_exit,
    end_with_parent,
    kill_all,
    reap_orphans,
    tree,
)

FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 30.0
# A child that ran for so long was well: when it ends after all, the delays begin anew.
WELL_AFTER_SECONDS = 60.0
LOG_FILE_BYTES = 5_000_000
_READ_BYTES = 65536
# Enough for all that pipes of ended processes hold; somebody who goes on writing is not waited for.
_LAST_READS = 100


@dataclass(frozen=True)
class Program:
    """What to run, and how it is ended.

    `stop_seconds` is what it gets to end by itself after SIGTERM. With `log_file` its output goes
    there instead of to us. `fatal_exit_codes` are ends that no new start would mend. What a program
    with `leaves_children` started outlives it, until the supervisor itself stops.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_seconds: float = 20.0
    log_file: Path | None = None
    fatal_exit_codes: frozenset[int] = frozenset()
    leaves_children: bool = False


@dataclass
class Child:
    """A program and its present process; `start_again_at` is set while it waits for a new one."""

    program: Program
    process: subprocess.Popen[bytes]
    started_at: float
    delay_seconds: float = FIRST_DELAY_SECONDS
    start_again_at: float | None = None


@dataclass
class Output:
    """One pipe of a child, and the begin of a line whose end has not come yet."""

    name: str
    pipe: IO[bytes]
    rest: bytes = b""


class StopSignals:
    """Counts SIGTERM, SIGINT and SIGHUP, which a closed terminal sends, instead of dying of them.

    Readable when any signal came. A SIGHUP that `nohup` had us ignore stays ignored.
    """

    def __init__(self) -> None:
        self.count = 0
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._previous_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._previous = {
            number: signal.signal(number, self._received)
            # The end of a child is only to wake us.
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
        }

    def fileno(self) -> int:
        return self._reader.fileno()

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._reader.recv(4096):
                pass

    def close(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_fd)
        self._reader.close()
        self._writer.close()

    def _received(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self.count += 1


class Supervisor:
    """A context that runs programs; leaving it ends them and everything they started.

    `write` gets each line the children print, with the program's name before it. With
    `own_sessions` false a child shares our session, for a supervisor that is itself a child: then
    ours finds the grandchildren by it. Must be made in the main thread.
    """

    def __init__(self, write: Callable[[str], None], *, own_sessions: bool = True) -> None:
        self._write = write
        self._own_sessions = own_sessions
        self._children: dict[str, Child] = {}
        self._selector = selectors.DefaultSelector()
        self._signals = StopSignals()
        self._selector.register(self._signals, selectors.EVENT_READ, None)
        self._fatal_exit_code: int | None = None
        self._leaving = False
        adopt_orphans()
        self._not_ours = set(psutil.Process().children(recursive=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leaving = True
        try:
            self._end(list(self._children.values()))
            kill_all(set(psutil.Process().children(recursive=True)) - self._not_ours)
        finally:
            for key in list(self._selector.get_map().values()):
                if isinstance(key.data, Output):
                    key.data.pipe.close()
            self._selector.close()
            self._signals.close()

    @property
    def stopping(self) -> bool:
        """Whether SIGTERM or Ctrl-C came, the terminal closed, or a program ended for good."""
        return self._signals.count > 0 or self._fatal_exit_code is not None

    @property
    def hurried(self) -> bool:
        """Whether it was asked to stop more than once: at once, then."""
        return self._signals.count > 1

    @property
    def exit_code(self) -> int:
        """What our own process should exit with."""
        return self._fatal_exit_code or 0

    def pid(self, name: str) -> int:
        """The process id of a program's present or last process."""
        return self._children[name].process.pid

    def start(self, program: Program) -> None:
        """Start a program; it is looked after from now on."""
        self._children[program.name] = Child(program, self._spawn(program), time.monotonic())

    def restart(self, name: str) -> None:
        """End a program's whole tree and start it anew."""
        child = self._children[name]
        self._end([child])
        self._start_again(child)

    def stop(self, *names: str) -> None:
        """End these programs for good; the others go on."""
        self._end([self._children.pop(name) for name in names])

    def step(self, timeout_seconds: float) -> list[str]:
        """Pass on what was printed and start again what ended; waits at most so long.

        Returns the names of the programs that were found ended.
        """
        self._pump(timeout_seconds)
        running = {child.process.pid for child in self._children.values()}
        now = time.monotonic()
        ended = []
        for child in self._children.values():
            if child.start_again_at is not None:
                if now >= child.start_again_at:
                    self._start_again(child)
            elif child.process.poll() is not None:
                self._bury(child, now)
                ended.append(child.program.name)
        reap_orphans(running)
        return ended

    def say(self, name: str, line: str) -> None:
        """Pass a line on. Raises OSError when nobody reads us any more, unless we end anyway."""
        try:
            # A line of JSON is for a program to read, and says whose it is
            self._write(f"{line}\n" if line.startswith("{") else f"{name:<9}| {line}\n")
        except OSError:
            if not (self.stopping or self._leaving):
                raise

    def _spawn(self, program: Program) -> subprocess.Popen[bytes]:
        with contextlib.ExitStack() as stack:
            output: int | IO[bytes] = subprocess.PIPE
            if program.log_file:
                output = stack.enter_context(_open_log(program.log_file))
            process = subprocess.Popen(
                program.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **program.environment},
                start_new_session=self._own_sessions,
                process_group=None if self._own_sessions else 0,
                preexec_fn=end_with_parent(os.getpid()),
            )
        if process.stdout:
            os.set_blocking(process.stdout.fileno(), False)
            self._selector.register(
                process.stdout, selectors.EVENT_READ, Output(program.name, process.stdout)
            )
        return process

    def _start_again(self, child: Child) -> None:
        child.process = self._spawn(child.program)
        child.started_at = time.monotonic()
        child.start_again_at = None

    def _bury(self, child: Child, now: float) -> None:
        code = child.process.returncode
        if not child.program.leaves_children:
            kill_all(tree(child.process.pid))
        self._pump(0)
        if code in child.program.fatal_exit_codes:
            self._fatal_exit_code = code
            self.say(child.program.name, f"ended ({describe_exit(code)})")
            return
        if now - child.started_at >= WELL_AFTER_SECONDS:
            child.delay_seconds = FIRST_DELAY_SECONDS
        self.say(
            child.program.name,
            f"ended ({describe_exit(code)}); starting again in {child.delay_seconds:.0f} s",
        )
        child.start_again_at = now + child.delay_seconds
        child.delay_seconds = min(2 * child.delay_seconds, LONGEST_DELAY_SECONDS)

    def _end(self, children: list[Child]) -> None:
        """Ask all main processes at once, wait as long as each may take, then kill their trees."""
        members = {child.program.name: tree(child.process.pid) for child in children}
        asked_at = time.monotonic()
        for child in children:
            if child.process.poll() is None:
                child.process.terminate()
        left = children
        while left := [child for child in left if child.process.poll() is None]:
            waited_seconds = time.monotonic() - asked_at
            for child in left:
                # A second Ctrl-C means: at once.
                if self.hurried or waited_seconds > child.program.stop_seconds:
                    child.process.kill()
            self._pump(0.1)
        for child in children:
            if not child.program.leaves_children:
                kill_all(members[child.program.name] | tree(child.process.pid))
        for _ in range(_LAST_READS):
            if not self._pump(0):
                break

    def _pump(self, timeout_seconds: float) -> bool:
        """Pass on what can be read; False when nothing was there within the time."""
        ready = self._selector.select(timeout_seconds)
        for key, _ in ready:
            if isinstance(key.data, Output):
                self._pass_on(key.data)
            else:
                self._signals.clear()
        return bool(ready)

    def _pass_on(self, output: Output) -> None:
        data = output.pipe.read(_READ_BYTES)
        if data is None:
            return
        *lines, output.rest = (output.rest + data).split(b"\n")
        if not data or len(output.rest) > _READ_BYTES:
            # The end, or a line without one: it must not be kept for ever.
            lines += [output.rest] if output.rest else []
            output.rest = b""
        if not data:
            self._selector.unregister(output.pipe)
            output.pipe.close()
        for line in lines:
            self.say(output.name, line.decode("utf-8", "replace").rstrip())


def _open_log(file: Path) -> IO[bytes]:
    """Open for appending; what has grown large is put aside first, so two files are all there
    is."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.exists() and file.stat().st_size > LOG_FILE_BYTES:
        file.replace(file.with_name(f"{file.name}.1"))
    return file.open("ab")

"""Keep one runner: start it, drain its output into bounded files, reap it, record how it ended.

One keeper runs beside each runner, in a session of its own, so that the agent may be killed,
upgraded or restarted at any moment and the runner neither blocks on its output nor loses its exit
code. It is started by path under ``python -I -S`` and must import nothing but the standard
library, and little of that: there is one a slot. It must never hold a credential of the agent's;
the runner's own environment reaches it through standard input and is handed on, never written.

How a child becomes the runner, confined or not, is in ``confine.py`` beside it.

Usage: ``keeper.py SLOT_DIR WAKE_FIFO [attach]`` with the start order (JSON) on standard input:
argv, cwd, env, groups (files that take the process into its control groups), view (what it is to
see; null for all that its user may) and forget (files to delete when the runner ends).
"""

import contextlib
import ctypes
import importlib
import json
import os
import re
import select
import signal
import sys
import time

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
CONSOLE_FILE_BYTES = 512 * 1024
EVENTS_FILE_BYTES = 64 * 1024
FILES_KEPT = 2
READ_BYTES = 64 * 1024
READS_IN_A_ROW = 32
LINE_BYTES = 4096
EVENT_BYTES = 400
POKE_SECONDS = 0.5
HELD_BACK_BYTES = 64 * 1024  # while the disk is full
HELD_BACK_SECONDS = 1.0

# Console lines the agent acts on or shows (actions/runner: Runner.cs, JobDispatcher.cs,
# BrokerMessageListener.cs).
NOTABLE = re.compile(
    rb"Connected to GitHub|Current runner version: |Listening for Jobs|Running job: "
    rb"|completed with result: |Runner connect error|Runner reconnected|no longer exists"
    rb"|deprecated|out of date|An error occurred|already exists|Unhandled exception"
)


class RotatedFile:
    """Append-only text in files named after their first byte's offset, the oldest dropped.

    A name such as ``console-00000000000000524288.log`` lets a reader keep one ever-growing offset
    whatever was rotated away in between.
    """

    def __init__(self, directory: str, prefix: str, file_bytes: int) -> None:
        self.directory = directory
        self.prefix = prefix
        self.file_bytes = file_bytes
        self.held_back = b""
        names = self._names()
        if names:
            last = os.path.join(directory, names[-1])
            self.start = offset_in_name(names[-1])
            self.size = os.path.getsize(last)
        else:
            self.start = 0
            self.size = 0
        self.fd = self._open()

    def _names(self) -> "list[str]":
        return sorted(name for name in os.listdir(self.directory) if name.startswith(self.prefix))

    def _open(self) -> int:
        path = os.path.join(self.directory, f"{self.prefix}{self.start:020d}.log")
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, data: bytes) -> None:
        """Append; what a full disk does not take is held back, the newest of it, never waited for.

        Without data, what was held back is tried again.
        """
        self.held_back += data
        try:
            while self.held_back:
                written = os.write(self.fd, self.held_back)
                self.size += written
                self.held_back = self.held_back[written:]
            if self.size >= self.file_bytes:
                self._rotate()
        except OSError:
            self.held_back = self.held_back[-HELD_BACK_BYTES:]

    def _rotate(self) -> None:
        full = self.fd
        self.start += self.size
        self.size = 0
        self.fd = self._open()
        os.close(full)
        for name in self._names()[:-FILES_KEPT]:
            os.unlink(os.path.join(self.directory, name))


def offset_in_name(name: str) -> int:
    """Return the offset of the first byte of a rotated file."""
    return int(name.rsplit("-", 1)[1].removesuffix(".log"))


class Keeper:
    """The loop: output to files, notable lines to the events file, the agent poked."""

    def __init__(self, slot_dir: str, wake_path: str) -> None:
        self.slot_dir = slot_dir
        self.wake_path = wake_path
        console_dir = os.path.join(slot_dir, "console")
        os.makedirs(console_dir, mode=0o700, exist_ok=True)
        self.console = RotatedFile(console_dir, "console-", CONSOLE_FILE_BYTES)
        self.events = RotatedFile(console_dir, "events-", EVENTS_FILE_BYTES)
        self.partial = b""
        self.forget: list[str] = []
        self.poke_due = False
        self.poked_at = 0.0
        self.fifo_path = os.path.join(slot_dir, "output")
        with contextlib.suppress(FileExistsError):
            os.mkfifo(self.fifo_path, 0o600)
        # Read and write: without a writer of our own the fifo would report its end whenever the
        # runner has none open.
        self.fifo = os.open(self.fifo_path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def start(self, order: "dict[str, object]") -> "tuple[int, int, int]":
        """Start the runner; return the child to wait for, the runner, and when the runner started.

        Child and runner differ where the runner has a view of its own: the child is its init.
        """
        # Under -I the folder of this file is no place to import from unless it is said.
        sys.path.append(os.path.dirname(os.path.abspath(__file__)))
        confine = importlib.import_module("confine")
        self.forget = [str(path) for path in order.get("forget", ())]  # type: ignore[attr-defined]
        # The runner holds the fifo open for reading too: should this keeper die, its writes then
        # wait for a new keeper instead of raising SIGPIPE.
        output = os.open(self.fifo_path, os.O_RDWR | os.O_CLOEXEC)
        held = None
        try:
            if order.get("view"):
                child, runner, held = confine.start(order, output)
            else:
                child = runner = os.fork()
                if child == 0:
                    confine.become_limited(order, output)
        except OSError as err:
            os.write(output, f"An error occurred: cannot confine the runner: {err}\n".encode())
            child = runner = os.fork()
            if child == 0:
                os._exit(126)
        os.close(output)
        ticks = start_ticks(runner)  # there even if it ended: it was not reaped yet
        if held is not None:
            os.close(held)
        return child, runner, ticks

    def drain(self) -> None:
        """Move what is readable now into the files; bounded, so that a flood starves nothing."""
        self.write_held_back()
        for _ in range(READS_IN_A_ROW):
            try:
                data = os.read(self.fifo, READ_BYTES)
            except OSError:
                return
            if not data:
                return
            self.console.write(data)
            self._note(data)
            self.poke_due = True
            if time.monotonic() - self.poked_at >= POKE_SECONDS:
                self.poke()

    def patience(self) -> "float | None":
        """Return how long to wait for output, in milliseconds; None until there is some."""
        if self.poke_due:
            return POKE_SECONDS * 1000
        if self.console.held_back or self.events.held_back:
            return HELD_BACK_SECONDS * 1000
        return None

    def write_held_back(self) -> None:
        """Write what the disk did not take before, and say so."""
        for file in (self.console, self.events):
            if file.held_back:
                file.write(b"")
                self.poke_due = self.poke_due or not file.held_back

    def _note(self, data: bytes) -> None:
        text = self.partial + data
        complete, newline, rest = text.rpartition(b"\n")
        self.partial = rest[:LINE_BYTES]
        if not newline or NOTABLE.search(complete) is None:
            return
        for line in complete.split(b"\n"):
            if NOTABLE.search(line):
                at = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime()).encode()
                self.events.write(at + b"\t" + line[:EVENT_BYTES].rstrip() + b"\n")

    def poke(self) -> None:
        """Wake the agent if there is one; it reads the rest from the files."""
        self.poke_due = False
        self.poked_at = time.monotonic()
        try:
            fd = os.open(self.wake_path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return  # no agent now: the next one reads the files when it starts
        with contextlib.suppress(OSError):
            os.write(fd, b".")
        os.close(fd)

    def record(self, name: str, facts: "dict[str, object]") -> None:
        """Write one JSON file of the slot so that it is whole or not there."""
        path = os.path.join(self.slot_dir, name)
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump(facts, file)
        os.replace(path + ".new", path)

    def record_exit(self, status: "int | None") -> None:
        """Record how the runner ended; ``status`` is wait(2)'s, or None when unknown."""
        code = None if status is None else os.waitstatus_to_exitcode(status)
        if code is not None and code < 0:
            code = 128 - code  # as shells say it: 137 is signal 9
        self.drain()
        for path in self.forget:
            with contextlib.suppress(OSError):
                os.unlink(path)
        at = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
        with contextlib.suppress(OSError):  # disk full: the agent reads "exit code unknown"
            self.record("exit.json", {"exit_code": code, "ended_at": at})
        self.poke()

    def keep_children(self, child: int) -> None:
        """Drain and reap until no process is left below this one."""
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        poller = select.poll()
        poller.register(self.fifo, select.POLLIN)
        poller.register(wake_read, select.POLLIN)
        while self.reap(child):
            poller.poll(self.patience())
            with contextlib.suppress(BlockingIOError):
                os.read(wake_read, 4096)
            self.drain()
            if self.poke_due and time.monotonic() - self.poked_at >= POKE_SECONDS:
                self.poke()
        self.drain()
        self.poke()

    def reap(self, child: int) -> bool:
        """Collect ended children; return whether any is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == child:
                self.record_exit(status)

    def keep_foreign(self, runner_pid: int, runner_ticks: int) -> None:
        """Drain for a runner whose first keeper died, until it ends; its exit code is lost."""
        poller = select.poll()
        poller.register(self.fifo, select.POLLIN)
        with contextlib.suppress(OSError):
            watched = os.pidfd_open(runner_pid)
            poller.register(watched, select.POLLIN)
            ended = start_ticks(runner_pid) != runner_ticks
            while not ended:
                ready = poller.poll(self.patience())
                ended = any(fd == watched for fd, _ in ready)
                self.drain()
                if self.poke_due:
                    self.poke()
        self.record_exit(None)


def start_ticks(pid: int) -> int:
    """Return when a process started, in clock ticks since boot (proc(5), field 22 of stat)."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[19])


def main(arguments: "list[str]") -> int:
    """Run the keeper; returns its exit status."""
    slot_dir, wake_path = arguments[:2]
    text = sys.stdin.buffer.read()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    try:
        order = json.loads(text)
    except ValueError:
        return 1  # the agent died while it gave the order: nothing was started
    if os.fork() != 0:
        return 0  # the keeper itself is nobody's child: the agent need not collect it
    keeper = Keeper(slot_dir, wake_path)
    if arguments[2:] == ["attach"]:
        child = runner_pid = int(order["runner_pid"])
        runner_ticks = int(order["runner_ticks"])
    else:
        # Orphans of the runner become ours, so that they can be found and ended with it.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        child, runner_pid, runner_ticks = keeper.start(order)
    order.clear()
    del text
    with contextlib.suppress(OSError):  # disk full: the agent misses the file and says why
        keeper.record(
            "keeper.json",
            {
                "keeper_pid": os.getpid(),
                "keeper_ticks": start_ticks(os.getpid()),
                "runner_pid": runner_pid,
                "runner_ticks": runner_ticks,
            },
        )
    keeper.poke()
    if arguments[2:] == ["attach"]:
        keeper.keep_foreign(runner_pid, runner_ticks)
    else:
        keeper.keep_children(child)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Forks real agents that die by SIGKILL at a chosen step; a program of its own, on pipes.

One line of JSON in starts an agent (its arguments, log and orders), one line out says its process
id. The agent's code is imported once; each agent is a fork of this process, so that hundreds can be
tried. A step is a moment before something takes effect outside the process: a file opened for
writing, renamed, removed, linked; a directory made or removed; a lock, a sync, a process started, a
signal sent, a connection made, data sent. Steps are seen by an audit hook, and by wrappers where
Python has no event. A step is named by its event and the lines of the agent's own code that led to
it, and counts from the moment that the ``armed`` file is there.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

EVENTS = frozenset(
    {
        "os.rename",
        "os.remove",
        "os.mkdir",
        "os.rmdir",
        "os.link",
        "os.symlink",
        "os.chmod",
        "os.utime",
        "os.truncate",
        "os.fork",
        "os.posix_spawn",
        "os.exec",
        "os.kill",
        "os.killpg",
        "fcntl.flock",
        "subprocess.Popen",
        "socket.connect",
    }
)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Steps:
    """Counts the steps of this process, and kills it at one of them."""

    def __init__(self, armed: str, record: str, target: str, occurrence: int) -> None:
        self.armed = armed
        self.record = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.target = target
        self.occurrence = occurrence
        self.seen = 0
        self.within = threading.local()

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take in one audit event."""
        if event in EVENTS or (event == "open" and writes(arguments)):
            self.step(event)

    def step(self, event: str) -> None:
        """Take in one step."""
        if getattr(self.within, "busy", False):
            return
        self.within.busy = True
        try:
            name = place(event)
            if name and os.path.exists(self.armed):
                os.write(self.record, f"{name}\n".encode())
                self.seen += name == self.target
                if name == self.target and self.seen == self.occurrence:
                    REAL_KILL(os.getpid(), signal.SIGKILL)
        finally:
            self.within.busy = False


REAL_KILL = os.kill


def writes(arguments: tuple[Any, ...]) -> bool:
    """Return whether an ``open`` event is of a file that may be changed."""
    flags = arguments[2] if len(arguments) > 2 else 0
    return isinstance(flags, int) and bool(flags & WRITING) and arguments[0] != os.devnull


def place(event: str) -> str:
    """Return the event and the lines of the agent's code on the way to it; "" without any."""
    lines = []
    frame = sys._getframe(3)
    while frame is not None:
        name = frame.f_code.co_filename
        if "/fleet_agent/" in name and "__main__" not in name:
            lines.append(f"{os.path.basename(name)[:-3]}:{frame.f_lineno}")
        frame = frame.f_back  # type: ignore[assignment]
    return f"{event} {' < '.join(squeezed(lines))}" if lines else ""


def squeezed(lines: list[str]) -> list[str]:
    """Return the lines with recursion taken out, so that depth makes no new step."""
    kept: list[str] = []
    for line in lines:
        if line not in kept:
            kept.append(line)
    return kept


def wrap(steps: Steps, owner: Any, name: str) -> None:
    """Make a step of every call of a function that has no audit event."""
    real: Callable[..., Any] = getattr(owner, name)

    def call(*arguments: Any, **named: Any) -> Any:
        steps.step(name)
        return real(*arguments, **named)

    setattr(owner, name, call)


def become_agent(order: dict[str, Any]) -> int:
    """Turn this forked child into an agent; returns its exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(order["environment"])
    steps = Steps(order["armed"], order["record"], order["target"], order["occurrence"])
    wrap(steps, os, "fsync")
    wrap(steps, os, "mkfifo")
    wrap(steps, signal, "pidfd_send_signal")
    wrap(steps, socket.socket, "sendall")
    sys.addaudithook(steps.hook)
    from fleet_agent.__main__ import main

    return main(order["arguments"])


def serve() -> None:
    """Fork an agent for every line that comes in."""
    import fleet_agent.__main__  # noqa: F401  (once, for all forks)

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the agents
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                os._exit(become_agent(json.loads(line)))
            finally:
                os._exit(70)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()

"""Signals as events: a handler only notes what came and wakes whoever waits.

One `Signals` a process, made in the main thread.
"""

import os
import select
import signal
from collections.abc import Callable, Sequence
from types import FrameType

READ_BYTES = 4096


class Signals:
    """The shutdown wish of the outside, and a wait that any signal or `wake` ends early."""

    def __init__(self) -> None:
        """Install the handlers; SIGCHLD only wakes."""
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(self._writing, False)
        signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        self.received: signal.Signals | None = None
        self._on_shutdown: Callable[[], None] = lambda: None

    def expect_shutdown(self, *numbers: signal.Signals) -> None:
        """Note the first of these signals in `received`."""
        for number in numbers:
            signal.signal(number, self._note)

    def discard(self, *numbers: signal.Signals) -> None:
        """Do nothing on these signals, yet leave the default to the programs we start."""
        for number in numbers:
            signal.signal(number, lambda _number, _frame: None)

    def ignore(self, *numbers: signal.Signals) -> None:
        """Ignore these signals, and make every program we start ignore them too."""
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)

    def call_on_shutdown(self, action: Callable[[], None]) -> None:
        """Run `action` inside the handler; it must be safe at any instruction."""
        self._on_shutdown = action

    def wake(self) -> None:
        """End the current `wait`, or the next one; may be called from any thread."""
        try:
            os.write(self._writing, b"\0")
        except BlockingIOError:
            return  # full: a wait ends anyway

    def wait(self, seconds: float | None, reading: Sequence[int] = ()) -> list[int]:
        """Wait for a signal, a `wake`, readable descriptors or the time; answer the readable."""
        ready, _, _ = select.select([self._reading, *reading], [], [], seconds)
        if self._reading in ready:
            ready.remove(self._reading)
            self._drain()
        return ready

    def _drain(self) -> None:
        try:
            while os.read(self._reading, READ_BYTES):
                pass
        except BlockingIOError:
            return

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.received is None:
            self.received = signal.Signals(number)
        self._on_shutdown()

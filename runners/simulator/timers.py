"""What has to happen later by the simulator's clock: a heap of moments, and a thread to fire it.

It knows nothing of what fires. Nothing here is stored: timers are armed again from the records.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from itertools import count

from runners.simulator.clock import Clock

# How stale the thread may be when real time alone moves the clock.
LONGEST_NAP_SECONDS = 0.5


class Timers:
    """Actions by due moment (Unix seconds). ``at`` and ``fire_due`` are called under the lock."""

    def __init__(self, clock: Clock, lock: threading.RLock) -> None:
        self._clock = clock
        self._lock = lock
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="simulator-timers", daemon=True)
        clock.on_jump(self.fire_due)

    def at(self, due: float, action: Callable[[], None]) -> None:
        """Call ``action`` under the lock once the clock has reached ``due``."""
        heapq.heappush(self._heap, (due, next(self._order), action))
        self._wake.set()

    def next_due(self) -> float | None:
        """When the next action is due (Unix seconds); None when nothing is armed."""
        with self._lock:
            return self._heap[0][0] if self._heap else None

    def fire_due(self) -> None:
        """Fire everything due, in order; an action may arm others, which fire too when due."""
        with self._lock:
            while self._heap and self._heap[0][0] <= self._clock.time():
                heapq.heappop(self._heap)[2]()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread and wait for it."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            self.fire_due()
            with self._lock:
                due = self._heap[0][0] if self._heap else None
            nap_seconds = LONGEST_NAP_SECONDS
            if due is not None and not self._clock.frozen:
                nap_seconds = min(nap_seconds, max(due - self._clock.time(), 0.0))
            self._wake.wait(nap_seconds)

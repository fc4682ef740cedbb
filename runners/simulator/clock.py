"""The simulator's own clock: every limit, lifetime and timer reads it, none reads the machine's.

It runs with real time until told otherwise; it can be advanced, set, and frozen. It must never go
backwards by itself, and listeners are told of every jump so that due timers fire at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime


class Clock:
    """A settable clock. Times are Unix seconds (``time()``) or aware datetimes (``now()``)."""

    def __init__(self, start: datetime | None = None) -> None:
        self._lock = threading.Lock()
        self._offset_seconds = 0.0
        self._frozen_at: float | None = None
        self._listeners: list[Callable[[], None]] = []
        if start is not None:
            self.set(start)

    def time(self) -> float:
        """Unix seconds by this clock."""
        with self._lock:
            return self._read()

    def now(self) -> datetime:
        """The same moment as an aware UTC datetime."""
        return datetime.fromtimestamp(self.time(), UTC)

    def advance(self, seconds: float) -> None:
        """Jump ahead; works on a frozen clock too."""
        with self._lock:
            if self._frozen_at is None:
                self._offset_seconds += seconds
            else:
                self._frozen_at += seconds
        self._tell()

    def set(self, moment: datetime) -> None:
        """Jump to a moment (aware datetime), backwards as well: clocks of tests may do that."""
        with self._lock:
            self._offset_seconds = moment.timestamp() - time.time()
            if self._frozen_at is not None:
                self._frozen_at = moment.timestamp()
        self._tell()

    def freeze(self) -> None:
        """Stand still until ``thaw``; ``advance`` and ``set`` still move it."""
        with self._lock:
            self._frozen_at = self._read()

    def thaw(self) -> None:
        """Run again from where it stands."""
        with self._lock:
            if self._frozen_at is not None:
                self._offset_seconds = self._frozen_at - time.time()
                self._frozen_at = None

    @property
    def frozen(self) -> bool:
        """True between ``freeze`` and ``thaw``."""
        with self._lock:
            return self._frozen_at is not None

    def on_jump(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after each ``advance`` and ``set``."""
        self._listeners.append(listener)

    def _read(self) -> float:
        return time.time() + self._offset_seconds if self._frozen_at is None else self._frozen_at

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

"""What happens when, by the world's clock: a heap of moments. It knows nothing of what happens."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count


class Agenda:
    """Actions by due moment (Unix seconds); equal moments in the order they were put in."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], object]]] = []
        self._order = count()

    def at(self, due: float, action: Callable[[], object]) -> None:
        """Do `action` once the clock has reached `due`."""
        heapq.heappush(self._heap, (due, next(self._order), action))

    def next_due(self) -> float | None:
        """The nearest moment, None when nothing is planned."""
        return self._heap[0][0] if self._heap else None

    def take_due(self, now: float) -> Callable[[], object] | None:
        """Remove and return the next action that is due, None when none is."""
        if self._heap and self._heap[0][0] <= now:
            return heapq.heappop(self._heap)[2]
        return None

"""How long to wait before trying again: doubling, bounded, with jitter."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass
class Backoff:
    """Waits that double from ``first_seconds`` to ``most_seconds``; reset on success.

    Each wait is drawn between half and the whole of its size, so that a thousand agents that lost
    the same server do not come back in the same second.
    """

    first_seconds: float = 2.0
    most_seconds: float = 60.0
    jitter: bool = True
    failures: int = 0

    def next_seconds(self) -> float:
        """Count one failure and return how long to wait now."""
        size = min(self.most_seconds, self.first_seconds * 2.0 ** min(self.failures, 30))
        self.failures += 1
        if not self.jitter:
            return size
        return size * random.uniform(0.5, 1.0)  # noqa: S311  (spreads load, guards nothing)

    def reset(self) -> None:
        """Forget the failures."""
        self.failures = 0

"""Misbehaviour on command: which answer or webhook goes wrong, how often, and in what way.

It decides and counts; gateway, server and outbox do the damage. The control API is spared.
"""

from __future__ import annotations

import random
import re
import threading
from dataclasses import dataclass
from itertools import count

from runners.simulator.wire import Fields, JsonObject, invalid

BEFORE_KINDS = ("status", "primary_limit", "secondary_limit", "hang", "close", "slow")
AFTER_KINDS = ("truncate", "lost_response", "clock_skew", "empty_page")
WEBHOOK_KINDS = (
    "webhook_drop",
    "webhook_vanish",
    "webhook_duplicate",
    "webhook_reorder",
    "webhook_late",
)
KINDS = BEFORE_KINDS + AFTER_KINDS + WEBHOOK_KINDS


@dataclass
class Fault:
    """One kind of misbehaviour for matching requests (or webhook events).

    ``path`` and ``event`` are regular expressions, searched in the path below the API base and in
    ``event.action``; ``count`` is how many times are left (None: no end); ``seconds`` is the delay
    of slow, late, secondary limits and hangs, and the skew of clock_skew.
    """

    kind: str
    path: str = ""
    method: str = ""
    event: str = ""
    count: int | None = None
    probability: float = 1.0
    status: int = 500
    message: str = ""
    seconds: float = 0
    id: int = 0
    hits: int = 0

    def matches_request(self, method: str, path: str) -> bool:
        """True when a request of that method and path is meant."""
        return self.method in ("", method) and re.search(self.path, path) is not None

    def matches_event(self, subject: str) -> bool:
        """True when the event (``workflow_job.queued``) is meant."""
        return re.search(self.event, subject) is not None

    def to_json(self) -> JsonObject:
        """All fields, as the control API shows them."""
        return {
            "id": self.id,
            "kind": self.kind,
            "path": self.path,
            "method": self.method,
            "event": self.event,
            "count": self.count,
            "probability": self.probability,
            "status": self.status,
            "message": self.message,
            "seconds": self.seconds,
            "hits": self.hits,
        }


def fault_from(fields: Fields) -> Fault:
    """A fault as a client of the control API describes it. Raises 422."""
    kind = fields.choice("kind", KINDS)
    for pattern in (fields.text("path", ""), fields.text("event", "")):
        try:
            re.compile(pattern)
        except re.error as err:
            raise invalid(f"{pattern!r} is not a regular expression: {err}") from err
    return Fault(
        kind=kind,
        path=fields.text("path", ""),
        method=fields.text("method", "").upper(),
        event=fields.text("event", ""),
        count=fields.integer("count") if fields.values.get("count") is not None else None,
        probability=fields.number("probability", 1.0),
        status=fields.integer("status", 500),
        message=fields.text("message", ""),
        seconds=fields.number("seconds", 0.0),
    )


class FaultBook:
    """The faults in force. Thread-safe by itself: it is asked outside the world's lock."""

    def __init__(self, seed: int = 0) -> None:
        self._lock = threading.Lock()
        self._faults: dict[int, Fault] = {}
        self._ids = count(1)
        self._random = random.Random(seed)

    def add(self, fault: Fault) -> Fault:
        """Put a fault in force; the first one added wins where two match."""
        with self._lock:
            fault.id = next(self._ids)
            self._faults[fault.id] = fault
        return fault

    def clear(self, fault_id: int | None = None) -> None:
        """Lift one fault, or all."""
        with self._lock:
            if fault_id is None:
                self._faults.clear()
            else:
                self._faults.pop(fault_id, None)

    def listed(self) -> list[Fault]:
        """The faults in force, oldest first."""
        with self._lock:
            return list(self._faults.values())

    def for_request(
        self, kinds: tuple[str, ...], method: str, path: str, *, api: bool
    ) -> list[Fault]:
        """The faults that hit this request; each of them is counted.

        A fault without a path means GitHub's API only, not downloads and what runners talk.
        """
        with self._lock:
            live = [f for f in self._live(kinds) if api or f.path]
            meant = [f for f in live if f.matches_request(method, path)]
            return [fault for fault in meant if self._strikes(fault)]

    def for_event(self, subject: str) -> Fault | None:
        """The webhook fault that hits this event, counted; None when none does."""
        with self._lock:
            for fault in self._live(WEBHOOK_KINDS):
                if fault.matches_event(subject) and self._strikes(fault):
                    return fault
        return None

    def _live(self, kinds: tuple[str, ...]) -> list[Fault]:
        return [f for f in self._faults.values() if f.kind in kinds and f.count != 0]

    def _strikes(self, fault: Fault) -> bool:
        if self._random.random() >= fault.probability:
            return False
        fault.hits += 1
        if fault.count is not None:
            fault.count -= 1
        return True

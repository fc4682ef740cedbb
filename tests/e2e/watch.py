"""GitHub's list of runners looked at again and again, by a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import requests

from tests.e2e.fleet import Fleet


@dataclass
class Sighting:
    """One runner as GitHub showed it; moments in Unix seconds, None: not seen."""

    name: str
    made_at: float
    online_at: float | None = None
    busy_at: float | None = None
    gone_at: float | None = None


class Watch:
    """What was seen so far, in order."""

    def __init__(self, fleet: Fleet, seconds: float) -> None:
        self._fleet = fleet
        self._seconds = seconds
        self._seen: dict[str, Sighting] = {}
        self._over = threading.Event()

    def seen(self) -> list[Sighting]:
        return list(self._seen.values())

    def present(self) -> list[Sighting]:
        return [each for each in self.seen() if each.gone_at is None]

    def idle(self) -> list[Sighting]:
        """Online and without a job so far."""
        return [each for each in self.present() if each.online_at and each.busy_at is None]

    def find(self, name: str) -> Sighting:
        return self._seen[name]

    def run(self) -> None:
        """Look until it is over. An answer that does not come is no answer."""
        while not self._over.wait(self._seconds):
            try:
                listed = self._fleet.github_runners()
            except requests.RequestException:
                continue
            now = time.time()
            for each in listed:
                sighting = self._seen.setdefault(each["name"], Sighting(each["name"], now))
                if each["status"] == "online":
                    sighting.online_at = sighting.online_at or now
                if each["busy"]:
                    sighting.busy_at = sighting.busy_at or now
            names = {each["name"] for each in listed}
            for sighting in self.present():
                if sighting.name not in names:
                    sighting.gone_at = now

    def end(self) -> None:
        self._over.set()


@contextmanager
def watching(fleet: Fleet, *, seconds: float) -> Iterator[Watch]:
    """Look every `seconds` while the block runs."""
    watch = Watch(fleet, seconds)
    thread = threading.Thread(target=watch.run, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.end()
        thread.join(timeout=30)

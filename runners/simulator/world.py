"""What every rule needs at hand: settings, clock, records, queue, timers, outbox, one lock.

``lock`` guards all of it; ``changed`` (a condition on the same lock) wakes waiting runners.
"""

from __future__ import annotations

import threading

from runners.simulator.clock import Clock
from runners.simulator.limits import LimitBook
from runners.simulator.outbox import Outbox
from runners.simulator.queue import JobQueue
from runners.simulator.settings import Settings
from runners.simulator.store import Store
from runners.simulator.timers import Timers
from runners.simulator.urls import Urls


class World:
    """One stand-in GitHub. ``urls`` is set once the server knows its port."""

    def __init__(self, settings: Settings, clock: Clock, store: Store) -> None:
        self.settings = settings
        self.clock = clock
        self.store = store
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.queue = JobQueue()
        self.limits = LimitBook(settings, clock)
        self.timers = Timers(clock, self.lock)
        self.outbox = Outbox(clock, self.lock, store, settings)
        self.urls = Urls(api="http://127.0.0.1", web="http://127.0.0.1")
        # Counts changes, so that a saved file is rewritten only when there is something new.
        self.revision = 0
        self.stopping = False

    def touch(self) -> None:
        """Note a change and wake whoever waits for one."""
        self.revision += 1
        self.changed.notify_all()

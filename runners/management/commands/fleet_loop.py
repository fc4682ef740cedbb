"""Keep the fleet's beat: queue due work and watch the worker.

Exit codes: 0 stopped. A database that does not answer is waited for.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from types import FrameType

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import DatabaseError, close_old_connections
from django.utils import timezone

from runners.loop import Loop, recurring
from runners.management.cli import DATABASE_AWAY, in_one_line

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Queue the work that is due, every few seconds, until SIGTERM or Ctrl-C."

    def handle(self, *args: object, **options: object) -> None:
        stop = threading.Event()

        def ask_to_stop(number: int, frame: FrameType | None) -> None:
            stop.set()

        signal.signal(signal.SIGTERM, ask_to_stop)
        signal.signal(signal.SIGINT, ask_to_stop)
        loop = Loop(
            owner=f"{socket.gethostname()}:{os.getpid()}",
            recurring=recurring(
                reconcile_seconds=settings.FLEET_RECONCILE_SECONDS,
                reconcile_active_seconds=settings.FLEET_RECONCILE_ACTIVE_SECONDS,
            ),
            beat_seconds=settings.FLEET_LOOP_SECONDS,
            canary_seconds=settings.FLEET_CANARY_SECONDS,
            worker_silent_seconds=settings.FLEET_WORKER_SILENT_SECONDS,
        )
        while not stop.is_set():
            beat(loop)
            stop.wait(settings.FLEET_LOOP_SECONDS)
        with contextlib.suppress(*DATABASE_AWAY):  # the lease runs out by itself
            loop.stop()


def beat(loop: Loop) -> None:
    """One beat; whatever the database says, the next one is tried."""
    try:
        close_old_connections()
        loop.step(timezone.now())
    except DATABASE_AWAY as error:
        logger.error("This beat was missed: the database says: %s", in_one_line(error))
    except DatabaseError:
        logger.exception("This beat was missed")

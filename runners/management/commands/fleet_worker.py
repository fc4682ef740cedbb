"""Run background tasks, and start django-q2 anew when it is dead or asked for.

Exit codes: 0 stopped, 5 the database did not answer at the start.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import close_old_connections
from django.utils import timezone

from runners import loop, queue
from runners.management.cli import DATABASE_AWAY, exit_codes, in_one_line
from runners.models import Beat
from runners.programs import management_command
from runners.supervisor import Supervisor

logger = logging.getLogger(__name__)

QCLUSTER = "qcluster"
LOOK_EVERY_SECONDS = 2.0


class Command(BaseCommand):
    help = "Run background tasks until SIGTERM or Ctrl-C."

    def handle(self, *args: object, **options: object) -> None:
        with exit_codes():
            if not _some_worker_is_alive():
                queue.hand_back(timezone.now())
        asked_at = _restart_asked_at(None)
        # Our session, so that whoever started us finds the cluster's processes by it.
        with Supervisor(self.stdout.write, own_sessions=False) as supervisor:
            supervisor.start(
                management_command(
                    "qcluster",
                    "--skip-checks",
                    program=QCLUSTER,
                    stop_seconds=settings.FLEET_STOP_SECONDS,
                )
            )
            looked_at = time.monotonic()
            while not supervisor.stopping:
                if supervisor.step(LOOK_EVERY_SECONDS):
                    _hand_back()
                if time.monotonic() - looked_at < LOOK_EVERY_SECONDS:
                    continue
                looked_at = time.monotonic()
                now_asked_at = _restart_asked_at(asked_at)
                if now_asked_at != asked_at:
                    asked_at = now_asked_at
                    self.stdout.write("A restart was asked for: starting all processes anew.")
                    supervisor.restart(QCLUSTER)
                    _hand_back()
        raise SystemExit(supervisor.exit_code)


def _restart_asked_at(known: datetime | None) -> datetime | None:
    """The last request; compared with the one `known` and with no clock: there are two of those."""
    try:
        close_old_connections()
        return Beat.objects.filter(name=loop.WORKER_RESTART).values_list("at", flat=True).first()
    except DATABASE_AWAY as error:
        logger.error("Cannot tell whether a restart was asked for: %s", in_one_line(error))
        return known


def _some_worker_is_alive() -> bool:
    silent = timedelta(seconds=settings.FLEET_WORKER_SILENT_SECONDS)
    return Beat.objects.filter(name=loop.WORKER, at__gt=timezone.now() - silent).exists()


def _hand_back() -> None:
    try:
        count = queue.hand_back(timezone.now())
    except DATABASE_AWAY as error:
        logger.error("Tasks of the ended worker wait for their retry time: %s", in_one_line(error))
    else:
        logger.info("%s tasks of the ended worker were handed back", count)

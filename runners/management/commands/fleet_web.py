"""Serve the dashboard with gunicorn.

Exit codes: 0 stopped, 1 the port is taken, 78 a setting does not fit, FLEET_BIND among them.
"""

from __future__ import annotations

import fcntl
import os
import sys

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connections

from runners.management.listening import require_web_port

GUNICORN = ("-m", "gunicorn", "-c", "python:fleetui.gunicorn", "fleetui.wsgi")


class Command(BaseCommand):
    help = "Serve pages, the agents' API and webhooks; FLEET_BIND and PORT say where."

    def handle(self, *args: object, **options: object) -> None:
        require_web_port()
        _collect_static_files()
        connections.close_all()
        # gunicorn takes this process's place, so that signals reach it and nothing stands between.
        os.execv(sys.executable, [sys.executable, *GUNICORN])  # noqa: S606


def _collect_static_files() -> None:
    """Fill the folder of static files; two that start at once on one folder take turns."""
    with (settings.DATA_DIR / "static.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        call_command("collectstatic", interactive=False, verbosity=0)

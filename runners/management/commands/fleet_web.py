"""Serve the dashboard with gunicorn.

Exit codes: 0 stopped, 1 the port is taken, 78 a setting does not fit, FLEET_BIND among them.
"""

from __future__ import annotations

import os
import sys

from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connections

from runners.management.listening import require_web_port

GUNICORN = ("-m", "gunicorn", "-c", "python:fleetui.gunicorn", "fleetui.wsgi")


class Command(BaseCommand):
    help = "Serve pages, the agents' API and webhooks; FLEET_BIND and PORT say where."

    def handle(self, *args: object, **options: object) -> None:
        require_web_port()
        call_command("collectstatic", interactive=False, verbosity=0)
        connections.close_all()
        # gunicorn takes this process's place, so that signals reach it and nothing stands between.
        os.execv(sys.executable, [sys.executable, *GUNICORN])  # noqa: S606

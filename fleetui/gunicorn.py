"""How gunicorn serves the dashboard: `gunicorn -c python:fleetui.gunicorn fleetui.wsgi`."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Any

from gunicorn.workers.base import Worker

from fleetui.env import CONFIGURATION_EXIT_CODE, ConfigurationError

try:
    from fleetui import settings
except ConfigurationError as err:
    # gunicorn would print a traceback and hide the one line that matters.
    sys.stderr.write(f"{err}\n")
    sys.exit(CONFIGURATION_EXIT_CODE)

_address = f"[{settings.FLEET_BIND}]" if ":" in settings.FLEET_BIND else settings.FLEET_BIND

bind = [f"{_address}:{settings.PORT}"]
workers = settings.FLEET_WEB_WORKERS
# Threads, so that a slow browser or agent does not hold a whole process.
worker_class = "gthread"
threads = settings.FLEET_WEB_THREADS
timeout = 60
graceful_timeout = settings.FLEET_STOP_SECONDS
keepalive = 5
forwarded_allow_ips = ",".join(settings.FLEET_TRUSTED_PROXIES)
# A worker's sign of life is a file it touches: on a slow disk it would look dead.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
# A socket in the home directory through which this process could be commanded: nobody needs it.
control_socket_disable = True
pythonpath = str(Path(settings.__file__).parent.parent)
raw_env = ["DJANGO_SETTINGS_MODULE=fleetui.settings"]

# gunicorn's own lines leave through the same redacting formatter. Requests are not logged: agents
# alone would write one a second.
logconfig_dict: dict[str, Any] = settings.LOGGING | {
    "loggers": settings.LOGGING["loggers"]
    | {
        "gunicorn.error": {"level": settings.FLEET_LOG_LEVEL, "handlers": [], "propagate": True},
        "gunicorn.access": {"level": "WARNING", "handlers": [], "propagate": True},
    }
}


def post_worker_init(worker: Worker) -> None:
    """Take what the process has loaded out of the garbage collector's rounds.

    A full round over Django and us takes 40 ms, in the middle of somebody's page.
    """
    gc.collect()
    gc.freeze()

"""Settings and files of this process as the doctor looks at them; an edge, like `wiring`."""

from __future__ import annotations

import functools
import re
from pathlib import Path

from django.conf import settings

from runners.doctor import Surroundings

_AGENT = Path(__file__).resolve().parent / "agent" / "fleet_agent" / "__init__.py"
_VERSION = re.compile(r'^__version__ = "([\d.]+)"$', re.MULTILINE)


def surroundings() -> Surroundings:
    """What the checks may know of this process."""
    key = next(
        each for each in settings.FLEET_ENVIRONMENT.declared if each.name == "FLEET_SECRET_KEY"
    )
    data_dir = Path(settings.DATA_DIR)
    return Surroundings(
        data_dir=data_dir,
        key_file=data_dir / "secret.key" if key.source == "default" else None,
        base_url=settings.FLEET_BASE_URL,
        loop_seconds=settings.FLEET_LOOP_SECONDS,
        worker_silent_seconds=settings.FLEET_WORKER_SILENT_SECONDS,
        agent_version=shipped_agent(),
        job_source=settings.FLEET_JOB_SOURCE,
    )


@functools.cache
def shipped_agent() -> str:
    """The version of the agent beside this code, read and not imported: it is another program."""
    if not _AGENT.exists():
        return ""
    found = _VERSION.search(_AGENT.read_text(encoding="utf-8"))
    return found[1] if found else ""

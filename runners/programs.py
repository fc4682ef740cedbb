"""The product's own processes as programs a supervisor can run."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from fleetui.env import CONFIGURATION_EXIT_CODE
from runners.supervisor import Program

SOURCE_DIR = Path(__file__).resolve().parent.parent


def management_command(
    name: str,
    *arguments: str,
    program: str,
    stop_seconds: float,
    environment: Mapping[str, str] | None = None,
    log_file: Path | None = None,
) -> Program:
    """`manage.py <name> …` as a program, whatever the current directory is."""
    search_path = [str(SOURCE_DIR), *filter(None, [os.environ.get("PYTHONPATH")])]
    return Program(
        name=program,
        argv=(sys.executable, "-m", "django", name, *arguments),
        environment={
            "DJANGO_SETTINGS_MODULE": os.environ["DJANGO_SETTINGS_MODULE"],
            "PYTHONPATH": os.pathsep.join(search_path),
            "PYTHONUNBUFFERED": "1",
            **(environment or {}),
        },
        stop_seconds=stop_seconds,
        log_file=log_file,
        fatal_exit_codes=frozenset({CONFIGURATION_EXIT_CODE}),
    )

"""Django's deployment checks and the search for missing migrations, as a production would see them.

The settings are those of a dashboard behind HTTPS with a key of its own; every warning counts.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

COMMANDS = (
    ("check", "--deploy", "--fail-level", "WARNING"),
    ("makemigrations", "--check", "--dry-run"),
)


def main() -> int:
    with tempfile.TemporaryDirectory() as data_dir:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("FLEET_")
        } | {
            "DATA_DIR": data_dir,
            "FLEET_BASE_URL": "https://fleet.example.org",
            "FLEET_SECRET_KEY": secrets.token_urlsafe(48),
            "DJANGO_SETTINGS_MODULE": "fleetui.settings",
        }
        return max(
            subprocess.run(
                [sys.executable, "manage.py", *command],
                cwd=ROOT,
                env=environment,
                check=False,
            ).returncode
            for command in COMMANDS
        )


if __name__ == "__main__":
    sys.exit(main())

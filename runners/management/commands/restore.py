"""Put a backup in the place of the database, and make the fleet start from facts.

Exit codes: 0 restored (or, with `--check`, restorable), 1 refused (the database is as it was),
2 wrong arguments, 5 database. JSON: `{"file", "made_at", "version", "vendor", "rows", "restored",
"hosts", "runners", "scopes", "unreadable", "seconds"}`.
"""

from __future__ import annotations

import time
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser

from fleetui.secret_key import write_keys
from runners import backup, restore, wiring
from runners.errors import InvalidRequest
from runners.management import cli
from runners.restore import Restored

NEXT = (
    "What to do next:",
    "1. Start the fleet: `fleet_up`, or web, worker and loop. The first passes ask GitHub and the",
    "   hosts; until then their facts show as unknown.",
    "2. Look at the drift page for what was made since the backup, and at `doctor`.",
    "3. Enrol anew each host that stays silent: its token was given out since.",
    "4. Everybody signs in again, with the password of that moment.",
)


class Command(BaseCommand):
    help = "Restore a backup into the database of DATABASE_URL; the fleet must be stopped."
    # The database may be empty, or of an older version
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--force", action="store_true", help="replace a database that holds a fleet"
        )
        parser.add_argument(
            "--with-key",
            action="store_true",
            help="take the key from the backup into the data folder too",
        )
        parser.add_argument(
            "--check", action="store_true", help="only say whether the backup could be restored"
        )
        cli.add_json(parser)

    def handle(
        self,
        *,
        file: Path,
        force: bool,
        with_key: bool,
        check: bool,
        json: bool,
        **options: object,
    ) -> None:
        began = time.monotonic()
        done: Restored | None = None
        with cli.exit_codes():
            keys = _with_keys_of(file) if with_key else settings.FLEET_SECRET_KEYS
            manifest = restore.check(file, keys=keys)
            if not check:
                restore.refuse_running_fleet(wiring.now())
                restore.refuse_occupied(force)
                if with_key:
                    write_keys(Path(settings.DATA_DIR) / "secret.key", keys)
                done = restore.restore(
                    file, keys=keys, force=force, migrate=_migrate, by=cli.actor(), now=wiring.now()
                )
        seconds = round(time.monotonic() - began, 2)
        data = {
            "file": str(file),
            "made_at": manifest.made_at,
            "version": manifest.version,
            "vendor": manifest.vendor,
            "rows": manifest.rows,
            "restored": done is not None,
            "hosts": done.hosts if done else None,
            "runners": done.runners if done else None,
            "scopes": done.scopes if done else None,
            "unreadable": list(done.unreadable) if done else [],
            "seconds": seconds,
        }
        cli.say(self, json, data, _lines(file, manifest, done, seconds))


def _lines(
    file: Path, manifest: backup.Manifest, done: Restored | None, seconds: float
) -> list[str]:
    moment = f"{manifest.moment:%Y-%m-%d %H:%M:%S} UTC"
    if done is None:
        return [f"{file} can be restored: {manifest.vendor}, of {moment}, by {manifest.version}"]
    return [
        f"Restored to {moment} in {seconds} s: {done.hosts} hosts, {done.runners} runners, "
        f"{done.scopes} scopes. What happened later is not in it.",
        *(f"No present key opens the secret of {name}: enter it anew" for name in done.unreadable),
        *NEXT,
    ]


def _migrate() -> None:
    call_command("migrate", interactive=False, verbosity=0)


def _with_keys_of(file: Path) -> list[str]:
    """The backup's keys, then those this installation had: what either wrote can be read."""
    variable = next(
        each for each in settings.FLEET_ENVIRONMENT.declared if each.name == "FLEET_SECRET_KEY"
    )
    if variable.source != "default":
        raise InvalidRequest(
            "FLEET_SECRET_KEY is set, so a key in the data folder would not be used. Unset it, or "
            "restore without --with-key."
        )
    if not backup.read_manifest(file).with_key:
        raise InvalidRequest(f"{file} was made without --with-key: there is no key in it.")
    return list(dict.fromkeys([*backup.read_keys(file), *settings.FLEET_SECRET_KEYS]))

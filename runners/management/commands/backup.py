"""Back up the control plane while it runs: one file with the database of one moment.

Exit codes: 0 made, 1 refused (nothing was written), 2 wrong arguments, 5 database. JSON: `{"file",
"bytes", "made_at", "version", "vendor", "rows", "sha256", "with_key", "seconds", "deleted"}`.
"""

from __future__ import annotations

import time
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

import fleetui
from runners import backup, wiring
from runners.management import cli

KEEP_MAXIMUM = 10_000


class Command(BaseCommand):
    help = "Write a backup of the whole control plane; everything may go on running."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "target",
            nargs="?",
            type=Path,
            help="a folder, or the file to write; without it, backups in the data folder",
        )
        parser.add_argument(
            "--keep",
            type=cli.between(1, KEEP_MAXIMUM),
            metavar="N",
            help="afterwards delete all but the newest N backups in the folder",
        )
        parser.add_argument(
            "--with-key",
            action="store_true",
            help="put FLEET_SECRET_KEY in too: whoever has the file has every credential",
        )
        cli.add_json(parser)

    def handle(
        self,
        *,
        target: Path | None,
        keep: int | None,
        with_key: bool,
        json: bool,
        **options: object,
    ) -> None:
        folder = target
        if target is None:
            folder = target = Path(settings.DATA_DIR) / "backups"
            target.mkdir(mode=0o700, parents=True, exist_ok=True)
        if keep is not None and not target.is_dir():
            raise CommandError(
                f"--keep needs a folder, and {folder} is none.", returncode=cli.ExitCode.USAGE
            )
        began = time.monotonic()
        with cli.exit_codes():
            made = backup.make(
                target,
                keys=settings.FLEET_SECRET_KEYS,
                with_key=with_key,
                version=fleetui.__version__,
                by=cli.actor(),
                now=wiring.now(),
            )
        deleted = backup.keep_newest(target, keep) if keep is not None else []
        seconds = round(time.monotonic() - began, 2)
        if with_key:
            self.stderr.write(
                self.style.WARNING(
                    "WARNING: this file holds the key: whoever reads it can use every credential "
                    "in it. Keep it where you would keep a private key."
                )
            )
        manifest = made.manifest
        data = {
            "file": str(made.file),
            "bytes": made.file_bytes,
            "made_at": manifest.made_at,
            "version": manifest.version,
            "vendor": manifest.vendor,
            "rows": manifest.rows,
            "sha256": manifest.database_sha256,
            "with_key": with_key,
            "seconds": seconds,
            "deleted": [str(file) for file in deleted],
        }
        cli.say(self, json, data, _lines(made, seconds, deleted))


def _lines(made: backup.Made, seconds: float, deleted: list[Path]) -> list[str]:
    manifest = made.manifest
    key = "with the key" if manifest.with_key else "without the key: keep FLEET_SECRET_KEY apart"
    return [
        str(made.file),
        f"{sum(manifest.rows.values())} rows of {len(manifest.rows)} tables, {made.file_bytes} "
        f"bytes, in {seconds} s; {key}",
        *(f"Deleted {file}" for file in deleted),
    ]

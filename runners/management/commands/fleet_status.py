"""Say how the fleet is: hosts, runners by state, pools, scopes, our own processes, API budget.

Exit codes: 0 said, 1 with `--check` when something is wrong, 2 wrong arguments, 5 database.
JSON: see `runners.management.status`.
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from runners import wiring
from runners.management import cli, status


class Command(BaseCommand):
    help = "Say how the fleet is; with --check, exit with 1 when something is wrong."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="exit with 1 when something is wrong"
        )
        cli.add_json(parser)

    def handle(self, *, check: bool, json: bool, **options: object) -> None:
        silent_after = timedelta(seconds=settings.FLEET_WORKER_SILENT_SECONDS)
        with cli.exit_codes():
            report = status.report(now=wiring.now(), silent_after=silent_after)
        cli.say(self, json, report, status.lines(report))
        if check and report["problems"]:
            count = len(report["problems"])
            raise CommandError(
                f"{count} {'thing is' if count == 1 else 'things are'} wrong: "
                + " ".join(report["problems"]),
                returncode=cli.ExitCode.REFUSED,
            )

"""Take a host out for good: its token ends, its runners leave GitHub, its history stays.

Exit codes: 0 retired (or was already), 1 refused (a job may be running: drain it first),
2 wrong arguments, 3 no such host, 5 database. JSON: `{"host", "changed"}`.
"""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandParser

from runners import enrolment, wiring
from runners.management import cli


class Command(BaseCommand):
    help = "Retire a host that has no job running; it can enrol again later."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("host", metavar="HOST")
        cli.add_reason(parser)
        cli.add_json(parser)

    def handle(self, *, host: str, reason: str, json: bool, **options: object) -> None:
        with cli.exit_codes():
            row = cli.find_host(host)
            changed = row.retired_at is None
            if changed:
                enrolment.retire(row, by=cli.actor(), reason=reason, now=wiring.now())
            line = f"{row.name} is retired" if changed else f"{row.name} was retired already"
            cli.say(self, json, {"host": row.name, "changed": changed}, [line])

"""Let a cordoned host take new runners again.

Exit codes: 0 done (or was already), 1 refused, 2 wrong arguments, 3 no such host, 5 database.
JSON: `{"host", "changed"}`.
"""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandParser

from runners import enrolment, wiring
from runners.management import cli


class Command(BaseCommand):
    help = "Uncordon a host: it may take new runners again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("host", metavar="HOST")
        cli.add_reason(parser)
        cli.add_json(parser)

    def handle(self, *, host: str, reason: str, json: bool, **options: object) -> None:
        with cli.exit_codes():
            row = cli.find_host(host)
            event = enrolment.uncordon(row, by=cli.actor(), reason=reason, now=wiring.now())
            changed = event is not None
            line = (
                f"{row.name} may take new runners again"
                if changed
                else f"{row.name} was not cordoned"
            )
            cli.say(self, json, {"host": row.name, "changed": changed}, [line])

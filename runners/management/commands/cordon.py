"""Give a host no new runners; those it has go on.

Exit codes: 0 done (or was already), 1 refused, 2 wrong arguments, 3 no such host, 5 database.
JSON: `{"host", "changed"}`.
"""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandParser

from runners import enrolment, wiring
from runners.management import cli


class Command(BaseCommand):
    help = "Cordon a host: it is given no new runners; those it has go on."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("host", metavar="HOST")
        cli.add_reason(parser)
        cli.add_json(parser)

    def handle(self, *, host: str, reason: str, json: bool, **options: object) -> None:
        with cli.exit_codes():
            row = cli.find_host(host)
            event = enrolment.cordon(row, by=cli.actor(), reason=reason, now=wiring.now())
            changed = event is not None
            line = (
                f"{row.name} is cordoned: it is given no new runners"
                if changed
                else f"{row.name} was cordoned already"
            )
            cli.say(self, json, {"host": row.name, "changed": changed}, [line])

"""Forget a credential and its secret; at GitHub it is revoked by hand.

Exit codes: 0 removed, 1 refused (a scope uses it), 2 wrong arguments, 3 no such credential,
5 database. JSON: `{"credential", "changed"}`.
"""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandParser

from runners import credentials, wiring
from runners.management import cli


class Command(BaseCommand):
    help = "Forget a credential that no scope uses any more."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME")
        cli.add_reason(parser)
        cli.add_json(parser)

    def handle(self, *, name: str, reason: str, json: bool, **options: object) -> None:
        with cli.exit_codes():
            found = cli.find_credential(name)
            credentials.remove(found, by=cli.actor(), reason=reason, now=wiring.now())
        cli.say(self, json, {"credential": name, "changed": True}, [f"{name} is removed"])

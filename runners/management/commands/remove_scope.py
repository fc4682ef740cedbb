"""Forget a scope with its jobs and the runners that are gone; GitHub changes nothing.

Exit codes: 0 removed, 1 refused (runners or pools are left), 2 wrong arguments, 3 no such scope,
5 database. JSON: `{"scope", "changed"}`.
"""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandParser

from runners import scopes, wiring
from runners.management import cli


class Command(BaseCommand):
    help = "Forget a scope that has no runners and no pools any more."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("scope", metavar="SCOPE")
        cli.add_reason(parser)
        cli.add_json(parser)

    def handle(self, *, scope: str, reason: str, json: bool, **options: object) -> None:
        with cli.exit_codes():
            found = cli.find_scope(scope)
            scopes.remove_scope(found, by=cli.actor(), reason=reason, now=wiring.now())
        cli.say(self, json, {"scope": found.slug, "changed": True}, [f"{found.slug} is removed"])

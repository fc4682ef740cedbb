"""Admit runners again after `quiesce`.

Exit codes: 0 done (or was open already), 2 wrong arguments, 5 database.
JSON: `{"quiesced", "changed"}`.
"""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandParser

from runners import fleet, wiring
from runners.management import cli


class Command(BaseCommand):
    help = "Let a quiesced fleet start runners again."

    def add_arguments(self, parser: CommandParser) -> None:
        cli.add_reason(parser)
        cli.add_json(parser)

    def handle(self, *, reason: str, json: bool, **options: object) -> None:
        with cli.exit_codes():
            event = fleet.resume(by=cli.actor(), reason=reason, now=wiring.now())
        changed = event is not None
        line = "Runners start again" if changed else "The fleet was not quiesced"
        cli.say(self, json, {"quiesced": False, "changed": changed}, [line])

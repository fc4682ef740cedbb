"""Admit no new runner anywhere; jobs and runners that are up go on.

Exit codes: 0 done (or was already), 1 refused, 2 wrong arguments, 5 database.
JSON: `{"quiesced", "changed"}`.
"""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandParser

from runners import fleet, wiring
from runners.management import cli


class Command(BaseCommand):
    help = "Quiesce the fleet: no new runner starts, jobs go on; `resume` opens it again."

    def add_arguments(self, parser: CommandParser) -> None:
        cli.add_reason(parser, required=True)
        cli.add_json(parser)

    def handle(self, *, reason: str, json: bool, **options: object) -> None:
        with cli.exit_codes():
            event = fleet.quiesce(by=cli.actor(), reason=reason, now=wiring.now())
        changed = event is not None
        line = "No new runner starts; jobs go on" if changed else "The fleet was quiesced already"
        cli.say(self, json, {"quiesced": True, "changed": changed}, [line])

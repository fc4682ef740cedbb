"""Free local capacity that nobody uses any more, and start the replacements that are due.

Slots still held by closed runners, leases of processes that are gone. It never touches the queue,
a job or a live runner, so it may be run at any time.

Exit codes: 0 done, 2 wrong arguments, 5 database.
JSON: `{"slots_freed": [runner], "leases_freed": [name], "replaced": [runner], "held_back": [why]}`.
"""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandParser

from runners import recovery, wiring
from runners.management import cli


class Command(BaseCommand):
    help = "Free leaked slots and leases and start due replacements; touches no job."

    def add_arguments(self, parser: CommandParser) -> None:
        cli.add_json(parser)

    def handle(self, *, json: bool, **options: object) -> None:
        with cli.exit_codes():
            done = recovery.recover(now=wiring.now(), by=cli.actor())
        replaced = [runner.name for runner in done.replaced.started]
        data = {
            "slots_freed": list(done.slots_freed),
            "leases_freed": list(done.leases_freed),
            "replaced": replaced,
            "held_back": list(done.replaced.held_back),
        }
        lines = [
            *(f"Freed the slot of {name}, which was removed" for name in done.slots_freed),
            *(f"Freed the lease {name}" for name in done.leases_freed),
            *(f"Started {name} in the place of a failed runner" for name in replaced),
            *(f"Waits: {why}" for why in done.replaced.held_back),
        ]
        cli.say(self, json, data, lines or ["Nothing was leaked, nothing is due"])

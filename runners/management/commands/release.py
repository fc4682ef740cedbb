"""Let out of quarantine or back-off: a runner is started anew, a host or pool gets runners again.

Exit codes: 0 done (or nothing held it), 2 wrong arguments, 3 no such thing, 5 database.
JSON: `{"kind", "name", "changed"}`.
"""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandParser

from runners import recovery, wiring
from runners.management import cli

KINDS = ("runner", "host", "pool")


class Command(BaseCommand):
    help = "Release a runner, host or pool from quarantine or back-off."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind", choices=KINDS)
        parser.add_argument("name", metavar="NAME")
        cli.add_reason(parser)
        cli.add_json(parser)

    def handle(self, *, kind: str, name: str, reason: str, json: bool, **options: object) -> None:
        by, now = cli.actor(), wiring.now()
        with cli.exit_codes():
            if kind == "runner":
                (runner,) = cli.find_runners([name])
                event = recovery.release_runner(runner, by=by, reason=reason, now=now)
            elif kind == "host":
                event = recovery.release_host(cli.find_host(name), by=by, reason=reason, now=now)
            else:
                event = recovery.release_pool(cli.find_pool(name), by=by, reason=reason, now=now)
        changed = event is not None
        line = f"{name} is released" if changed else f"{name} was not held: nothing changed"
        cli.say(self, json, {"kind": kind, "name": name, "changed": changed}, [line])

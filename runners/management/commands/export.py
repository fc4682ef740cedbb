"""Write the fleet's pools, hosts and reserve as a file that `apply` takes.

Exit codes: 0 done, 1 refused, 5 database. JSON: `{"toml"}`.
"""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandParser

from runners import fleet_file
from runners.management import cli


class Command(BaseCommand):
    help = "Write the fleet as a file for `apply`."

    def add_arguments(self, parser: CommandParser) -> None:
        cli.add_json(parser)

    def handle(self, *, json: bool, **options: object) -> None:
        with cli.exit_codes():
            text = fleet_file.export()
        cli.say(self, json, {"toml": text}, [text.rstrip("\n")])

"""Encrypt every stored secret anew with the first FLEET_SECRET_KEY.

To change the key: put the new one in front (`FLEET_SECRET_KEY=new,old`), restart, run this, then
drop the old one. Exit codes: 0 done, 1 a secret can't be read with any key, 2 wrong arguments,
5 database. JSON: `{"rewritten": n}`. All or nothing.
"""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandParser

from runners import credentials, wiring
from runners.management import cli


class Command(BaseCommand):
    help = "Encrypt every stored secret with the first key of FLEET_SECRET_KEY."

    def add_arguments(self, parser: CommandParser) -> None:
        cli.add_json(parser)

    def handle(self, *, json: bool, **options: object) -> None:
        with cli.exit_codes():
            count = credentials.rotate_encryption(
                vault=wiring.vault(), by=cli.actor(), now=wiring.now()
            )
        cli.say(self, json, {"rewritten": count}, [f"{count} secrets are encrypted anew"])

"""Make a one-time code that lets one machine enrol as a host, and print the line to run on it.

Exit codes: 0 made, 1 refused, 2 wrong arguments, 5 database. JSON: `{"code", "expires_at",
"command"}`. Each run makes another code; one that is not used simply runs out.
"""

from __future__ import annotations

import shlex

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from runners import enrolment, wiring
from runners.management import cli


class Command(BaseCommand):
    help = "Print a one-time code, good for minutes, and the command for the new host."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--site", default="", help="site or region of the host")
        parser.add_argument(
            "--slots",
            type=cli.between(1, enrolment.SLOTS_LIMIT),
            help="runners it may run at once; without it, by its cores and memory",
        )
        parser.add_argument(
            "--minutes",
            type=cli.between(1, 1440),
            default=settings.FLEET_ENROLMENT_MINUTES,
            help="how long the code is good for",
        )
        cli.add_json(parser)

    def handle(
        self, *, site: str, slots: int | None, minutes: int, json: bool, **options: object
    ) -> None:
        with cli.exit_codes():
            code, token = enrolment.issue_code(
                by=cli.actor(), now=wiring.now(), minutes=minutes, site=site, slots=slots
            )
        # The code travels in the environment: arguments can be read by everyone on the host.
        command = (
            f"FLEET_ENROLMENT_CODE={token.text} "
            f"fleet-agent join --server {shlex.quote(settings.FLEET_BASE_URL)}"
        )
        cli.say(
            self,
            json,
            {"code": token.text, "expires_at": code.expires_at, "command": command},
            [
                f"Good once, until {code.expires_at:%Y-%m-%d %H:%M} UTC. Run on the new host:",
                "",
                f"  {command}",
            ],
        )

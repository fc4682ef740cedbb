"""Cordon a host and drain every runner on it, for maintenance.

Exit codes: 0 done (or was already), 1 refused, 2 wrong arguments, 3 no such host, 5 database.
JSON: `{"host", "draining": [runner names]}`, the runners told to drain by this call.
"""

from __future__ import annotations

from datetime import timedelta

from django.core.management.base import BaseCommand, CommandParser

from runners import enrolment, wiring
from runners.management import cli


class Command(BaseCommand):
    help = "Cordon a host and drain every runner on it; `uncordon` opens it again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("host", metavar="HOST")
        parser.add_argument(
            "--deadline-minutes",
            type=cli.between(1, 7 * 24 * 60),
            help="after so long runners are ended even if their job is not done",
        )
        cli.add_reason(parser)
        cli.add_json(parser)

    def handle(
        self,
        *,
        host: str,
        deadline_minutes: int | None,
        reason: str,
        json: bool,
        **options: object,
    ) -> None:
        now = wiring.now()
        deadline = now + timedelta(minutes=deadline_minutes) if deadline_minutes else None
        with cli.exit_codes():
            row = cli.find_host(host)
            drained = enrolment.drain_host(
                row, by=cli.actor(), reason=reason, now=now, deadline_at=deadline
            )
            names = [runner.name for runner in drained]
            lines = [f"{row.name} is cordoned", *(f"{name}: drains" for name in names)]
            cli.say(self, json, {"host": row.name, "draining": names}, lines)

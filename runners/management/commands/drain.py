"""Let runners finish their job and take no other; then they leave GitHub and their host.

Exit codes: 0 draining (or was already), 1 refused, 2 wrong arguments, 3 no such runner,
5 database. JSON: `{"runners": [{"id", "name", "state", "changed", "error"}]}`.
"""

from __future__ import annotations

from datetime import timedelta

from django.core.management.base import BaseCommand, CommandParser

from runners import lifecycle, wiring
from runners.management import cli
from runners.models import Runner
from runners.states import SERVING, RunnerState

ON_ITS_WAY_OUT = (RunnerState.REMOVING, RunnerState.REMOVED)


class Command(BaseCommand):
    help = "Drain runners: each finishes its job, takes no other, and is then deregistered."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("runners", nargs="+", metavar="RUNNER", help="name or id")
        parser.add_argument(
            "--deadline-minutes",
            type=cli.between(1, 7 * 24 * 60),
            help="after so long the runner is ended even if its job is not done",
        )
        parser.add_argument("--stop", action="store_true", help="give draining runners work again")
        cli.add_reason(parser)
        cli.add_json(parser)

    def handle(
        self,
        *,
        runners: list[str],
        deadline_minutes: int | None,
        stop: bool,
        reason: str,
        json: bool,
        **options: object,
    ) -> None:
        now, by = wiring.now(), cli.actor()
        deadline = now + timedelta(minutes=deadline_minutes) if deadline_minutes else None

        def drain(runner: Runner) -> bool:
            if runner.state in ON_ITS_WAY_OUT:
                return False
            if runner.state == RunnerState.DRAINING and deadline is None:
                return False
            lifecycle.drain(runner, by=by, reason=reason, now=now, deadline_at=deadline)
            return True

        def give_back(runner: Runner) -> bool:
            if runner.state in SERVING:
                return False
            lifecycle.stop_drain(runner, by=by, reason=reason, now=now)
            return True

        with cli.exit_codes():
            cli.act_on_each(
                self,
                cli.find_runners(runners),
                give_back if stop else drain,
                as_json=json,
                done="takes work again" if stop else "drains",
            )

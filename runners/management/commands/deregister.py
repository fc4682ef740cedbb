"""Take runners out of service: deleted at GitHub first, then stopped and wiped on their host.

Exit codes: 0 on its way out (or was already), 1 refused, 2 wrong arguments, 3 no such runner,
5 database. JSON: `{"runners": [{"id", "name", "state", "changed", "error"}]}`.
"""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandParser

from runners import lifecycle, wiring
from runners.management import cli
from runners.models import Runner
from runners.states import RunnerState

ON_ITS_WAY_OUT = (RunnerState.DRAINING, RunnerState.REMOVING, RunnerState.REMOVED)


class Command(BaseCommand):
    help = "Deregister runners; one that works finishes its job first, unless forced."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("runners", nargs="+", metavar="RUNNER", help="name or id")
        parser.add_argument(
            "--force", action="store_true", help="end the process now; a job on it fails"
        )
        cli.add_reason(parser)
        cli.add_json(parser)

    def handle(
        self, *, runners: list[str], force: bool, reason: str, json: bool, **options: object
    ) -> None:
        now, by = wiring.now(), cli.actor()

        def deregister(runner: Runner) -> bool:
            over = runner.state == RunnerState.REMOVED or runner.force
            if over or (not force and runner.state in ON_ITS_WAY_OUT):
                return False
            lifecycle.deregister(runner, by=by, reason=reason, now=now, force=force)
            return True

        with cli.exit_codes():
            cli.act_on_each(
                self,
                cli.find_runners(runners),
                deregister,
                as_json=json,
                done="is taken out now" if force else "leaves when its job is done",
            )

"""Run everything one machine needs: web, worker and loop.

Exit codes: 0 stopped by Ctrl-C or SIGTERM, 1 the port is taken, 5 the database does not answer,
78 a setting does not fit (an address in FLEET_BIND that this machine does not have is one). Nothing
was started then.
"""

from __future__ import annotations

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import connections

from runners import members, wiring
from runners.audit import Actor
from runners.management.cli import prepare_database
from runners.management.listening import require_web_port
from runners.programs import management_command
from runners.supervisor import Supervisor

STEP_SECONDS = 5.0


class Command(BaseCommand):
    help = "Run web, worker and loop together; one Ctrl-C ends them all."

    def handle(self, *args: object, **options: object) -> None:
        require_web_port()
        prepare_database()
        with Supervisor(self._print) as supervisor:
            for name in ("web", "worker", "loop"):
                supervisor.start(
                    management_command(
                        f"fleet_{name}",
                        "--skip-checks",
                        program=name,
                        # The worker first waits for its tasks and then ends its own tree.
                        stop_seconds=settings.FLEET_STOP_SECONDS + 5,
                    )
                )
            self._print(f"Fleetui: {settings.FLEET_BASE_URL}\n")
            self._welcome()
            while not supervisor.stopping:
                supervisor.step(STEP_SECONDS)
            self._print("Stopping\n")
        raise SystemExit(supervisor.exit_code)

    def _welcome(self) -> None:
        """Print the link to the first account, as long as nobody can sign in without it."""
        admin = members.first_admin(by=Actor.system("fleet_up"), now=wiring.now())
        connections.close_all()
        if admin is not None:
            link = members.password_link(admin)
            self._print(f"First account: {admin.username}. Set its password here: {link}\n")

    def _print(self, text: str) -> None:
        self.stdout.write(text, ending="")
        self.stdout.flush()

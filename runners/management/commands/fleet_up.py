"""Run everything one machine needs: web, worker and loop."""

from __future__ import annotations

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

from runners.programs import management_command
from runners.supervisor import Supervisor

STEP_SECONDS = 5.0


class Command(BaseCommand):
    help = "Run web, worker and loop together; one Ctrl-C ends them all."

    def handle(self, *args: object, **options: object) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        call_command("setup_schedules", verbosity=0)
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
            while not supervisor.stopping:
                supervisor.step(STEP_SECONDS)
            self._print("Stopping\n")
        raise SystemExit(supervisor.exit_code)

    def _print(self, text: str) -> None:
        self.stdout.write(text, ending="")
        self.stdout.flush()

"""Run a pass now: GitHub's list of runners against ours, in the foreground.

Exit codes: 0 done, 1 another pass is under way, 2 wrong arguments, 3 no such scope, 4 GitHub could
not be asked, 5 database. JSON: `{"scopes": [{"scope", "listed", "complete", "foreign", "moved",
"deleted", "error"}]}`.
"""

from __future__ import annotations

from dataclasses import asdict

from django.core.management.base import BaseCommand, CommandError, CommandParser

from runners import leases, reconcile, wiring
from runners.errors import StaleState
from runners.management import cli
from runners.models import Scope
from runners.reconcile import Summary


class Command(BaseCommand):
    help = "Compare GitHub's runners with ours now, and move each one step towards what is wanted."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--scope", default="", help="slug or address; without it, every scope")
        cli.add_json(parser)

    def handle(self, *, scope: str, json: bool, **options: object) -> None:
        with cli.exit_codes():
            scopes = (
                [cli.find_scope(scope)]
                if scope
                else list(Scope.objects.select_related("credential"))
            )
            done = [(each, _reconcile(each)) for each in scopes]
        rows = [{"scope": each.slug, **asdict(summary)} for each, summary in done]
        lines = [f"{each.slug}: {summary}" for each, summary in done]
        cli.say(self, json, {"scopes": rows}, lines or ["There is no scope yet"])
        errors = [f"{each.slug}: {summary.error}" for each, summary in done if summary.error]
        if errors:
            raise CommandError(" ".join(errors), returncode=cli.ExitCode.GITHUB)


def _reconcile(scope: Scope) -> Summary:
    """One pass, alone. Raises StaleState while another process is at it."""
    now = wiring.now()
    lease, owner = reconcile.lease_name(scope.pk), leases.this_process()
    if not leases.acquire(lease, owner, reconcile.LEASE_SECONDS, now):
        raise StaleState(
            f"Another pass over {scope.slug} is under way; try again in a few seconds."
        )
    try:
        with wiring.github_client(scope) as github:
            return reconcile.reconcile_scope(
                scope, github=github, deadlines=wiring.deadlines(), now=now
            )
    finally:
        leases.release(lease, owner)

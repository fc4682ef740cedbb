"""Check the whole installation: each check with what was seen and its fix.

Exit codes: 0 nothing is bad (warnings are said), 1 something is bad, 2 wrong arguments. A database
that does not answer is a finding. JSON: `{"worst", "checks": [{"name", "verdict", "seen",
"fix"}]}`; a verdict is ok, unknown, warn or bad.
"""

from __future__ import annotations

from dataclasses import asdict

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from runners import doctor, wiring
from runners.doctor import Finding, Verdict, webhooks
from runners.errors import FleetError
from runners.management import cli
from runners.models import Scope
from runners.surroundings import surroundings


class Command(BaseCommand):
    help = "Check everything this installation needs, and say how to mend what is wrong."
    # They are one of the findings
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--offline", action="store_true", help="ask GitHub nothing")
        cli.add_json(parser)

    def handle(self, *, offline: bool, json: bool, **options: object) -> None:
        findings = doctor.examine(surroundings(), now=wiring.now())
        if not offline:
            findings += _deliveries()
        worst = doctor.worst(findings)
        data = {"worst": worst.value, "checks": [asdict(each) for each in findings]}
        cli.say(self, json, data, _lines(findings))
        if worst is Verdict.BAD:
            bad = [each.name for each in findings if each.verdict is Verdict.BAD]
            raise CommandError(f"Bad: {', '.join(bad)}.", returncode=cli.ExitCode.REFUSED)


def _deliveries() -> list[Finding]:
    try:
        scopes = list(Scope.objects.select_related("credential").order_by("slug"))
    except DatabaseError:
        return []  # said already
    found = []
    for scope in scopes:
        try:
            with wiring.github_client(scope) as github:
                found.append(
                    webhooks.deliveries(scope, github=github, base_url=settings.FLEET_BASE_URL)
                )
        except FleetError as error:  # a secret that no key opens
            found.append(Finding(f"deliveries {scope.slug}", Verdict.BAD, error.user_message))
    return found


def _lines(findings: list[Finding]) -> list[str]:
    width = max(len(each.name) for each in findings)
    lines = []
    for each in findings:
        lines.append(f"{each.verdict.upper():<8} {each.name:<{width}}  {each.seen}")
        if each.fix:
            lines.append(f"{'':<8} {'':<{width}}  Fix: {each.fix}")
    return lines

"""Say how a scope's jobs are learned: webhook, polling, both, or as the installation.

Without `--set` it only tells. Exit codes: 0 done (or was already so), 2 wrong arguments, 3 no such
scope, 5 database. JSON: `{"scope", "chosen", "in_force", "as_of", "problem", "changed"}`; `chosen`
is "" for as the installation.
"""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandParser

from runners import job_picture, scopes, wiring
from runners.job_sources import JobSource
from runners.management import cli

INSTALLATION = "installation"


class Command(BaseCommand):
    help = "Tell or choose how a scope's jobs are learned."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("scope", metavar="SCOPE")
        choices = [*(source.value for source in JobSource), INSTALLATION]
        parser.add_argument("--set", dest="source", choices=choices, help="from now on")
        cli.add_json(parser)

    def handle(self, *, scope: str, source: str | None, json: bool, **options: object) -> None:
        with cli.exit_codes():
            found, now, changed = cli.find_scope(scope), wiring.now(), False
            if source is not None:
                chosen = "" if source == INSTALLATION else source
                event = scopes.set_job_source(found, chosen, by=cli.actor(), now=now)
                changed = event is not None
            pictures = job_picture.pictures(source_of=wiring.job_source, now=now)
            picture = next(each for each in pictures if each.scope == found)
        data = {
            "scope": found.slug,
            "chosen": found.job_source,
            "in_force": picture.source.value,
            "as_of": picture.as_of,
            "problem": picture.problem,
            "changed": changed,
        }
        as_of = f"{picture.as_of:%Y-%m-%d %H:%M:%S} UTC" if picture.as_of else "never"
        lines = [f"{found.slug}: jobs by {picture.words}, as of {as_of}"]
        cli.say(self, json, data, [*lines, *filter(None, [picture.problem])])

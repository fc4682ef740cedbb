"""List the runner groups a scope may use, or choose the one that its new runners join.

Exit codes: 0 done (or was so already), 1 refused, 2 wrong arguments, 3 no such scope, 4 GitHub
could not be asked, 5 database. JSON: `{"scope", "group", "groups", "changed"}`, a group being
`{"id", "name"}`.
"""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandParser

from runners import scopes, wiring
from runners.management import cli


class Command(BaseCommand):
    help = "List GitHub's runner groups for a scope, or choose one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("scope", metavar="SCOPE")
        parser.add_argument("--choose", metavar="NAME", default="", help="a group's name or id")
        cli.add_json(parser)

    def handle(self, *, scope: str, choose: str, json: bool, **options: object) -> None:
        with cli.exit_codes():
            found = cli.find_scope(scope)
            with wiring.github_client(found) as github:
                choice = scopes.runner_groups(found, github=github)
            changed = False
            if choose:
                group = cli.find_runner_group(found, choice, choose)
                event = scopes.set_runner_group(found, *group, by=cli.actor(), now=wiring.now())
                changed = event is not None
        groups = [{"id": number, "name": name} for number, name in choice.groups]
        chosen = {"id": found.runner_group_id, "name": found.runner_group_name}
        data = {"scope": found.slug, "group": chosen, "groups": groups, "changed": changed}
        lines = [
            f"{'*' if number == found.runner_group_id else ' '} {name} (#{number})"
            for number, name in choice.groups
        ]
        cli.say(self, json, data, [*lines, *([choice.problem] if choice.problem else [])])

"""Add a repository, organization or enterprise whose runners this fleet keeps.

Exit codes: 0 added (or was already, with this credential), 1 refused, 2 wrong arguments, 3 no such
credential, 5 database. JSON: `{"scope", "kind", "url", "credential", "changed"}`.
"""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandParser

from runners import scopes, wiring
from runners.management import cli
from runners.models import Scope


class Command(BaseCommand):
    help = "Add a scope by its address, such as https://github.com/acme."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("url", metavar="URL")
        parser.add_argument("--credential", required=True, metavar="NAME")
        parser.add_argument("--runner-group-id", type=cli.between(1, 2**53), default=1)
        parser.add_argument("--runner-group-name", default="Default")
        cli.add_json(parser)

    def handle(
        self,
        *,
        url: str,
        credential: str,
        runner_group_id: int,
        runner_group_name: str,
        json: bool,
        **options: object,
    ) -> None:
        with cli.exit_codes():
            owner = cli.find_credential(credential)
            known = Scope.objects.filter(
                web_url__iexact=scopes.read_web_url(url)[1], credential=owner
            ).first()
            scope = known or scopes.add_scope(
                url,
                credential=owner,
                by=cli.actor(),
                now=wiring.now(),
                runner_group_id=runner_group_id,
                runner_group_name=runner_group_name,
            )
        cli.say(
            self,
            json,
            {
                "scope": scope.slug,
                "kind": scope.kind,
                "url": scope.web_url,
                "credential": owner.name,
                "changed": known is None,
            },
            [f"{scope.slug} {'was there already' if known else 'is added'}: {scope.web_url}"],
        )

"""Store a credential for GitHub, encrypted. The secret comes by standard input or from a file.

Exit codes: 0 stored, 1 refused (unusable, or the name is taken: `--replace` puts a new secret in),
2 wrong arguments, 3 `--replace` of a credential that is not there, 5 database.
JSON: `{"credential", "kind", "changed"}`.
"""

from __future__ import annotations

from argparse import SUPPRESS
from datetime import date
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from runners import credentials, wiring
from runners.github.redact import redact
from runners.github.urls import GITHUB_API
from runners.management import cli
from runners.models import Credential


class Command(BaseCommand):
    help = "Store a token or a GitHub App's private key, read from standard input or --secret-file."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME")
        # Taken so that the refusal can say why, and does not repeat it
        parser.add_argument("secrets", nargs="*", help=SUPPRESS)
        parser.add_argument("--kind", choices=Credential.Kind.values, default=Credential.Kind.TOKEN)
        parser.add_argument(
            "--secret-file", type=Path, help="file with the token or the App's .pem file"
        )
        parser.add_argument("--api-url", default=GITHUB_API, help="https://HOST/api/v3 for GHES")
        parser.add_argument("--app-id", default="", help="client ID (or App ID) of the GitHub App")
        parser.add_argument("--installation-id", type=cli.between(1, 2**53))
        parser.add_argument("--replace", action="store_true", help="new secret, same credential")
        parser.add_argument(
            "--replace-by",
            type=date.fromisoformat,
            metavar="YYYY-MM-DD",
            help="when an App's key is due to be replaced, by your own rule",
        )
        cli.add_json(parser)

    def handle(
        self,
        *,
        name: str,
        secrets: list[str],
        kind: str,
        secret_file: Path | None,
        api_url: str,
        app_id: str,
        installation_id: int | None,
        replace: bool,
        replace_by: date | None,
        json: bool,
        **options: object,
    ) -> None:
        if secrets or redact(name) != name:
            raise CommandError(
                "A secret on the command line can be read by everyone on this machine: pass it on "
                "standard input or with --secret-file. If that was one, make a new one.",
                returncode=cli.ExitCode.USAGE,
            )
        with cli.exit_codes(), transaction.atomic():
            known = cli.find_credential(name) if replace else None
            secret = cli.read_secret(secret_file, f"Secret of {name}: ")
            now, vault, by = wiring.now(), wiring.vault(), cli.actor()
            if known is not None:
                credentials.replace_secret(known, secret, vault=vault, by=by, now=now)
                credential = known
            else:
                new = credentials.NewCredential(
                    name=name,
                    kind=Credential.Kind(kind),
                    secret=secret,
                    api_url=api_url,
                    app_id=app_id,
                    installation_id=installation_id,
                )
                credential = credentials.create(new, vault=vault, by=by, now=now)
            if replace_by is not None:
                credentials.set_replace_by(credential, replace_by, by=by, now=now)
        cli.say(
            self,
            json,
            {"credential": credential.name, "kind": credential.kind, "changed": True},
            [f"{credential.name} is stored ({credential.secret_hint})"],
        )

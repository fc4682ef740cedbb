"""Set, replace or take away the secret that GitHub signs a scope's webhook deliveries with.

Without a file or pipe to read one from, a secret is made and printed, this once.
Exit codes: 0 done, 1 refused, 2 wrong arguments, 3 no such scope, 5 database.
JSON: `{"scope", "url", "secret", "changed"}`; `secret` is null unless it was made now.
"""

from __future__ import annotations

from pathlib import Path

from django.core.management.base import BaseCommand, CommandParser

from runners import scopes, wiring
from runners.management import cli


class Command(BaseCommand):
    help = "Make, set or remove a scope's webhook secret."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("scope", metavar="SCOPE")
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--secret-file", type=Path, help="take the secret from here")
        what.add_argument(
            "--forget-previous", action="store_true", help="take the one before no longer"
        )
        what.add_argument("--remove", action="store_true", help="take no deliveries any more")
        cli.add_json(parser)

    def handle(
        self,
        *,
        scope: str,
        secret_file: Path | None,
        forget_previous: bool,
        remove: bool,
        json: bool,
        **options: object,
    ) -> None:
        with cli.exit_codes():
            found = cli.find_scope(scope)
            by, now, vault = cli.actor(), wiring.now(), wiring.vault()
            secret, changed = None, True
            if remove:
                changed = scopes.remove_webhook_secret(found, by=by, now=now) is not None
            elif forget_previous:
                done = scopes.forget_previous_webhook_secret(found, by=by, now=now)
                changed = done is not None
            elif secret_file is not None:
                given = cli.read_secret(secret_file, "Webhook secret: ")
                scopes.set_webhook_secret(found, given, vault=vault, by=by, now=now)
            else:
                secret = scopes.make_webhook_secret(found, vault=vault, by=by, now=now)
        url = wiring.webhook_address(found)
        data = {"scope": found.slug, "url": url, "secret": secret, "changed": changed}
        if remove:
            lines = [f"{found.slug} takes no deliveries"]
        elif forget_previous:
            lines = [f"{found.slug} takes deliveries signed with the present secret alone"]
        else:
            lines = [f"{found.slug} takes deliveries at {url}, event workflow_job"]
        if secret is not None:
            lines.append(f"Secret, shown this once: {secret}")
        cli.say(self, json, data, lines)

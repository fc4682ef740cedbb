"""Make a person who may sign in, or give one another role or password.

The password comes by standard input, from a file or typed unseen, never from the arguments.
Exit codes: 0 done, 1 refused (weak password, unusable name), 2 wrong arguments, 5 database.
JSON: `{"user", "role", "changed"}`. Run again without a password, only the role is set.
"""

from __future__ import annotations

from pathlib import Path

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from runners import members, wiring
from runners.access import Role
from runners.management import cli


class Command(BaseCommand):
    help = "Make a user with a role, or change an existing one's."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME")
        parser.add_argument("--role", choices=[role.value for role in Role], default=Role.VIEWER)
        parser.add_argument("--email", default="")
        parser.add_argument("--password-file", type=Path)
        parser.add_argument(
            "--keep-password", action="store_true", help="change only the role of a known user"
        )
        cli.add_json(parser)

    def handle(
        self,
        *,
        name: str,
        role: str,
        email: str,
        password_file: Path | None,
        keep_password: bool,
        json: bool,
        **options: object,
    ) -> None:
        with cli.exit_codes():
            known = User.objects.filter(username=name).first()
            if known is None and keep_password:
                raise cli.not_found("user", name, "Leave --keep-password out to make one.")
            password = ""
            if not keep_password:
                password = cli.read_secret(password_file, f"Password of {name}: ")
            changed = _save(known, name, email, Role(role), password)
        line = f"{name} is {role}" if changed else f"{name} was {role} already"
        cli.say(self, json, {"user": name, "role": role, "changed": changed}, [line])


def _save(known: User | None, name: str, email: str, role: Role, password: str) -> bool:
    """Store what changed, all or none; False when nothing did."""
    by, now = cli.actor(), wiring.now()
    with transaction.atomic():
        user = known or members.create(name, email, role, by=by, now=now)
        changes: list[object] = [known is None]
        if email:
            changes.append(members.set_email(user, email, by=by, now=now))
        if password:
            changes.append(members.set_password(user, password, by=by, now=now))
        changes.append(members.set_role(user, role, by=by, now=now))
    return any(changes)

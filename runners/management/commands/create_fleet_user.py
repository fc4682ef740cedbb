"""Make a person who may sign in, or give one another role or password.

The password comes by standard input, from a file or typed unseen, never from the arguments.
Exit codes: 0 done, 1 refused (weak password, unusable name), 2 wrong arguments, 5 database.
JSON: `{"user", "role", "changed"}`. Run again without a password, only the role is set.
"""

from __future__ import annotations

from pathlib import Path

from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from runners import audit, wiring
from runners.access import Role, grant_role, role_of
from runners.errors import InvalidRequest
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
            user = known or User(username=name)
            user.email = email or user.email
            _check(user, password)
            changed = _save(user, Role(role), password, new=known is None)
        line = f"{name} is {role}" if changed else f"{name} was {role} already"
        cli.say(self, json, {"user": name, "role": role, "changed": changed}, [line])


def _check(user: User, password: str) -> None:
    """Raises InvalidRequest in Django's words, which never repeat the password."""
    try:
        user.full_clean(exclude=["password"])
        if password:
            validate_password(password, user)
    except ValidationError as error:
        raise InvalidRequest(" ".join(error.messages)) from error


def _save(user: User, role: Role, password: str, *, new: bool) -> bool:
    """Store what changed, with its event; False when nothing did."""
    was = "" if new else (role_of(user) or "")
    if not password and was == role and not new:
        return False
    with transaction.atomic():
        if password:
            user.set_password(password)
        user.save()
        grant_role(user, role)
        audit.record(
            user,
            "user.create" if new else "user.change",
            by=cli.actor(),
            at=wiring.now(),
            was=was,
            became=role,
            detail={"password": bool(password)},
        )
    return True

"""What the management commands share: exit codes, who acts, finding things by name, text or JSON.

Interface code: it finds rows and says what came of a call. It decides nothing about the fleet.

Exit codes of every command here: 0 done · 1 refused, or (`--check`) something is wrong ·
2 wrong arguments (argparse) · 3 no such host, runner, scope, pool or credential · 4 GitHub could
not be asked or refused · 5 the database does not answer or lacks its tables.
"""

from __future__ import annotations

import getpass
import json
import os
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import Final

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import InterfaceError, OperationalError, ProgrammingError

from runners.audit import Actor
from runners.errors import FleetError
from runners.github.errors import GitHubError
from runners.models import Credential, Event, Host, Pool, Runner, Scope
from runners.scopes import GroupChoice
from runners.states import RunnerState

SECRET_LIMIT_CHARACTERS = 64 * 1024
DATABASE_AWAY: Final = (OperationalError, ProgrammingError, InterfaceError)
"""What the database raises while it does not answer, or lacks its tables."""


class ExitCode(IntEnum):
    """What a command's exit status means."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    NOT_FOUND = 3
    GITHUB = 4
    DATABASE = 5


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn what the domain, GitHub and the database refuse into one line and an exit code."""
    try:
        yield
    except FleetError as error:
        raise CommandError(error.user_message, returncode=ExitCode.REFUSED) from error
    except GitHubError as error:
        raise CommandError(error.user_message, returncode=ExitCode.GITHUB) from error
    except DATABASE_AWAY as error:
        raise CommandError(
            f"The database does not answer as it should: {in_one_line(error)}. Is it running, "
            "and was `manage.py migrate` run?",
            returncode=ExitCode.DATABASE,
        ) from error


def in_one_line(error: Exception) -> str:
    """What an error says, in one line of a log: a database that is away is no bug of ours."""
    return " ".join(str(error).split())


def prepare_database() -> None:
    """Bring tables and schedules up to date. Raises CommandError when the database can't be had."""
    with exit_codes():
        call_command("migrate", interactive=False, verbosity=0)
        call_command("setup_schedules", verbosity=0)


def actor() -> Actor:
    """The person at the command line, by the name the operating system has for them."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in many containers
        name = f"uid {os.getuid()}"
    return Actor(Event.ActorKind.COMMAND, name)


def add_json(parser: CommandParser) -> None:
    """Accept `--json`."""
    parser.add_argument("--json", action="store_true", help="one JSON object, for programs")


def add_reason(parser: CommandParser, *, required: bool = False) -> None:
    """Accept `--reason`."""
    parser.add_argument(
        "--reason",
        required=required,
        default="",
        help="kept with the event, for whoever reads it later",
    )


def between(low: int, high: int) -> Callable[[str], int]:
    """An argument type: a whole number from `low` to `high`."""

    def number(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
        return int(text)

    return number


def say(
    command: BaseCommand, as_json: bool, data: Mapping[str, object], lines: Sequence[str]
) -> None:
    """Write `data` as JSON, or `lines` for a person."""
    if as_json:
        command.stdout.write(json.dumps(data, indent=2, default=_plain))
    else:
        command.stdout.write("\n".join(lines))


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def not_found(what: str, name: str, hint: str) -> CommandError:
    """There is no such thing; `hint` says where to look."""
    return CommandError(f"There is no {what} {name!r}. {hint}", returncode=ExitCode.NOT_FOUND)


def find_host(name: str) -> Host:
    """The host of this name, retired ones included."""
    host = Host.objects.filter(name=name).first()
    if host is None:
        raise not_found("host", name, "`fleet_status` lists them.")
    return host


def find_runner_group(scope: Scope, choice: GroupChoice, wish: str) -> tuple[int, str]:
    """The (id, name) of the group with this name or number among those GitHub shows."""
    for number, name in choice.groups:
        if wish in (name, str(number)):
            return number, name
    names = ", ".join(name for _, name in choice.groups)
    raise CommandError(
        f"{scope.slug} has no runner group {wish!r}; it has {names}. {choice.problem}".strip(),
        returncode=ExitCode.GITHUB if choice.problem else ExitCode.REFUSED,
    )


def find_scope(text: str) -> Scope:
    """The scope of this slug or web address; a slug that two installations share is refused."""
    scopes = list(
        Scope.objects.select_related("credential").filter(slug__iexact=text)
        or Scope.objects.select_related("credential").filter(web_url__iexact=text.rstrip("/"))
    )
    if len(scopes) > 1:
        addresses = ", ".join(scope.web_url for scope in scopes)
        raise CommandError(
            f"Several scopes are called {text!r}: give the address, one of {addresses}.",
            returncode=ExitCode.REFUSED,
        )
    if not scopes:
        raise not_found("scope", text, "Add it with `add_scope`.")
    return scopes[0]


def find_pool(name: str) -> Pool:
    """The pool of this name."""
    pool = Pool.objects.select_related("scope__credential").filter(name=name).first()
    if pool is None:
        raise not_found("pool", name, "`fleet_status` lists them.")
    return pool


def find_credential(name: str) -> Credential:
    """The credential of this name."""
    credential = Credential.objects.filter(name=name).first()
    if credential is None:
        raise not_found("credential", name, "Add it with `add_credential`.")
    return credential


def find_runners(names: Sequence[str]) -> list[Runner]:
    """The runners of these names or ids, each once; nothing is done when one is missing.

    A name means the runner that is not removed, or the last removed one; two scopes with the same
    name need the id.
    """
    found: dict[int, Runner] = {}
    for name in names:
        runner = _find_runner(name)
        found[runner.pk] = runner
    return list(found.values())


def _find_runner(name: str) -> Runner:
    rows = Runner.objects.select_related("host", "scope").filter(name=name)
    current = list(rows.exclude(state=RunnerState.REMOVED))
    if len(current) > 1:
        ids = ", ".join(f"{runner.pk} ({runner.scope.slug})" for runner in current)
        raise CommandError(
            f"Several runners are called {name!r}: give the id, one of {ids}.",
            returncode=ExitCode.REFUSED,
        )
    runner = current[0] if current else rows.order_by("-created_at").first()
    if runner is None and name.isascii() and name.isdigit() and len(name) < 19:
        runner = Runner.objects.select_related("host", "scope").filter(pk=int(name)).first()
    if runner is None:
        raise not_found("runner", name, "`fleet_status` lists them.")
    return runner


def read_secret(path: Path | None, prompt: str) -> str:
    """A secret from a file, a pipe, or typed unseen; never from the arguments, which all can read.

    Raises CommandError for an unreadable file, nothing at all, or far too much.
    """
    try:
        if path is not None:
            text = path.read_text("utf-8")
        elif sys.stdin.isatty():
            text = getpass.getpass(prompt)
        else:
            text = sys.stdin.read(SECRET_LIMIT_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not text"
        raise CommandError(
            f"{path or 'Standard input'} cannot be read: {why}.",
            returncode=ExitCode.REFUSED,
        ) from None
    if not text.strip() or len(text) > SECRET_LIMIT_CHARACTERS:
        raise CommandError(
            "Give the secret on standard input or in a file: there was nothing to use.",
            returncode=ExitCode.REFUSED,
        )
    return text.strip()


def act_on_each(
    command: BaseCommand,
    runners: Sequence[Runner],
    act: Callable[[Runner], bool],
    *,
    as_json: bool,
    done: str,
) -> None:
    """Do one thing to each runner; a refusal for one does not keep it from the others.

    `act` returns whether it changed anything; `done` says of a runner what is true afterwards.
    JSON: `{"runners": [{"id", "name", "state", "changed", "error"}]}`. Raises CommandError
    (refused) at the end when some were.
    """
    rows: list[dict[str, object]] = []
    lines: list[str] = []
    errors: list[str] = []
    for runner in runners:
        changed, error = False, ""
        try:
            changed = act(runner)
        except FleetError as refused:
            error = refused.user_message
            errors.append(error)
        else:
            lines.append(f"{runner.name}: {done if changed else 'nothing to change'}")
        rows.append(
            {
                "id": runner.pk,
                "name": runner.name,
                "state": runner.state,
                "changed": changed,
                "error": error,
            }
        )
    say(command, as_json, {"runners": rows}, lines)
    if errors:
        raise CommandError(" ".join(errors), returncode=ExitCode.REFUSED)

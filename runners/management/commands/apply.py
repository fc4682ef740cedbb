"""Make pools, hosts' places and the reserve as a file says; `--dry-run` only tells the differences.

Exit codes: 0 done (or nothing to do), 1 refused, or with `--dry-run` something differs, 2 wrong
arguments, 5 database. JSON: `{"file", "dry_run", "changed", "differences": [{"act", "kind", "name",
"fields": {name: [was, becomes]}, "note"}], "problems": [text]}`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError, CommandParser

from runners import fleet_file, wiring
from runners.fleet_file import Act, Difference, FleetFile, InvalidFile
from runners.management import cli

CHANGING = (Act.CREATE, Act.CHANGE, Act.REMOVE)


class Command(BaseCommand):
    help = "Make the fleet's pools as a file says; twice changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="a TOML file, - for standard input")
        parser.add_argument("--dry-run", action="store_true", help="only tell what differs")
        parser.add_argument(
            "--prune", action="store_true", help="remove pools that the file does not name"
        )
        cli.add_reason(parser)
        cli.add_json(parser)

    def handle(
        self, *, file: str, dry_run: bool, prune: bool, reason: str, json: bool, **options: object
    ) -> None:
        with cli.exit_codes():
            try:
                wanted = fleet_file.parse(_read(file))
                if prune and not wanted.pools:
                    # As of a pipe whose first program failed: every pool without runners would go
                    raise InvalidFile([f"{file} names no pool: --prune would remove them all."])
            except InvalidFile as error:
                self._refuse(file, error, json, dry_run=dry_run)
                return
            differences = self._carry_out(wanted, dry_run, prune, reason or f"apply {file}")
        changing = [each for each in differences if each.act in CHANGING]
        data = {
            "file": file,
            "dry_run": dry_run,
            "changed": bool(changing) and not dry_run,
            "differences": [_row(each) for each in differences],
            "problems": [],
        }
        lines = [line for each in differences for line in _lines(each, dry_run=dry_run)]
        cli.say(self, json, data, lines or ["Everything is as the file says"])
        if dry_run and differences:
            sys.exit(cli.ExitCode.REFUSED)

    def _carry_out(
        self, wanted: FleetFile, dry_run: bool, prune: bool, reason: str
    ) -> list[Difference]:
        if dry_run:
            return fleet_file.compare(wanted, prune=prune)
        return fleet_file.apply(
            wanted, by=cli.actor(), reason=reason, now=wiring.now(), prune=prune
        )

    def _refuse(self, file: str, error: InvalidFile, as_json: bool, *, dry_run: bool) -> None:
        if as_json:
            data = {
                "file": file,
                "dry_run": dry_run,
                "changed": False,
                "differences": [],
                "problems": list(error.problems),
            }
            cli.say(self, True, data, [])
        raise CommandError("\n".join(error.problems), returncode=cli.ExitCode.REFUSED)


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not text"
        raise InvalidFile([f"{file} cannot be read: {why}."]) from error


def _row(each: Difference) -> dict[str, object]:
    return {
        "act": each.act.value,
        "kind": each.kind,
        "name": each.name,
        "fields": {name: list(pair) for name, pair in each.fields.items()},
        "note": each.note,
    }


_DOES = {Act.CREATE: "create", Act.CHANGE: "change", Act.REMOVE: "remove"}
_DID = {Act.CREATE: "created", Act.CHANGE: "changed", Act.REMOVE: "removed"}


def _lines(each: Difference, *, dry_run: bool) -> list[str]:
    if each.act in CHANGING:
        verb = (_DOES if dry_run else _DID)[each.act]
        head = f"{verb} {each.kind} {each.name}"
    else:
        head = f"{each.kind} {each.name} {each.note}"
    return [
        head,
        *(f"    {name}: {_text(was)} -> {_text(new)}" for name, (was, new) in each.fields.items()),
    ]


def _text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, list | tuple):
        return ", ".join(str(each) for each in value) or "none"
    return str(value) if value != "" else "any"

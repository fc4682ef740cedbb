"""Print the effective configuration, secrets masked.

Exit codes: 0 printed, 78 a setting does not fit. JSON: a list of `{"name", "kind", "default",
"help", "value", "source", "minimum", "maximum", "unit", "choices", "secret"}`.
"""

from __future__ import annotations

import json as json_format
from dataclasses import asdict

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from fleetui.env import Value, Variable


class Command(BaseCommand):
    help = "Print every setting: its value, where that came from and what it may be."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON list, for programs")

    def handle(self, *, json: bool, **options: object) -> None:
        variables = sorted(settings.FLEET_ENVIRONMENT.declared, key=lambda each: each.name)
        self.stdout.write(_as_json(variables) if json else _as_table(variables))


def _as_json(variables: list[Variable]) -> str:
    return json_format.dumps(
        [asdict(variable) | {"secret": variable.secret} for variable in variables], indent=2
    )


def _as_table(variables: list[Variable]) -> str:
    rows = [("NAME", "VALUE", "FROM", "MAY BE")]
    rows += [
        (variable.name, _shown(variable.value), variable.source, _allowed(variable))
        for variable in variables
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    )


def _shown(value: Value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ",".join(value) or "-"
    return str(value) or "-"


def _allowed(variable: Variable) -> str:
    if variable.choices:
        return " | ".join(variable.choices)
    if variable.minimum is not None:
        return f"{variable.minimum} to {variable.maximum} {variable.unit}".rstrip()
    return "yes | no" if variable.kind == "boolean" else variable.kind

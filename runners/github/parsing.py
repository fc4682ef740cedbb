"""Reading JSON into typed values; a missing or mistyped field is a `BadAnswer` naming it.

The only place where untyped JSON is touched. Extra fields are ignored: GitHub adds some.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias, TypeVar

from .errors import BadAnswer

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
T = TypeVar("T")


def parse_json(body: bytes, where: str) -> Json:
    """Decode a body; raises BadAnswer when it is not JSON."""
    try:
        value: Json = json.loads(body)
    except (ValueError, RecursionError):
        raise BadAnswer(
            f"{where}: GitHub's answer is not JSON. A proxy may stand in between."
        ) from None
    return value


def moment_from(value: Json) -> datetime | None:
    """Read an ISO 8601 text or a Unix number (GitHub sends both) as UTC; None if it is neither."""
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, tz=UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None


class Fields:
    """A typed reader over one JSON object; `where` names the object in errors."""

    def __init__(self, value: Json, where: str) -> None:
        if not isinstance(value, dict):
            raise BadAnswer(f"GitHub's answer has no object at {where}.")
        self._value = value
        self.where = where

    def _bad(self, name: str, kind: str) -> BadAnswer:
        return BadAnswer(f"GitHub's answer has no {kind} at {self.where}.{name}.")

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self._value.get(name) is not None

    def text(self, name: str) -> str:
        """A required text."""
        value = self._value.get(name)
        if not isinstance(value, str):
            raise self._bad(name, "text")
        return value

    def text_or(self, name: str, default: str = "") -> str:
        """A text that may be missing or null."""
        return self.text(name) if self.has(name) else default

    def number(self, name: str) -> int:
        """A required whole number (GitHub describes some ids as plain numbers)."""
        value = self._value.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
            raise self._bad(name, "whole number")
        return int(value)

    def number_or_none(self, name: str) -> int | None:
        """A whole number that may be missing or null."""
        return self.number(name) if self.has(name) else None

    def seconds(self, name: str) -> float:
        """A required number of seconds."""
        value = self._value.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._bad(name, "number")
        return float(value)

    def flag(self, name: str) -> bool:
        """A required yes or no."""
        value = self._value.get(name)
        if not isinstance(value, bool):
            raise self._bad(name, "true or false")
        return value

    def flag_or(self, name: str, default: bool) -> bool:
        """A yes or no that may be missing or null."""
        return self.flag(name) if self.has(name) else default

    def moment(self, name: str) -> datetime:
        """A required moment, in UTC."""
        moment = moment_from(self._value.get(name))
        if moment is None:
            raise self._bad(name, "time")
        return moment

    def moment_or_none(self, name: str) -> datetime | None:
        """A moment that may be missing or null."""
        return self.moment(name) if self.has(name) else None

    def object(self, name: str) -> Fields:
        """A required object."""
        return Fields(self._value.get(name), f"{self.where}.{name}")

    def object_or_none(self, name: str) -> Fields | None:
        """An object that may be missing or null."""
        return self.object(name) if self.has(name) else None

    def list_of(self, name: str, parse: Callable[[Json], T]) -> tuple[T, ...]:
        """A required list, each element read by `parse`."""
        value = self._value.get(name)
        if not isinstance(value, list):
            raise self._bad(name, "list")
        return tuple(parse(element) for element in value)

    def list_of_or(self, name: str, parse: Callable[[Json], T]) -> tuple[T, ...]:
        """A list that may be missing or null."""
        return self.list_of(name, parse) if self.has(name) else ()

    def names(self) -> tuple[str, ...]:
        """The names of the object's fields."""
        return tuple(self._value)

    def texts_by_name(self) -> dict[str, str]:
        """All text fields, as for a map of permissions."""
        return {name: value for name, value in self._value.items() if isinstance(value, str)}

    def raw(self, name: str) -> Json:
        """The field as it came."""
        return self._value.get(name)


def text_of(value: Json) -> str:
    """Read one text of a list."""
    if not isinstance(value, str):
        raise BadAnswer("GitHub's answer has a list with something that is not a text.")
    return value

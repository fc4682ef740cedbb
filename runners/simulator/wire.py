"""JSON as it goes over the wire: its type, a typed reader for request bodies, and GitHub's errors.

Must not know the simulator's state: everything here is a value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = dict[str, "Json"]

# No id or count is longer; Python refuses to read very long ones at all.
LONGEST_NUMBER_DIGITS = 18
DOCS_URL = "https://docs.github.com/rest"


def iso(at: float | None) -> str | None:
    """Unix seconds as GitHub writes times (``2026-11-23T19:20:21Z``); None stays None."""
    if at is None:
        return None
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def whole(text: str) -> int | None:
    """A number written in plain digits; None for anything else, over-long ones included."""
    readable = text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER_DIGITS
    return int(text) if readable else None


class ApiError(Exception):
    """An answer that is an error. ``headers`` are added to the response, ``errors`` to its body."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        errors: list[Json] | None = None,
        headers: dict[str, str] | None = None,
        documentation_url: str = DOCS_URL,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors
        self.headers = headers or {}
        self.documentation_url = documentation_url

    def body(self) -> JsonObject:
        """Shape: message, documentation_url, status, and errors where there are any."""
        body: JsonObject = {
            "message": self.message,
            "documentation_url": self.documentation_url,
            "status": str(self.status),
        }
        if self.errors is not None:
            body["errors"] = self.errors
        return body

    def detailed_body(self) -> JsonObject:
        """The same with every error as an object: resource, code and message."""
        body = self.body()
        if self.errors is not None:
            body["errors"] = [
                {"resource": "Hook", "code": "custom", "message": each} for each in self.errors
            ]
        return body


def not_found() -> ApiError:
    """The 404 that GitHub gives for what is missing and for what a token may not see."""
    return ApiError(404, "Not Found")


def invalid(message: str) -> ApiError:
    """The 422 of a request whose fields GitHub refuses."""
    return ApiError(422, "Validation Failed", errors=[message])


@dataclass(frozen=True)
class Response:
    """What a handler answers. ``body`` is JSON unless ``content`` holds raw bytes."""

    status: int = 200
    body: Json = None
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None
    content_type: str = "application/json; charset=utf-8"


class Fields:
    """Typed access to a JSON object sent by a client; every mismatch is a 422 naming the field."""

    def __init__(self, values: JsonObject) -> None:
        self.values = values

    def has(self, name: str) -> bool:
        """True when the client sent the field, null included."""
        return name in self.values

    def text(self, name: str, default: str | None = None) -> str:
        """A string; required when no default is given."""
        value = self._get(name, default)
        if not isinstance(value, str):
            raise invalid(f"For 'properties/{name}', {value!r} is not a string.")
        return value

    def integer(self, name: str, default: int | None = None) -> int:
        """An integer; required when no default is given."""
        value = self._get(name, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise invalid(f"For 'properties/{name}', {value!r} is not an integer.")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """A number; required when no default is given."""
        value = self._get(name, default)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise invalid(f"For 'properties/{name}', {value!r} is not a number.")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        """A boolean, or the default when absent."""
        value = self._get(name, default)
        if not isinstance(value, bool):
            raise invalid(f"For 'properties/{name}', {value!r} is not a boolean.")
        return value

    def choice(self, name: str, choices: tuple[str, ...], default: str | None = None) -> str:
        """One of the given strings."""
        value = self.text(name, default)
        if value not in choices:
            raise invalid(f"For 'properties/{name}', {value!r} is not a member of {list(choices)}.")
        return value

    def texts(self, name: str, default: list[str] | None = None) -> list[str]:
        """A list of strings; required when no default is given."""
        items = self._items(name, default)
        found = [item for item in items if isinstance(item, str)]
        if len(found) != len(items):
            raise invalid(f"For 'properties/{name}', every item must be a string.")
        return found

    def integers(self, name: str, default: list[int] | None = None) -> list[int]:
        """A list of integers; required when no default is given."""
        items = self._items(name, default)
        found = [i for i in items if isinstance(i, int) and not isinstance(i, bool)]
        if len(found) != len(items):
            raise invalid(f"For 'properties/{name}', every item must be an integer.")
        return found

    def record(self, name: str, default: JsonObject | None = None) -> Fields:
        """A nested object; required when no default is given."""
        value = self._get(name, default)
        if not isinstance(value, dict):
            raise invalid(f"For 'properties/{name}', {value!r} is not an object.")
        return Fields(value)

    def records(self, name: str) -> list[Fields]:
        """A list of objects, empty when absent."""
        items = self._items(name, [])
        found = [Fields(item) for item in items if isinstance(item, dict)]
        if len(found) != len(items):
            raise invalid(f"For 'properties/{name}', every item must be an object.")
        return found

    def mapping(self, name: str) -> dict[str, str]:
        """An object of strings, empty when absent."""
        record = self.record(name, {})
        return {key: record.text(key) for key in record.values}

    def _items(self, name: str, default: list[str] | list[int] | None) -> list[Json]:
        value = self.values.get(name)
        if value is None and default is not None:
            return list(default)
        if not isinstance(value, list):
            raise invalid(f"For 'properties/{name}', {value!r} is not an array.")
        return value

    def _get(self, name: str, default: Json) -> Json:
        if name in self.values:
            return self.values[name]
        if default is None:
            raise invalid(f'Invalid request.\n\n"{name}" wasn\'t supplied.')
        return default

"""Read the process environment: each variable typed, ranged, explained and declared exactly once.

`settings.py` declares every variable by asking an `Environment` for it; what was asked is kept, so
that `manage.py settings`, the docs test and the "did you mean" warning all speak from the same
list. Nothing here knows what a setting is for.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

Source = Literal["default", "environment", "file"]
Kind = Literal["boolean", "integer", "text", "choice", "list", "path", "url", "secret"]
Value = bool | int | str | list[str]
V = TypeVar("V", bool, int, str, list[str])

MASK = "********"
# EX_CONFIG of sysexits.h: systemd can be told not to retry it (RestartPreventExitStatus).
CONFIGURATION_EXIT_CODE = 78

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


class ConfigurationError(ImproperlyConfigured):
    """A variable holds what it must not. The message is one line that starts with its name."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name}: {problem}")
        self.name = name


@dataclass(frozen=True)
class Variable:
    """One variable as declared and read. A secret's `value` is what may be shown of it."""

    name: str
    kind: Kind
    default: Value
    help: str
    value: Value = ""
    source: Source = "default"
    minimum: int | None = None
    maximum: int | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()

    @property
    def secret(self) -> bool:
        return self.kind == "secret"


class Environment:
    """Reads variables from a mapping and remembers each declaration.

    An empty value counts as not set: `NAME=` in an environment file means "use the default".
    Every method raises ConfigurationError for a value that does not fit.
    """

    def __init__(self, variables: Mapping[str, str], *, prefix: str) -> None:
        self._variables = variables
        self._prefix = prefix
        self._declared: dict[str, Variable] = {}

    @property
    def declared(self) -> tuple[Variable, ...]:
        return tuple(self._declared.values())

    def boolean(self, name: str, default: bool, *, help: str) -> bool:
        return self._read(Variable(name, "boolean", default, help), default, _parse_boolean)

    def integer(
        self, name: str, default: int, *, minimum: int, maximum: int, unit: str, help: str
    ) -> int:
        def parse(text: str) -> int:
            # int() alone would take "1_000", "+5" and digits of every script.
            if not re.fullmatch(r"-?[0-9]+", text):
                raise ValueError(f"{text!r} is not a whole number")
            if not minimum <= int(text) <= maximum:
                raise ValueError(f"{text} is not between {minimum} and {maximum} {unit}".rstrip())
            return int(text)

        variable = Variable(
            name, "integer", default, help, minimum=minimum, maximum=maximum, unit=unit
        )
        return self._read(variable, default, parse)

    def text(self, name: str, default: str, *, help: str) -> str:
        return self._read(Variable(name, "text", default, help), default, str)

    def choice(self, name: str, default: str, *, choices: Sequence[str], help: str) -> str:
        def parse(text: str) -> str:
            if text not in choices:
                raise ValueError(f"{text!r} is not one of {', '.join(choices)}")
            return text

        variable = Variable(name, "choice", default, help, choices=tuple(choices))
        return self._read(variable, default, parse)

    def items(self, name: str, default: list[str], *, help: str) -> list[str]:
        """A comma-separated list; blanks around the items are dropped."""
        return self._read(Variable(name, "list", default, help), default, _split_items)

    def path(self, name: str, default: Path, *, help: str) -> Path:
        """A file or folder, made absolute against the current directory."""
        text = self._read(Variable(name, "path", str(default), help), str(default), str)
        return Path(text).expanduser().absolute()

    def http_url(self, name: str, default: str, *, help: str) -> str:
        """An absolute http(s) address, without a trailing slash."""
        return self._read(Variable(name, "url", default, help), default, _parse_http_url)

    def secret(self, name: str, *, help: str, show: Callable[[str], str] | None = None) -> str:
        """The variable, or the content of the file that `<name>_FILE` names; "" when neither is.

        `show` turns it into what may be printed (an address without its password); without it
        all of it is masked.
        """
        text, source = self._secret_text(name)
        shown = (show(text) if show else MASK) if text else ""
        self._remember(Variable(name, "secret", "", help, value=shown, source=source))
        return text

    def unknown(self) -> tuple[str, ...]:
        """One line for each variable with our prefix that nobody declared."""
        known = set(self._declared)
        known |= {f"{variable.name}_FILE" for variable in self.declared if variable.secret}
        strangers = sorted(
            name for name in self._variables if name.startswith(self._prefix) and name not in known
        )
        return tuple(_unknown_line(name, known, self._prefix) for name in strangers)

    def _read(self, variable: Variable, default: V, parse: Callable[[str], V]) -> V:
        text = self._variables.get(variable.name, "")
        value = default
        source: Source = "default"
        if text:
            _refuse_decoration(variable.name, text)
            try:
                value, source = parse(text), "environment"
            except ValueError as err:
                raise ConfigurationError(variable.name, str(err)) from None
        self._remember(replace(variable, value=value, source=source))
        return value

    def _secret_text(self, name: str) -> tuple[str, Source]:
        file_name = f"{name}_FILE"
        file_path = self._variables.get(file_name, "")
        text = self._variables.get(name, "")
        if text and file_path:
            raise ConfigurationError(name, f"set either {name} or {file_name}, not both")
        if file_path:
            return _read_secret_file(file_name, file_path), "file"
        if text:
            _refuse_decoration(name, text)
            return text, "environment"
        return "", "default"

    def _remember(self, variable: Variable) -> None:
        if variable.name in self._declared:
            raise ImproperlyConfigured(f"{variable.name} is declared twice")
        self._declared[variable.name] = variable


def _refuse_decoration(name: str, text: str) -> None:
    """Refuse what files of variables pick up around a value; the value is never repeated."""
    if text != text.strip():
        raise ConfigurationError(name, "has blanks around its value; remove them")
    if re.search(r"\s#", text):
        raise ConfigurationError(name, "has a comment after its value; remove it")
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        raise ConfigurationError(name, "has quotes around its value; remove them")
    if any(character < " " for character in text):
        raise ConfigurationError(name, "has a control character or a line break in its value")


def _read_secret_file(name: str, path: str) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except OSError as err:
        raise ConfigurationError(name, f"cannot read {path!r}: {err.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(name, f"{path!r} is not UTF-8 text") from None
    if not text:
        raise ConfigurationError(name, f"{path!r} is empty")
    return text


def _parse_boolean(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(f"{text!r} is not yes or no (1, true, yes, on; 0, false, no, off)")


def _split_items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _parse_http_url(text: str) -> str:
    problem = f"{text!r} is not an address such as https://fleet.example.org"
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  # raises ValueError for a port that is no port
    except ValueError:
        raise ValueError(problem) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(problem)
    if parts.username or parts.password:
        # Not repeated: it holds a password.
        raise ValueError("must not contain a user name or password")
    return text.rstrip("/")


def _unknown_line(name: str, known: set[str], prefix: str) -> str:
    # Some names have no prefix: FLEET_PORT means PORT.
    meant = {each if each.startswith(prefix) else prefix + each: each for each in sorted(known)}
    nearest = difflib.get_close_matches(name, meant, n=1, cutoff=0.6)
    hint = f"; did you mean {meant[nearest[0]]}?" if nearest else ""
    return f"{name} is not a setting{hint}"

"""Hours of a pool as lines of text: `mon-fri 08:00-18:00 idle 4 max 20`, one window a line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from django import forms

from runners.errors import InvalidRequest
from runners.pool_policy import window_of
from runners.scaling import Window
from runners.scaling.policy import DAYS

EXAMPLE: Final = "mon-fri 08:00-18:00 idle 4 max 20"
_LINE: Final = re.compile(
    r"(?P<days>[a-z,-]+) +(?P<begins>[\d:]+) *- *(?P<ends>[\d:]+)"
    r"(?: +idle +(?P<min_idle>\d+))?(?: +max +(?P<max_runners>\d+))?",
    re.IGNORECASE,
)


def parse(text: str) -> tuple[Window, ...]:
    """The windows of these lines. Raises ValidationError that names the line and the form."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return tuple(_window(number, line) for number, line in enumerate(lines, start=1))


def as_text(windows: Sequence[Window]) -> str:
    """These windows as lines that `parse` reads."""
    return "\n".join(_line(window) for window in windows)


def _window(number: int, line: str) -> Window:
    found = _LINE.fullmatch(line)
    if found is None:
        raise forms.ValidationError(f"Line {number} is no window. Write it as: {EXAMPLE}")
    data: dict[str, Any] = {"from": found["begins"], "to": found["ends"]}
    for name in ("min_idle", "max_runners"):
        if found[name] is not None:
            data[name] = int(found[name])
    try:
        return window_of({**data, "days": _days(found["days"].lower())})
    except InvalidRequest as error:
        raise forms.ValidationError(f"Line {number}: {error.user_message}") from error


def _days(text: str) -> list[str]:
    if text in ("daily", "every"):
        return list(DAYS)
    days: list[str] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        ends = [name[:3] for name in (first, last or first)]
        if any(name not in DAYS for name in ends):
            raise InvalidRequest(f"{part} names no days. Write mon-fri, or sat,sun, or daily.")
        begin, end = (DAYS.index(name) for name in ends)
        span = range(begin, end + 1) if begin <= end else [*range(begin, 7), *range(end + 1)]
        days += [DAYS[number] for number in span]
    return days


def _line(window: Window) -> str:
    parts = [_days_text(window), f"{window.begins:%H:%M}-{window.ends:%H:%M}"]
    if window.min_idle is not None:
        parts.append(f"idle {window.min_idle}")
    if window.max_runners is not None:
        parts.append(f"max {window.max_runners}")
    return " ".join(parts)


def _days_text(window: Window) -> str:
    """The days as they are read best: daily, a run of days, or a list."""
    numbers = [number for number, day in enumerate(DAYS) if day in window.days]
    if len(numbers) == len(DAYS):
        return "daily"
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{DAYS[numbers[0]]}-{DAYS[numbers[-1]]}"
    return ",".join(DAYS[number] for number in numbers)

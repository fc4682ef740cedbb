"""Values out of JSON that somebody else wrote: of the right type and within bounds, or not known.

Wrong types read as absent, never as an error: a newer agent may send more than we know. What comes
out fits the database: no NUL, no half of a surrogate pair, no number that a column cannot hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime

from django.utils.dateparse import parse_datetime

LARGEST_INTEGER = 2**31 - 1
LARGEST_BIG_INTEGER = 2**63 - 1
LARGEST_NUMBER = 1e15


def clean(text: str) -> str:
    """The text as a database takes it; as long as it was, so that offsets stay true."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def text(data: Mapping[str, object], key: str, limit: int) -> str:
    """At most `limit` characters; "" when it is no text."""
    value = data.get(key)
    return clean(value[:limit]) if isinstance(value, str) else ""


def integer(
    data: Mapping[str, object], key: str, *, low: int = 0, high: int = LARGEST_BIG_INTEGER
) -> int | None:
    """A whole number from `low` to `high`; None for anything else."""
    value = data.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        return None
    return value


def number(data: Mapping[str, object], key: str) -> float | None:
    """A finite number of sensible size; None for anything else."""
    value = data.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if not -LARGEST_NUMBER <= value <= LARGEST_NUMBER or not math.isfinite(value):
        return None
    return float(value)


def moment(data: Mapping[str, object], key: str) -> datetime | None:
    """An ISO 8601 moment, read as UTC where it names no zone; None for anything else."""
    value = data.get(key)
    if not isinstance(value, str):
        return None
    try:
        found = parse_datetime(value)
        if found is None:
            return None
        # OverflowError: a moment at the edge of the calendar that another zone has no date for
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None

"""GitHub's rate-limit headers as values: the budget left and the moment to come back.

Pure reading of headers; waiting is `http.py`'s.
Source: GitHub Docs "Rate limits for the REST API", "Best practices for using the REST API".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

SECONDARY_WAIT_SECONDS = 60.0
SECONDARY_WAIT_MAX_SECONDS = 900.0
RATE_LIMIT_STATUSES = frozenset({403, 429})
_SECONDARY_WORDS = ("secondary rate limit", "abuse detection")


@dataclass(frozen=True, slots=True)
class Budget:
    """What is left of one of GitHub's hourly budgets; `reset_at` by GitHub's clock, UTC."""

    resource: str
    limit: int
    remaining: int
    used: int
    reset_at: datetime


@dataclass(frozen=True, slots=True)
class Limit:
    """A refusal because of a limit, and when it ends in the caller's clock."""

    retry_at: datetime
    resource: str
    secondary: bool


def _number(headers: Mapping[str, str], name: str) -> int | None:
    value = headers.get(name, "")
    return int(value) if value.isascii() and value.isdigit() else None


def budget_of(headers: Mapping[str, str]) -> Budget | None:
    """Read the budget an answer tells of; None where limits are off (GHES by default)."""
    limit = _number(headers, "x-ratelimit-limit")
    remaining = _number(headers, "x-ratelimit-remaining")
    reset = _number(headers, "x-ratelimit-reset")
    if limit is None or remaining is None or reset is None:
        return None
    used = _number(headers, "x-ratelimit-used")
    return Budget(
        resource=headers.get("x-ratelimit-resource", "core"),
        limit=limit,
        remaining=remaining,
        used=limit - remaining if used is None else used,
        reset_at=datetime.fromtimestamp(reset, tz=UTC),
    )


def server_time_of(headers: Mapping[str, str]) -> datetime | None:
    """The moment in the Date header, by GitHub's clock."""
    try:
        return parsedate_to_datetime(headers["date"]).astimezone(UTC)
    except (KeyError, ValueError, TypeError):
        return None


def limit_of(
    status: int,
    headers: Mapping[str, str],
    message: str,
    *,
    now: datetime,
    clock_skew_seconds: float,
    refusals_in_row: int,
) -> Limit | None:
    """Read a 403 or 429 as a limit, or None when it is about permissions.

    `clock_skew_seconds` is GitHub's clock less ours. Without a hint from GitHub the wait starts at
    a minute and doubles with `refusals_in_row`.
    """
    if status not in RATE_LIMIT_STATUSES:
        return None
    budget = budget_of(headers)
    resource = headers.get("x-ratelimit-resource", "core")
    spent = budget is not None and budget.remaining == 0
    secondary = any(words in message.lower() for words in _SECONDARY_WORDS)
    retry_after = _retry_after_seconds(headers, now + timedelta(seconds=clock_skew_seconds))
    if retry_after is not None:
        retry_at = now + timedelta(seconds=retry_after)
        return Limit(retry_at, resource, secondary=secondary or not spent)
    if spent and budget is not None and not secondary:
        reset_at = budget.reset_at - timedelta(seconds=clock_skew_seconds)
        return Limit(max(reset_at, now + timedelta(seconds=1)), resource, secondary=False)
    if secondary or status == 429:
        wait = SECONDARY_WAIT_SECONDS * 2 ** min(refusals_in_row, 10)
        wait = min(wait, SECONDARY_WAIT_MAX_SECONDS)
        return Limit(now + timedelta(seconds=wait), resource, secondary=True)
    return None


def _retry_after_seconds(headers: Mapping[str, str], server_now: datetime) -> float | None:
    """Read Retry-After, in seconds or as a date by the server's clock."""
    seconds = _number(headers, "retry-after")
    if seconds is not None:
        return float(max(seconds, 1))
    try:
        moment = parsedate_to_datetime(headers["retry-after"])
        return max((moment - server_now).total_seconds(), 1.0)
    except (KeyError, ValueError, TypeError):
        return None

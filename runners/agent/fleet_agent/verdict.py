"""One check of a host: its verdict, what was found in words, and what to do about it."""

from __future__ import annotations

from enum import Enum
from typing import TypedDict


class Verdict(str, Enum):
    """GOOD meets the recommendation, FAIR only the minimum, POOR is refused."""

    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"
    UNKNOWN = "unknown"


class Check(TypedDict):
    """A check as it is told; ``fix`` is "" where nothing is to be done."""

    key: str
    verdict: str
    words: str
    fix: str


def check(key: str, verdict: Verdict, words: str, fix: str = "") -> Check:
    """Return a check."""
    return {"key": key, "verdict": verdict.value, "words": words, "fix": fix}


def bounded(
    key: str,
    value: float | None,
    unit: str,
    *,
    minimum: float,
    recommended: float,
    fix: str,
) -> Check:
    """Judge a number by the least there must be and what there should be."""
    if value is None:
        return check(key, Verdict.UNKNOWN, f"not measured; at least {minimum:g} {unit}", "")
    # Never rounded up: 99.96 of 100 is less than 100.
    shown = f"{int(value * 10) / 10:g} {unit}"
    if value < minimum:
        return check(key, Verdict.POOR, f"refused: {shown}, at least {minimum:g} are needed", fix)
    if value < recommended:
        words = f"{shown}: meets the minimum of {minimum:g}, {recommended:g} are recommended"
        return check(key, Verdict.FAIR, words)
    return check(key, Verdict.GOOD, f"{shown}: meets the recommendation of {recommended:g}")

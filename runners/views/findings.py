"""Checks as a page shows them: the worst first, each with its word and glyph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from runners.doctor import Finding, Verdict

# Verdict → (state whose glyph and tone it shows, its word), the worst first.
_SHOWN: Final = {
    Verdict.BAD: ("critical", "Bad"),
    Verdict.WARN: ("warning", "Warning"),
    Verdict.UNKNOWN: ("cancelled", "Unknown"),
    Verdict.OK: ("success", "Good"),
}


@dataclass(frozen=True, slots=True)
class FindingRow:
    """One check as the page shows it."""

    finding: Finding
    state: str
    word: str


def rows(findings: Sequence[Finding]) -> list[FindingRow]:
    """The checks, the worst first."""
    order = list(_SHOWN)
    worst_first = sorted(findings, key=lambda each: order.index(each.verdict))
    return [FindingRow(each, *_SHOWN[each.verdict]) for each in worst_first]


def summary(findings: Sequence[Finding]) -> str:
    """How many ended how, in words, the worst first."""
    counted = {
        word: sum(each.verdict is verdict for each in findings)
        for verdict, (_, word) in _SHOWN.items()
    }
    return ", ".join(f"{count} {word.lower()}" for word, count in counted.items() if count)

"""What one check says, and what the checks know of the process they run in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

NAMED = 5


class Verdict(StrEnum):
    """How a check ended, from good to bad; `unknown` says that it could not be told."""

    OK = "ok"
    UNKNOWN = "unknown"
    WARN = "warn"
    BAD = "bad"


_ORDER = tuple(Verdict)


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: its name, how it ended, what was seen, and what to do ("" when nothing is)."""

    name: str
    verdict: Verdict
    seen: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Settings the checks look at; `key_file` is None when the key comes from the environment.

    `agent_version` is the agent this version of the server comes with, "" when it can't be told.
    """

    data_dir: Path
    key_file: Path | None
    base_url: str
    loop_seconds: int
    worker_silent_seconds: int
    agent_version: str
    job_source: str = "both"


def worst(findings: Iterable[Finding]) -> Verdict:
    """The worst verdict; OK when there is none."""
    return max((each.verdict for each in findings), key=_ORDER.index, default=Verdict.OK)


def some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")

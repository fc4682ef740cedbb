"""Why a job waits: its labels against the runners there are. Pure; no tables, no clock.

One sentence says the cause, one the fix; the first cut of what the scaler will know in full.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# GitHub offers a job to a runner within seconds and takes it back after 60.
ASSIGNED_WITHIN_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Supply:
    """Runners that share their labels, counted by what they are worth; labels in lower case."""

    labels: frozenset[str]
    idle: int = 0
    starting: int = 0
    busy: int = 0
    down: int = 0


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a job waits; `state` is its glyph and tone, `fix` "" when nothing has to be done."""

    state: str
    cause: str
    fix: str = ""


def reason(wanted: Sequence[str], supplies: Sequence[Supply], *, waited_seconds: float) -> Reason:
    """Say why a job with these labels waits, given every runner there is."""
    labels = [label.lower() for label in wanted]
    missing = [label for label in labels if not any(label in supply.labels for supply in supplies)]
    if missing:
        return Reason(
            "failed",
            f"No runner has the label {missing[0]}.",
            "Add it to a pool, provision a runner with it, or change runs-on.",
        )
    fitting = [supply for supply in supplies if supply.labels.issuperset(labels)]
    if not fitting:
        return Reason(
            "failed",
            "No runner has all of its labels together.",
            "Provision one with all of them, or change runs-on.",
        )
    idle, starting = sum(s.idle for s in fitting), sum(s.starting for s in fitting)
    busy, down = sum(s.busy for s in fitting), sum(s.down for s in fitting)
    if idle:
        verb = "runner matches" if idle == 1 else "runners match"
        if waited_seconds > ASSIGNED_WITHIN_SECONDS:
            return Reason(
                "queued",
                f"{idle} idle {verb}, yet GitHub has not assigned the job.",
                "Check that the runner group lets this repository in.",
            )
        return Reason("starting", f"{idle} idle {verb}. GitHub usually assigns within 10 s.")
    if starting:
        noun = "runner is" if starting == 1 else "runners are"
        return Reason("starting", f"{starting} matching {noun} starting.")
    if busy:
        noun = "The one matching runner is" if busy == 1 else f"All {busy} matching runners are"
        more = f"; {down} more {'is' if down == 1 else 'are'} down" if down else ""
        return Reason(
            "queued", f"{noun} busy{more}.", "Wait, raise the pool's maximum, or add a host."
        )
    noun = "The one matching runner is" if down == 1 else f"All {down} matching runners are"
    return Reason(
        "failed",
        f"{noun} down.",
        "Bring their hosts back, or provision others.",
    )

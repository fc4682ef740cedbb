"""The doctor: every check of this installation with what was seen and its fix.

It changes nothing and asks GitHub nothing (`runners.doctor.webhooks` does, for the command line);
what it knows of GitHub is the last that was heard. No finding holds a secret.
"""

from __future__ import annotations

from datetime import datetime

from django.db import DatabaseError

from runners.doctor import fleet, server
from runners.doctor.finding import Finding, Surroundings, Verdict, worst

__all__ = ["Finding", "Surroundings", "Verdict", "examine", "worst"]


def examine(around: Surroundings, *, now: datetime) -> list[Finding]:
    """Run every check; the number of queries does not grow with the fleet."""
    findings = server.machine(around)
    try:
        findings += server.database(around, now)
        pending = server.migrations()
        findings.append(pending)
        if pending.verdict is Verdict.OK:
            findings += server.processes(around, now)
            findings += fleet.github(around, now)
            findings += fleet.hosts(around, now)
            findings += fleet.runners(now)
    except DatabaseError as error:
        findings.append(
            Finding(
                "database",
                Verdict.BAD,
                f"It does not answer: {' '.join(str(error).split())}",
                "Start it, and check DATABASE_URL and what it logs.",
            )
        )
    return findings

"""How a scope's jobs are learned: by webhook, by polling, or by both. Pure."""

from __future__ import annotations

from enum import StrEnum


class JobSource(StrEnum):
    """Webhooks are the fast way, polling the one that needs no inbound traffic."""

    BOTH = "both"
    WEBHOOK = "webhook"
    POLLING = "polling"

    @property
    def takes_deliveries(self) -> bool:
        """Whether deliveries are expected, and looked for when they were lost."""
        return self is not JobSource.POLLING

    @property
    def asks_for_runs(self) -> bool:
        """Whether repositories are looked at for runs that nobody told of."""
        return self is not JobSource.WEBHOOK


def in_force(chosen: str, installation: str) -> JobSource:
    """The source of a scope: its own choice, or the installation's where it made none."""
    return JobSource(chosen or installation)

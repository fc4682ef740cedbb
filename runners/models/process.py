"""Bookkeeping of our own processes: when each was last known alive, and who holds which lease."""

from __future__ import annotations

from django.db import models


class Beat(models.Model):
    """The last time something is known to have happened: "loop", "worker", "worker-restart" …"""

    name = models.CharField(max_length=60, primary_key=True)
    at = models.DateTimeField()
    detail = models.TextField(blank=True, default="")

    def __str__(self) -> str:
        return f"{self.name} at {self.at:%Y-%m-%d %H:%M:%S}"


class Lease(models.Model):
    """The right to do one thing alone until `expires_at`; see `runners.leases`."""

    name = models.CharField(max_length=100, primary_key=True)
    owner = models.CharField(max_length=120)
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name} held by {self.owner}"

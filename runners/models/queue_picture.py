"""What the last look at the queue found."""

from __future__ import annotations

from django.db import models


class QueuePicture(models.Model):
    """The one row of it, written over by each look; read it through `runners.queue_picture`."""

    at = models.DateTimeField(help_text="When the queue was looked at last.")
    digest = models.CharField(max_length=16, blank=True, default="")
    groups = models.JSONField(default=list)

    def __str__(self) -> str:
        return f"queue at {self.at:%Y-%m-%d %H:%M:%S}"

"""What each pool had and was asked for, minute by minute."""

from __future__ import annotations

from django.db import models


class PoolSample(models.Model):
    """One pool's demand and runners in one minute; thinned by age."""

    pool = models.ForeignKey("runners.Pool", on_delete=models.CASCADE, related_name="samples")
    at = models.DateTimeField(help_text="The minute, its seconds zero.")
    waiting = models.PositiveIntegerField()
    starting = models.PositiveIntegerField()
    idle = models.PositiveIntegerField()
    busy = models.PositiveIntegerField()

    class Meta:
        ordering = ("pool", "at")
        indexes = (
            # Which minute was written last, and what is old enough to be thinned
            models.Index(fields=("at",), name="pool_sample_at"),
        )
        constraints = (
            # Also the graph's index: one pool's samples in order of time
            models.UniqueConstraint(fields=("pool", "at"), name="pool_sample_minute_unique"),
        )

    def __str__(self) -> str:
        return f"{self.pool_id} at {self.at:%Y-%m-%d %H:%M}"

"""Targets: what each pool promises, when it could not keep it, and what was announced before."""

from __future__ import annotations

from datetime import time

from django.db import models
from django.db.models import F, Q

from runners.readiness import OutageCause


def working_days() -> list[int]:
    """Monday to Friday; 0 is Monday."""
    return [0, 1, 2, 3, 4]


class PoolTarget(models.Model):
    """One pool's promise: availability within its business hours, in its own time zone."""

    pool = models.OneToOneField(
        "runners.Pool", on_delete=models.CASCADE, related_name="target", primary_key=True
    )
    availability_percent = models.DecimalField(max_digits=6, decimal_places=3, default="99.5")
    zone = models.CharField(max_length=60, default="UTC")
    days = models.JSONField(default=working_days)
    opens = models.TimeField(default=time(8))
    closes = models.TimeField(default=time(18))
    # Written by runners.watch: since when and until when it is known what the pool could do
    watched_since = models.DateTimeField()
    watched_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(availability_percent__gt=0) & Q(availability_percent__lte=100),
                name="pool_target_percent_in_range",
            ),
        )

    def __str__(self) -> str:
        return f"{self.availability_percent}% of {self.pool_id}"


class LabelTarget(models.Model):
    """A queue target of one label set other than the default."""

    label_set = models.CharField(max_length=500, unique=True)
    percent = models.DecimalField(max_digits=5, decimal_places=2)
    seconds = models.PositiveIntegerField()

    class Meta:
        ordering = ("label_set",)
        constraints = (
            models.CheckConstraint(
                condition=Q(percent__gt=0) & Q(percent__lte=100), name="label_target_percent"
            ),
        )

    def __str__(self) -> str:
        return f"{self.percent}% of {self.label_set} within {self.seconds} s"


class Outage(models.Model):
    """A stretch of time in which a matching job would not have started in time at a pool."""

    pool = models.ForeignKey("runners.Pool", on_delete=models.CASCADE, related_name="outages")
    cause = models.CharField(max_length=20, choices=OutageCause.choices)
    words = models.CharField(max_length=300)
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-began_at",)
        indexes = (
            # A pool's report: its outages of a month
            models.Index(fields=("pool", "-began_at"), name="outage_pool"),
        )
        constraints = (
            models.UniqueConstraint(
                fields=("pool",), name="outage_one_open", condition=Q(ended_at__isnull=True)
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_cause_display()} since {self.began_at:%Y-%m-%d %H:%M}"


class AnnouncedWindow(models.Model):
    """Maintenance told of before it began: what is down then does not count. No pool: all."""

    pool = models.ForeignKey(
        "runners.Pool", null=True, blank=True, on_delete=models.CASCADE, related_name="windows"
    )
    begins_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    reason = models.CharField(max_length=200)
    announced_at = models.DateTimeField()
    announced_by = models.CharField(max_length=150)

    class Meta:
        ordering = ("-begins_at",)
        constraints = (
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("begins_at")), name="window_ends_after_it_begins"
            ),
            # What is announced afterwards is an excuse
            models.CheckConstraint(
                condition=Q(announced_at__lte=F("begins_at")), name="window_announced_before"
            ),
        )

    def __str__(self) -> str:
        return self.reason

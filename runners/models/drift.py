"""Drift: where what we want, what the host says and what GitHub says do not agree."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from runners.drift_kinds import DriftKind


class Drift(models.Model):
    """One mismatch, from when it was first seen until it is gone; then the row goes too.

    `key` names the thing within its kind, so that the same mismatch seen again is the same row.
    The three columns are words for a person: what is wanted, what the host says, what GitHub says.
    """

    kind = models.CharField(max_length=30, choices=DriftKind.choices)
    key = models.CharField(max_length=200)
    scope = models.ForeignKey(
        "runners.Scope", null=True, blank=True, on_delete=models.CASCADE, related_name="drifts"
    )
    host = models.ForeignKey(
        "runners.Host", null=True, blank=True, on_delete=models.CASCADE, related_name="drifts"
    )
    runner = models.ForeignKey(
        "runners.Runner", null=True, blank=True, on_delete=models.CASCADE, related_name="drifts"
    )
    github_id = models.PositiveBigIntegerField(null=True, blank=True)
    name = models.CharField(max_length=200)
    wanted = models.CharField(max_length=200, blank=True, default="")
    observed = models.CharField(max_length=200, blank=True, default="")
    github = models.CharField(max_length=200, blank=True, default="")
    detail = models.JSONField(default=dict, blank=True)
    since = models.DateTimeField()
    # Somebody else's runner that a person made ours to clean up
    adopted_at = models.DateTimeField(null=True, blank=True)
    fix_wanted_at = models.DateTimeField(null=True, blank=True)
    fix_error = models.CharField(max_length=300, blank=True, default="")

    class Meta:
        ordering = ("since", "pk")
        indexes = (
            # The drift page by kind, and what a pass has to compare with
            models.Index(fields=("kind", "since"), name="drift_kind_since"),
        )
        constraints = (
            models.UniqueConstraint(fields=("kind", "key"), name="drift_kind_key_unique"),
            models.CheckConstraint(condition=Q(kind__in=DriftKind.values), name="drift_kind_known"),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.name}"

"""Pools: our unit of scaling."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.urls import reverse


class Pool(models.Model):
    """A set of like runners: labels, scope, which hosts, and how many to keep ready."""

    name = models.SlugField(max_length=40, unique=True)
    scope = models.ForeignKey("runners.Scope", on_delete=models.PROTECT, related_name="pools")
    labels = models.ManyToManyField("runners.Label", related_name="pools")
    runner_group_id = models.PositiveBigIntegerField(null=True, blank=True)
    ephemeral = models.BooleanField(default=True)
    architecture = models.CharField(max_length=20, blank=True, default="")
    needs_gpu = models.BooleanField(default=False)
    site = models.CharField(max_length=60, blank=True, default="")
    min_idle = models.PositiveIntegerField(default=0)
    max_runners = models.PositiveIntegerField(default=10)
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_reason = models.CharField(max_length=200, blank=True, default="")
    owner = models.CharField(max_length=100, blank=True, default="")
    created_at = models.DateTimeField()
    # Set while starts of this pool keep failing, so that a broken pool does not churn
    backoff_until = models.DateTimeField(null=True, blank=True)
    consecutive_failures = models.PositiveIntegerField(default=0)
    quarantined_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("name",)
        constraints = (
            models.CheckConstraint(
                condition=Q(min_idle__lte=F("max_runners")), name="pool_min_idle_within_max"
            ),
        )

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("pool-detail", args=[self.name])

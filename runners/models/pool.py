"""Pools: our unit of scaling."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.urls import reverse


class Pool(models.Model):
    """A set of like runners: labels, scope, which hosts, and how many of them when.

    What a person decides is written by `pool_policy` only; docs/guide/scaling.md says what each
    field does.
    """

    class Preset(models.TextChoices):
        LAZY = "lazy", "Lazy"
        BALANCED = "balanced", "Balanced"
        AGGRESSIVE = "aggressive", "Aggressive"

    name = models.SlugField(max_length=40, unique=True)
    scope = models.ForeignKey("runners.Scope", on_delete=models.PROTECT, related_name="pools")
    labels = models.ManyToManyField("runners.Label", related_name="pools")
    runner_group_id = models.PositiveBigIntegerField(null=True, blank=True)
    runner_group_name = models.CharField(max_length=100, blank=True, default="")
    repositories = models.JSONField(default=list, blank=True)
    ephemeral = models.BooleanField(default=True)
    owner = models.CharField(max_length=100, blank=True, default="")
    # Which hosts, and what a runner takes of one
    architecture = models.CharField(max_length=20, blank=True, default="")
    needs_gpu = models.BooleanField(default=False)
    sites = models.JSONField(default=list, blank=True, help_text="In order of preference.")
    sites_only = models.BooleanField(default=False)
    host_labels = models.JSONField(default=list, blank=True)
    emulation = models.BooleanField(default=False)
    cpus = models.PositiveSmallIntegerField(default=0)
    memory_gib = models.PositiveIntegerField(default=0)
    disk_gib = models.PositiveIntegerField(default=0)
    runners_per_gpu = models.PositiveSmallIntegerField(default=1)
    # How many, and when they come and go; empty overrides follow the preset
    min_idle = models.PositiveIntegerField(default=0)
    max_runners = models.PositiveIntegerField(default=10)
    warm_spares = models.PositiveIntegerField(default=0)
    preset = models.CharField(max_length=20, choices=Preset.choices, default=Preset.AGGRESSIVE)
    scale_up_jobs = models.PositiveIntegerField(null=True, blank=True)
    scale_up_seconds = models.PositiveIntegerField(null=True, blank=True)
    idle_timeout_seconds = models.PositiveIntegerField(null=True, blank=True)
    start_deadline_seconds = models.PositiveIntegerField(null=True, blank=True)
    max_lifetime_seconds = models.PositiveIntegerField(default=0)
    scale_up_step = models.PositiveIntegerField(default=0)
    cooldown_seconds = models.PositiveIntegerField(default=0)
    priority = models.SmallIntegerField(default=0)
    weight = models.PositiveSmallIntegerField(default=1)
    time_zone = models.CharField(max_length=60, default="UTC")
    schedule = models.JSONField(default=list, blank=True)
    # Written by pools: a pause with its end, and when it last started runners for waiting jobs
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_until = models.DateTimeField(null=True, blank=True)
    paused_reason = models.CharField(max_length=200, blank=True, default="")
    scaled_at = models.DateTimeField(null=True, blank=True)
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
            models.CheckConstraint(
                condition=Q(preset__in=["lazy", "balanced", "aggressive"]),
                name="pool_preset_known",
            ),
            models.CheckConstraint(condition=Q(weight__gte=1), name="pool_weight_positive"),
            models.CheckConstraint(
                condition=Q(runners_per_gpu__gte=1) & Q(runners_per_gpu__lte=8),
                name="pool_runners_per_gpu_in_range",
            ),
        )

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("pool-detail", args=[self.name])


class Decision(models.Model):
    """What one look of the scaler found, decided and did, readable by a person and a program.

    `pools` and `waiting` hold one line each, as `decisions.record` writes them.
    """

    at = models.DateTimeField()
    scanned = models.PositiveIntegerField(help_text="Runners looked at.")
    demand = models.PositiveIntegerField(help_text="Jobs that wait and could be ours.")
    started = models.PositiveIntegerField()
    stopped = models.PositiveIntegerField()
    failed = models.PositiveIntegerField(default=0, help_text="Starts that did not come off.")
    registrations_left = models.PositiveIntegerField(null=True, blank=True)
    took_ms = models.PositiveIntegerField(default=0)
    pools = models.JSONField(default=list)
    waiting = models.JSONField(default=list)
    words = models.TextField(blank=True, default="")

    class Meta:
        ordering = ("-pk",)
        indexes = (
            # Housekeeping throws the oldest away; a page asks for those of a time
            models.Index(fields=("at",), name="decision_at"),
        )

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S}: {self.words}"

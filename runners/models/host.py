"""Hosts: the machines of ours that run runners, as their agents describe them."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Case, Q, QuerySet, Value, When
from django.urls import reverse

from runners.states import HostState


class HostQuerySet(QuerySet["Host"]):
    """Queries named after their use."""

    def in_service(self) -> Self:
        """Hosts that were not retired."""
        return self.filter(retired_at__isnull=True)

    def for_placement(self) -> Self:
        """Hosts in service with what placement and the fleet map look at, and no more.

        A thousand whole rows cost more to build than to choose among.
        """
        return self.in_service().only(
            "name",
            "site",
            "slots",
            "os",
            "architecture",
            "emulated",
            "emulations",
            "gpus",
            "checks",
            "cordoned_at",
            "cordoned_reason",
            "retired_at",
            "consecutive_failures",
            "backoff_until",
            "quarantined_at",
            "last_seen_at",
            "late_after",
            "offline_after",
            "cpu_count",
            "cpu_percent",
            "memory_bytes",
            "memory_used_bytes",
            "disk_total_bytes",
            "disk_used_bytes",
        )

    def with_state(self, now: datetime) -> Self:
        """Annotate `state`, the word of `host_state`, for filters and sorting."""
        return self.annotate(
            state=Case(
                When(retired_at__isnull=False, then=Value(HostState.RETIRED.value)),
                When(last_seen_at__isnull=True, then=Value(HostState.ENROLLING.value)),
                When(offline_after__lte=now, then=Value(HostState.OFFLINE.value)),
                When(late_after__lte=now, then=Value(HostState.LATE.value)),
                When(quarantined_at__isnull=False, then=Value(HostState.QUARANTINED.value)),
                When(cordoned_at__isnull=False, then=Value(HostState.CORDONED.value)),
                default=Value(HostState.ONLINE.value),
                output_field=models.CharField(),
            )
        )


class Host(models.Model):
    """A machine of ours on which one agent runs runners."""

    name = models.SlugField(max_length=63, unique=True)
    site = models.CharField(max_length=60, blank=True, default="")
    owner = models.CharField(max_length=100, blank=True, default="")
    slots = models.PositiveSmallIntegerField(default=1, help_text="Runners that may run at once.")
    # What each slot may use at most, kept by the host's control groups; null is no limit of its own
    slot_cpu_cores = models.FloatField(null=True, blank=True)
    slot_memory_bytes = models.PositiveBigIntegerField(null=True, blank=True)
    labels = models.ManyToManyField("runners.Label", blank=True, related_name="hosts")
    cordoned_at = models.DateTimeField(null=True, blank=True)
    cordoned_reason = models.CharField(max_length=200, blank=True, default="")
    retired_at = models.DateTimeField(null=True, blank=True)
    # Set while runners keep failing on it, so that the next goes elsewhere; then it is quarantined
    consecutive_failures = models.PositiveIntegerField(default=0)
    backoff_until = models.DateTimeField(null=True, blank=True)
    quarantined_at = models.DateTimeField(null=True, blank=True)
    wanted_version = models.PositiveIntegerField(default=0)
    # The agent's token: found by prefix, compared by digest (see runners.enrolment)
    token_prefix = models.CharField(max_length=16, blank=True, default="", db_index=True)
    token_sha256 = models.CharField(max_length=64, blank=True, default="")
    token_rotated_at = models.DateTimeField(null=True, blank=True)
    # A rotation in progress: handed out with each answer until the agent used it once
    token_rotation_asked_at = models.DateTimeField(null=True, blank=True)
    next_token_prefix = models.CharField(max_length=16, blank=True, default="", db_index=True)
    next_token_sha256 = models.CharField(max_length=64, blank=True, default="")
    # Facts, told by the agent
    hostname = models.CharField(max_length=253, blank=True, default="")
    os = models.CharField(max_length=20, blank=True, default="")
    os_version = models.CharField(max_length=100, blank=True, default="")
    kernel = models.CharField(max_length=100, blank=True, default="")
    architecture = models.CharField(max_length=20, blank=True, default="")
    kernel_architecture = models.CharField(max_length=20, blank=True, default="")
    emulated = models.BooleanField(default=False)
    posing = models.BooleanField(default=False)
    cpu_count = models.PositiveIntegerField(null=True, blank=True)
    memory_bytes = models.PositiveBigIntegerField(null=True, blank=True)
    disk_total_bytes = models.PositiveBigIntegerField(null=True, blank=True)
    gpus = models.JSONField(default=list, blank=True)
    gpu_source = models.CharField(max_length=200, blank=True, default="")
    # How it keeps jobs apart: limits, user, view, credentials (see host_facts)
    isolation = models.JSONField(default=dict, blank=True)
    boot_id = models.CharField(max_length=64, blank=True, default="")
    agent_version = models.CharField(max_length=40, blank=True, default="")
    clock_skew_seconds = models.FloatField(null=True, blank=True)
    cpu_topology = models.CharField(max_length=100, blank=True, default="")
    checks = models.JSONField(default=list, blank=True)
    emulations = models.JSONField(default=list, blank=True)
    facts_digest = models.CharField(max_length=64, blank=True, default="")
    # The last sample, told by the agent
    cpu_percent = models.FloatField(null=True, blank=True)
    load1 = models.FloatField(null=True, blank=True)
    memory_used_bytes = models.PositiveBigIntegerField(null=True, blank=True)
    disk_used_bytes = models.PositiveBigIntegerField(null=True, blank=True)
    temperature_celsius = models.FloatField(null=True, blank=True)
    gpu_readings = models.JSONField(default=list, blank=True)
    github_p95_ms = models.FloatField(null=True, blank=True)
    github_verdict = models.CharField(max_length=10, blank=True, default="")
    journal_seq = models.BigIntegerField(default=0)
    # What the agent found there that belongs to no runner of ours, and what it is told to clean
    leftovers = models.JSONField(default=list, blank=True)
    leftovers_to_clean = models.JSONField(default=list, blank=True)
    # What a heartbeat looked like after which nothing was left to do (see heartbeat.quick)
    quiet_digest = models.CharField(max_length=64, blank=True, default="")
    sampled_at = models.DateTimeField(null=True, blank=True)
    # Times, by the server's clock
    enrolled_at = models.DateTimeField()
    last_seen_at = models.DateTimeField(null=True, blank=True)
    late_after = models.DateTimeField(null=True, blank=True)
    offline_after = models.DateTimeField(null=True, blank=True)
    offline_noted_at = models.DateTimeField(null=True, blank=True)

    objects = HostQuerySet.as_manager()

    class Meta:
        ordering = ("name",)
        indexes = (
            # sweep_hosts: hosts past their deadline whose silence was not recorded yet
            models.Index(
                fields=("offline_after",),
                name="host_offline_due",
                condition=Q(retired_at__isnull=True, offline_noted_at__isnull=True),
            ),
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(slots__gte=1) & Q(slots__lte=256), name="host_slots_in_range"
            ),
        )

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("host-detail", args=[self.name])

    @property
    def cordoned(self) -> bool:
        return self.cordoned_at is not None

    @property
    def gpu_devices(self) -> list[str]:
        """What can be given to one runner each: the GPUs that work, a divided one by instance.

        A processor's own graphics are none.
        """
        return [
            device
            for gpu in self.gpus
            if gpu.get("state", "ok") == "ok" and not gpu.get("integrated")
            for device in (
                [one["uuid"] for one in gpu["mig"]]
                if gpu.get("mig")
                else [gpu.get("uuid") or f"pci:{gpu.get('pci', '')}"]
            )
        ]

    @property
    def gpu_count(self) -> int:
        return len(self.gpu_devices)

    def state_at(self, now: datetime) -> HostState:
        """The word for this host; equal to the `with_state` annotation."""
        if self.retired_at is not None:
            return HostState.RETIRED
        if self.last_seen_at is None:
            return HostState.ENROLLING
        if self.offline_after is not None and self.offline_after <= now:
            return HostState.OFFLINE
        if self.late_after is not None and self.late_after <= now:
            return HostState.LATE
        if self.quarantined_at is not None:
            return HostState.QUARANTINED
        return HostState.CORDONED if self.cordoned_at is not None else HostState.ONLINE


class Sample(models.Model):
    """One measurement of a host; thinned by age."""

    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="samples")
    at = models.DateTimeField()
    cpu_percent = models.FloatField()
    load1 = models.FloatField(null=True)
    memory_used_bytes = models.PositiveBigIntegerField()
    disk_used_bytes = models.PositiveBigIntegerField()
    network_sent_bytes = models.PositiveBigIntegerField(null=True)
    network_received_bytes = models.PositiveBigIntegerField(null=True)

    class Meta:
        indexes = (
            # The host page's charts: one host's samples, newest first
            models.Index(fields=("host", "-at"), name="sample_host_at"),
        )

    def __str__(self) -> str:
        return f"{self.host_id} at {self.at:%Y-%m-%d %H:%M:%S}"

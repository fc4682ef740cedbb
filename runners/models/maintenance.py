"""Rolling maintenance: hosts taken out a few at a time, worked on, and given back."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class Maintenance(models.Model):
    """One round over a set of hosts; `runners.maintenance` moves it on."""

    class Act(models.TextChoices):
        CONFIRM = "confirm", "Until somebody says a host is done"
        REBOOT = "reboot", "Until a host was restarted"
        MINUTES = "minutes", "For some minutes"

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        PAUSED = "paused", "Paused"
        DONE = "done", "Done"
        STOPPED = "stopped", "Stopped"

    reason = models.CharField(max_length=200)
    act = models.CharField(max_length=10, choices=Act.choices)
    minutes = models.PositiveIntegerField(default=30)
    percent_out = models.PositiveSmallIntegerField(
        default=25, help_text="The largest share of any label's slots out at once."
    )
    drain_minutes = models.PositiveIntegerField(
        null=True, blank=True, help_text="A job still running then is ended; empty: wait."
    )
    state = models.CharField(max_length=10, choices=State.choices, default=State.RUNNING)
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at",)
        constraints = (
            models.CheckConstraint(
                condition=Q(percent_out__gte=1) & Q(percent_out__lte=100),
                name="maintenance_percent_in_range",
            ),
        )

    def __str__(self) -> str:
        return self.reason


class MaintenanceHost(models.Model):
    """One host's turn within a round."""

    class Step(models.TextChoices):
        WAITING = "waiting", "Waiting for its turn"
        DRAINING = "draining", "Finishing its jobs"
        ACTING = "acting", "Being worked on"
        DONE = "done", "Back in service"
        SKIPPED = "skipped", "Skipped"

    maintenance = models.ForeignKey(Maintenance, on_delete=models.CASCADE, related_name="hosts")
    host = models.ForeignKey(
        "runners.Host", on_delete=models.CASCADE, related_name="maintenance_turns"
    )
    position = models.PositiveIntegerField()
    step = models.CharField(max_length=10, choices=Step.choices, default=Step.WAITING)
    step_at = models.DateTimeField(null=True, blank=True)
    boot_id = models.CharField(max_length=64, blank=True, default="")
    cordoned_before = models.BooleanField(default=False)
    note = models.CharField(max_length=200, blank=True, default="")

    class Meta:
        ordering = ("maintenance", "position")
        constraints = (
            models.UniqueConstraint(fields=("maintenance", "host"), name="maintenance_host_unique"),
            models.UniqueConstraint(
                fields=("host",),
                name="maintenance_host_once_at_a_time",
                condition=Q(step__in=["draining", "acting"]),
            ),
        )

    def __str__(self) -> str:
        return f"{self.host_id} {self.step}"

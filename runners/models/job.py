"""Workflow jobs, as runners' hosts and GitHub tell them."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import Q, QuerySet
from django.urls import reverse

from runners.failure import FailureClass
from runners.waits import WaitCause


class JobQuerySet(QuerySet["Job"]):
    """Queries named after their use."""

    def unfinished(self) -> Self:
        """What waits or runs, by the partial index `job_open`.

        SQLite uses that only for its own condition in so many words, whatever status is asked for
        besides; without it a million past jobs are looked at.
        """
        return self.exclude(status=Job.Status.COMPLETED)


class Job(models.Model):
    """One GitHub workflow job; moves only forward within one run attempt."""

    class Status(models.TextChoices):
        WAITING = "waiting", "Waiting for approval"
        QUEUED = "queued", "Queued"
        IN_PROGRESS = "in_progress", "Running"
        COMPLETED = "completed", "Completed"

    scope = models.ForeignKey("runners.Scope", on_delete=models.CASCADE, related_name="jobs")
    github_id = models.PositiveBigIntegerField()
    run_id = models.PositiveBigIntegerField()
    run_attempt = models.PositiveIntegerField(default=1)
    repository = models.CharField(max_length=200)
    workflow_name = models.CharField(max_length=300, blank=True, default="")
    name = models.CharField(max_length=300)
    labels = models.JSONField(default=list)
    html_url = models.URLField(max_length=500, blank=True, default="")
    head_branch = models.CharField(max_length=255, blank=True, default="")
    status = models.CharField(max_length=20, choices=Status.choices)
    conclusion = models.CharField(max_length=20, blank=True, default="")
    # Whose failure it was, when it was lost with its runner
    failure_class = models.CharField(
        max_length=20, choices=FailureClass.choices, blank=True, default=""
    )
    failure_reason = models.TextField(blank=True, default="")
    runner = models.ForeignKey(
        "runners.Runner", null=True, blank=True, on_delete=models.SET_NULL, related_name="jobs"
    )
    runner_name = models.CharField(max_length=64, blank=True, default="")
    queued_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    seen_at = models.DateTimeField()
    # From its start until its first step, which sets it up, was done; told by GitHub
    setup_seconds = models.FloatField(null=True, blank=True)
    # Its history, written once it is completed by runners.history; names stay when rows go
    label_set = models.CharField(max_length=500, blank=True, default="")
    pool_name = models.CharField(max_length=40, blank=True, default="")
    host_name = models.CharField(max_length=63, blank=True, default="")
    site = models.CharField(max_length=60, blank=True, default="")
    architecture = models.CharField(max_length=20, blank=True, default="")
    wait_cause = models.CharField(
        max_length=20, choices=WaitCause.choices, blank=True, default="", help_text="When late."
    )
    # The highest its host told, in percent of one core and in bytes
    peak_cpu_percent = models.FloatField(null=True, blank=True)
    peak_memory_bytes = models.PositiveBigIntegerField(null=True, blank=True)
    # Empty while its day has to be added up anew
    settled_at = models.DateTimeField(null=True, blank=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ("-queued_at",)
        indexes = (
            # history.settle: completed jobs whose day has to be added up anew
            models.Index(
                fields=("completed_at",),
                name="job_unsettled",
                condition=Q(status="completed", settled_at__isnull=True),
            ),
            # history: the jobs of a day, and the oldest to be thrown away
            models.Index(fields=("completed_at",), name="job_completed"),
            # The queue target's last hours
            models.Index(fields=("started_at",), name="job_started"),
            # The queue: what waits or runs now, oldest first
            models.Index(
                fields=("status", "queued_at"), name="job_open", condition=~Q(status="completed")
            ),
            # A runner's page: its jobs, newest first
            models.Index(fields=("runner", "-queued_at"), name="job_runner"),
            # Recent jobs of the fleet
            models.Index(fields=("-queued_at",), name="job_recent"),
        )
        constraints = (
            models.UniqueConstraint(
                fields=("scope", "github_id", "run_attempt"), name="job_attempt_unique"
            ),
            models.CheckConstraint(
                condition=Q(status__in=["waiting", "queued", "in_progress", "completed"]),
                name="job_status_known",
            ),
        )

    def __str__(self) -> str:
        return f"{self.repository} · {self.name}"

    def get_absolute_url(self) -> str:
        return reverse("job-detail", args=[self.pk])

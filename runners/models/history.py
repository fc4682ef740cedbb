"""What months of jobs add up to: one row a day and subject, from which every report is read."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class JobDay(models.Model):
    """The jobs of one day (UTC, by when they ended) of one subject; written anew from the jobs.

    `kind` and `key` name the subject: a pool by its name, a set of labels by its names, a workflow
    as repository/workflow, a build as that and its architecture, a share as
    architecture|pool|repository, which costs are told apart by. Lengths are histograms
    (`runners.histograms`), so that days add up and still answer percentiles.
    """

    class Kind(models.TextChoices):
        FLEET = "fleet", "Whole fleet"
        LABELS = "labels", "Label set"
        POOL = "pool", "Pool"
        REPOSITORY = "repository", "Repository"
        WORKFLOW = "workflow", "Workflow"
        BUILD = "build", "Workflow and architecture"
        HOST = "host", "Host"
        SITE = "site", "Site"
        SHARE = "share", "Architecture, pool and repository"

    kind = models.CharField(max_length=12, choices=Kind.choices)
    key = models.CharField(max_length=520)
    day = models.DateField()
    jobs = models.PositiveIntegerField(default=0)
    succeeded = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    cancelled = models.PositiveIntegerField(default=0)
    # Failed ones by whose the failure was
    failed_product = models.PositiveIntegerField(default=0)
    failed_runner = models.PositiveIntegerField(default=0)
    failed_environment = models.PositiveIntegerField(default=0)
    failed_infrastructure = models.PositiveIntegerField(default=0)
    # Each job's run rounded up to a minute, as hosted runners are billed; and the run itself
    billed_minutes = models.PositiveIntegerField(default=0)
    run_seconds = models.FloatField(default=0)
    started = models.PositiveIntegerField(default=0)
    # Starts later than the queue target in force when they were counted, by cause
    late = models.PositiveIntegerField(default=0)
    late_causes = models.JSONField(default=dict, blank=True)
    # Histograms of lengths in seconds; `startup` is of runners, a build's `total` of whole runs
    queue = models.JSONField(default=dict, blank=True)
    setup = models.JSONField(default=dict, blank=True)
    run = models.JSONField(default=dict, blank=True)
    total = models.JSONField(default=dict, blank=True)
    startup = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ("day", "kind", "key")
        constraints = (
            # Also serves one subject over a stretch of days
            models.UniqueConstraint(fields=("kind", "key", "day"), name="job_day_unique"),
            models.CheckConstraint(
                condition=Q(
                    kind__in=[
                        "fleet",
                        "labels",
                        "pool",
                        "repository",
                        "workflow",
                        "build",
                        "host",
                        "site",
                        "share",
                    ]
                ),
                name="job_day_kind_known",
            ),
        )
        indexes = (
            # A report: every subject of a kind over a stretch of days; machine time from it alone
            models.Index(fields=("kind", "day", "key", "run_seconds"), name="job_day_time"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.key} on {self.day}"

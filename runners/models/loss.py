"""What a failed runner left to learn from: cause, exit, last lines, and its host at that second."""

from __future__ import annotations

from django.db import models

from runners.failure import Cause


class Postmortem(models.Model):
    """Why one runner failed, written once when it did; names the job that was lost with it."""

    runner = models.OneToOneField(
        "runners.Runner", on_delete=models.CASCADE, related_name="postmortem", primary_key=True
    )
    at = models.DateTimeField()
    cause = models.CharField(max_length=30, choices=Cause.choices)
    words = models.TextField()
    exit_code = models.IntegerField(null=True, blank=True)
    was_phase = models.CharField(max_length=20, blank=True, default="")
    job = models.ForeignKey(
        "runners.Job", null=True, blank=True, on_delete=models.SET_NULL, related_name="losses"
    )
    job_name = models.CharField(max_length=300, blank=True, default="")
    log_tail = models.TextField(blank=True, default="")
    host_facts = models.JSONField(default=dict, blank=True)

    class Meta:
        indexes = (
            # Lost jobs and failures of the last days, newest first
            models.Index(fields=("-at",), name="postmortem_recent"),
        )

    def __str__(self) -> str:
        return f"{self.get_cause_display()} at {self.at:%Y-%m-%d %H:%M:%S}"

"""What GitHub delivered to us."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.urls import reverse


class Delivery(models.Model):
    """A webhook delivery we accepted, by hook and GUID, so that the second copy changes nothing."""

    class Result(models.TextChoices):
        PENDING = "pending", "Waits for the worker"
        CHANGED = "changed", "Changed something"
        NOTHING_NEW = "nothing", "Nothing new"
        IGNORED = "ignored", "Kept, not understood"
        FAILED = "failed", "Could not be taken in"

    scope = models.ForeignKey("runners.Scope", on_delete=models.CASCADE, related_name="deliveries")
    hook_id = models.CharField(max_length=40)
    guid = models.CharField(max_length=64)
    event = models.CharField(max_length=60)
    action = models.CharField(max_length=60, blank=True, default="")
    repository = models.CharField(max_length=200, blank=True, default="")
    # GitHub's id of the job or run it is about
    subject_id = models.PositiveBigIntegerField(null=True, blank=True)
    # What we need of the payload and nothing else: runners.delivery_content.essence
    payload = models.JSONField(null=True)
    replayed = models.BooleanField(
        default=False, help_text="It was lost on the way; we fetched it from GitHub's list."
    )
    received_at = models.DateTimeField()
    processed_at = models.DateTimeField(null=True, blank=True)
    result = models.CharField(max_length=20, choices=Result.choices, default=Result.PENDING)
    outcome = models.CharField(max_length=200, blank=True, default="")

    class Meta:
        ordering = ("-pk",)
        verbose_name_plural = "deliveries"
        indexes = (
            # The worker's next batch of a scope, oldest first
            models.Index(
                fields=("scope", "id"),
                name="delivery_pending",
                condition=Q(processed_at__isnull=True),
            ),
            # The last delivery of a scope; the list of one scope
            models.Index(fields=("scope", "-received_at"), name="delivery_scope"),
            # The list of what went wrong, newest first
            models.Index(
                fields=("-id",),
                name="delivery_trouble",
                condition=Q(result__in=["ignored", "failed"]),
            ),
            # What is old enough to be forgotten
            models.Index(fields=("received_at",), name="delivery_received"),
        )
        constraints = (
            models.UniqueConstraint(
                fields=("scope", "hook_id", "guid"), name="delivery_guid_unique"
            ),
            models.CheckConstraint(
                condition=Q(result__in=["pending", "changed", "nothing", "ignored", "failed"]),
                name="delivery_result_known",
            ),
        )

    def __str__(self) -> str:
        return f"{self.event} {self.guid}"

    def get_absolute_url(self) -> str:
        return reverse("delivery-detail", args=[self.pk])

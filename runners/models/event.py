"""Events: everything that was ever done, append-only; lifecycle and audit in one."""

from __future__ import annotations

from typing import Any, NoReturn

from django.conf import settings
from django.db import models
from django.db.models import QuerySet

REFUSAL = "Events are append-only: they are neither changed nor deleted."


class EventQuerySet(QuerySet["Event"]):
    """Read and append only, in bulk as one by one."""

    def update(self, **kwargs: Any) -> NoReturn:
        raise TypeError(REFUSAL)

    def delete(self) -> NoReturn:
        raise TypeError(REFUSAL)


class Event(models.Model):
    """Who did what to which object, from which state to which, and why. Never changed, never
    deleted."""

    class ActorKind(models.TextChoices):
        USER = "user", "User"
        SYSTEM = "system", "Fleetui"
        AGENT = "agent", "Host agent"
        GITHUB = "github", "GitHub"
        COMMAND = "command", "Command line"

    at = models.DateTimeField()
    actor_kind = models.CharField(max_length=10, choices=ActorKind.choices)
    actor_name = models.CharField(max_length=150)
    actor_user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL
    )
    action = models.CharField(max_length=60)
    object_kind = models.CharField(max_length=40)
    object_id = models.BigIntegerField(null=True, blank=True)
    object_name = models.CharField(max_length=200)
    # The host it happened on, so that a host's page has one timeline with its runners' events
    host = models.ForeignKey(
        "runners.Host", null=True, blank=True, on_delete=models.SET_NULL, related_name="events"
    )
    was = models.CharField(max_length=200, blank=True, default="")
    became = models.CharField(max_length=200, blank=True, default="")
    reason = models.TextField(blank=True, default="")
    detail = models.JSONField(default=dict, blank=True)

    objects = EventQuerySet.as_manager()

    class Meta:
        ordering = ("-at", "-pk")
        indexes = (
            # The audit log and the overview: newest first
            models.Index(fields=("-at", "-id"), name="event_recent"),
            # One object's timeline
            models.Index(fields=("object_kind", "object_id", "-at"), name="event_object"),
            # One host's timeline
            models.Index(fields=("host", "-at"), name="event_host"),
            # What people did in the last days (runners.manual)
            models.Index(fields=("actor_kind", "-at"), name="event_by_actor_kind"),
        )

    def __str__(self) -> str:
        return f"{self.action} {self.object_name}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert only: an event that exists is history."""
        if self.pk is not None:
            raise TypeError(REFUSAL)
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Refuse: events are kept."""
        raise TypeError(REFUSAL)

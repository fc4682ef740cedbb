"""One-time enrolment codes; the agent's own token lives on its host row (one query a heartbeat)."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class EnrolmentCode(models.Model):
    """A code that lets one machine become one host, once, within minutes. Stored as a digest."""

    prefix = models.CharField(max_length=16, unique=True)
    sha256 = models.CharField(max_length=64)
    site = models.CharField(max_length=60, blank=True, default="")
    slots = models.PositiveSmallIntegerField(null=True, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL
    )
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)
    host = models.ForeignKey("runners.Host", null=True, blank=True, on_delete=models.SET_NULL)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return f"fle_{self.prefix}_…"

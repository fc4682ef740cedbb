"""Repositories whose workflow runs we look at."""

from __future__ import annotations

from django.db import models


class Repository(models.Model):
    """A repository of a scope and when we last looked at its runs: the cursor of the sweep."""

    scope = models.ForeignKey(
        "runners.Scope", on_delete=models.CASCADE, related_name="repositories"
    )
    full_name = models.CharField(max_length=200)
    # Told by GitHub's list, written by job_polling
    pushed_at = models.DateTimeField(null=True, blank=True)
    # Its newest runs were asked for; every open run was asked for; a run or job was told of
    looked_at = models.DateTimeField(null=True, blank=True)
    confirmed_at = models.DateTimeField(null=True, blank=True)
    active_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("full_name",)
        verbose_name_plural = "repositories"
        constraints = (
            models.UniqueConstraint(fields=("scope", "full_name"), name="repository_unique"),
        )

    def __str__(self) -> str:
        return self.full_name

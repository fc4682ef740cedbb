"""Labels: the names `runs-on` matches."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Lower


class Label(models.Model):
    """A runner label; GitHub matches names without regard to case, so one row serves every
    spelling."""

    name = models.CharField(max_length=256)

    class Meta:
        ordering = ("name",)
        constraints = (models.UniqueConstraint(Lower("name"), name="label_name_unique"),)

    def __str__(self) -> str:
        return self.name

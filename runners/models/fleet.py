"""What holds for the whole fleet: owner mark, quiesce, and what is mended without asking."""

from __future__ import annotations

from django.db import models


class Fleet(models.Model):
    """The one row of this installation; read it through `runners.fleet`."""

    owner_mark = models.CharField(
        max_length=40, help_text="The label every runner of ours carries at GitHub."
    )
    # While set, no path admits a new runner; jobs go on
    quiesced_at = models.DateTimeField(null=True, blank=True)
    quiesced_reason = models.CharField(max_length=200, blank=True, default="")
    # Kinds of drift mended without asking; empty: the safe ones (runners.drift_kinds)
    auto_fix = models.JSONField(null=True, blank=True)
    # What hosts keep for themselves; empty: the defaults of runners.fleet.Reserve
    reserve = models.JSONField(null=True, blank=True)
    scaling_wanted = models.BooleanField(
        default=False, help_text="A look at the pools is queued and has not begun."
    )

    def __str__(self) -> str:
        return self.owner_mark

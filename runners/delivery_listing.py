"""Which deliveries somebody wants to see; unknown values narrow nothing."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import QuerySet

from runners.models import Delivery


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for; "" and None narrow nothing. `search` is a part of a repository's name or
    the beginning of a GUID."""

    scope: str = ""
    event: str = ""
    action: str = ""
    result: str = ""
    search: str = ""

    @property
    def narrowed(self) -> bool:
        """Whether anything was asked for."""
        return any((self.scope, self.event, self.action, self.result, self.search))


def find(wanted: Wanted) -> QuerySet[Delivery]:
    """The deliveries that fit, newest first."""
    rows = Delivery.objects.select_related("scope").order_by("-pk")
    if wanted.scope:
        rows = rows.filter(scope__slug=wanted.scope)
    if wanted.event:
        rows = rows.filter(event=wanted.event)
    if wanted.action:
        rows = rows.filter(action=wanted.action)
    if wanted.result in Delivery.Result.values:
        rows = rows.filter(result=wanted.result)
    if wanted.search:
        rows = rows.filter(guid__startswith=wanted.search) | rows.filter(
            repository__icontains=wanted.search
        )
    return rows

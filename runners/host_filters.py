"""The query string of the hosts list: what narrows and orders it. Unknown values do neither."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import Count, F, FloatField, Q, QuerySet, Value
from django.db.models.functions import Cast, NullIf
from django.http import QueryDict

from runners.models import Host, HostQuerySet
from runners.states import HostState

DEFAULT_SORT: Final = "site"
# A sort key in the address and the columns it means; every order ends in the unique name.
_SORTS: Final = {
    "site": ("site", "name"),
    "name": ("name",),
    "cpu": ("cpu_percent", "name"),
    "memory": ("memory_share", "name"),
    "disk": ("disk_share", "name"),
    "seen": ("last_seen_at", "name"),
}


@dataclass(frozen=True, slots=True)
class HostChip:
    """A state with the number of hosts in it, under the other filters."""

    state: str
    word: str
    count: int
    chosen: bool


@dataclass(frozen=True, slots=True)
class HostListing:
    """The filtered, ordered rows and what the page shows around them."""

    rows: QuerySet[Host]
    chips: list[HostChip]
    all_count: int
    search: str
    state: str
    sort: str
    narrowed: bool

    @property
    def by_site(self) -> bool:
        return self.sort == DEFAULT_SORT


def list_hosts(query: QueryDict, *, now: datetime) -> HostListing:
    """Apply the address's filters and order; one query, for the counts of the states."""
    search = query.get("q", "").strip()
    filtered = _narrowed(Host.objects.with_state(now), query, search)
    counts: dict[str, int] = dict(
        filtered.order_by().values_list(F("state")).annotate(number=Count("pk"))
    )
    state = query.get("state", "")
    state = state if state in HostState.values else ""
    rows = (
        filtered.filter(Q(state=state)) if state else filtered.exclude(Q(state=HostState.RETIRED))
    )
    sort = query.get("sort", "")
    sort = sort if sort.removeprefix("-") in _SORTS else DEFAULT_SORT
    return HostListing(
        rows=_ordered(rows, sort),
        chips=[
            HostChip(
                word.value, CHIP_WORDS.get(word, word.label), counts.get(word, 0), word == state
            )
            for word in HostState
            if counts.get(word) or word == state
        ],
        all_count=sum(number for word, number in counts.items() if word != HostState.RETIRED),
        search=search,
        state=state,
        sort=sort,
        narrowed=bool(state or search or query.get("site") or query.get("label")),
    )


CHIP_WORDS: Final = {HostState.ENROLLING: "Enrolling"}


def _narrowed(hosts: HostQuerySet, query: QueryDict, search: str) -> HostQuerySet:
    if search:
        hosts = hosts.filter(
            Q(name__icontains=search)
            | Q(hostname__icontains=search)
            | Q(site__icontains=search)
            | Q(architecture__iexact=search)
            | Q(os_version__icontains=search)
            | Q(agent_version__startswith=search)
        )
    if site := query.get("site", ""):
        hosts = hosts.filter(site=site)
    return hosts


def _ordered(hosts: HostQuerySet, sort: str) -> QuerySet[Host]:
    hosts = hosts.annotate(
        memory_share=_share("memory_used_bytes", "memory_bytes"),
        disk_share=_share("disk_used_bytes", "disk_total_bytes"),
    )
    down = sort.startswith("-")
    columns = [F(column) for column in _SORTS[sort.removeprefix("-")]]
    return hosts.order_by(
        *(
            column.desc(nulls_last=True) if down else column.asc(nulls_last=True)
            for column in columns
        )
    )


def _share(used: str, total: str) -> Cast:
    """Used over total as a number; null where either is unknown or the total is nought."""
    return Cast(F(used), FloatField()) / NullIf(Cast(F(total), FloatField()), Value(0.0))  # type: ignore[return-value]

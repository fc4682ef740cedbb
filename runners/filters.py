"""The query string of the runners list: what narrows it, what orders it; nonsense does neither."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import django_filters
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django.http import QueryDict

from runners.models import Host, Job, Label, Pool, Runner, RunnerQuerySet
from runners.states import DisplayState

MODES: Final = (("ephemeral", "Ephemeral"), ("persistent", "Persistent"))
DEFAULT_SORT: Final = "state"
# A sort key in the address and the columns it means; every order ends in the unique key.
_SORTS: Final = {
    "state": ("urgency", "name"),
    "name": ("name",),
    "host": ("host__name", "slot"),
    "cpu": ("cpu_percent", "name"),
    "age": ("-created_at", "name"),
}


class RunnerFilter(django_filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    """Facets of the runners list; `state` is applied apart, after its counts were taken."""

    q = django_filters.CharFilter(method="search", strip=True)
    pool = django_filters.CharFilter(field_name="pool__name")
    host = django_filters.CharFilter(field_name="host__name")
    label = django_filters.CharFilter(method="with_label", strip=True)
    mode = django_filters.ChoiceFilter(choices=MODES, method="of_mode")

    class Meta:
        model = Runner
        fields: tuple[str, ...] = ()

    def search(self, rows: RunnerQuerySet, name: str, words: str) -> RunnerQuerySet:
        """Match the name of runner, host, job or repository; `label:gpu` means a label."""
        if words.startswith("label:"):
            return self.with_label(rows, name, words.removeprefix("label:").strip())
        # One scan of the open jobs, by their partial index, instead of a look-up a runner
        at_work = (
            Job.objects.unfinished()
            .filter(status=Job.Status.IN_PROGRESS, runner__isnull=False)
            .filter(Q(repository__icontains=words) | Q(name__icontains=words))
        )
        return rows.filter(
            Q(name__icontains=words)
            | Q(host__name__icontains=words)
            | Q(job_name__icontains=words)
            | Q(pk__in=at_work.values("runner_id"))
        )

    def with_label(self, rows: RunnerQuerySet, name: str, label: str) -> RunnerQuerySet:
        """Match a label as GitHub does, without regard to case."""
        return rows.filter(Exists(Label.objects.filter(runners=OuterRef("pk"), name__iexact=label)))

    def of_mode(self, rows: RunnerQuerySet, name: str, mode: str) -> RunnerQuerySet:
        return rows.filter(ephemeral=mode == "ephemeral")


@dataclass(frozen=True, slots=True)
class Facet:
    """One thing to narrow by: its name in the address, its choices, and the chosen one."""

    name: str
    label: str
    chosen: str
    choices: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class StateChip:
    """A state with the number of runners in it, under the other filters."""

    state: str
    word: str
    count: int
    chosen: bool


@dataclass(frozen=True, slots=True)
class RunnerListing:
    """The filtered, ordered rows and what the page shows around them."""

    rows: QuerySet[Runner]
    chips: list[StateChip]
    all_count: int
    facets: list[Facet]
    search: str
    state: str
    sort: str
    narrowed: bool


def list_runners(query: QueryDict, *, now: datetime) -> RunnerListing:
    """Apply the address's filters and order; four queries for the counts and the choices."""
    every = Runner.objects.with_display_state(now).with_urgency(now)
    filtered = RunnerFilter(query, queryset=every).qs
    counts: dict[str, int] = dict(
        filtered.order_by().values_list("display").annotate(number=Count("pk"))
    )
    state = query.get("state", "")
    state = state if state in DisplayState.values else ""
    rows = filtered.filter(display=state) if state else filtered.exclude(state="removed")
    facets = _facets(query)
    return RunnerListing(
        rows=_ordered(rows, query.get("sort", "")),
        chips=[
            StateChip(word.value, word.label, counts.get(word, 0), word == state)
            for word in DisplayState
            if counts.get(word) or word == state
        ],
        all_count=sum(number for word, number in counts.items() if word != DisplayState.REMOVED),
        facets=facets,
        search=query.get("q", ""),
        state=state,
        sort=_sort_key(query.get("sort", "")),
        narrowed=bool(state or query.get("q") or any(facet.chosen for facet in facets)),
    )


def _sort_key(asked: str) -> str:
    return asked if asked.removeprefix("-") in _SORTS else DEFAULT_SORT


def _ordered(rows: QuerySet[Runner], asked: str) -> QuerySet[Runner]:
    key = _sort_key(asked)
    columns: list[Any] = []
    for column in _SORTS[key.removeprefix("-")]:
        down = column.startswith("-") != key.startswith("-")
        name = F(column.removeprefix("-"))
        columns.append(name.desc(nulls_last=True) if down else name.asc(nulls_last=True))
    return rows.order_by(*columns, "pk")


def _facets(query: QueryDict) -> list[Facet]:
    pools = Pool.objects.values_list("name", flat=True)
    hosts = Host.objects.in_service().values_list("name", flat=True)
    used = Exists(Runner.labels.through.objects.filter(label_id=OuterRef("pk")))
    labels = Label.objects.filter(used).values_list("name", flat=True)
    named = (("pool", "Pool", pools), ("host", "Host", hosts), ("label", "Label", labels))
    facets = [
        Facet(name, label, query.get(name, ""), [(choice, choice) for choice in choices])
        for name, label, choices in named
    ]
    mode = query.get("mode", "")
    chosen = mode if mode in dict(MODES) else ""
    return [*facets, Facet("mode", "Mode", chosen, list(MODES))]

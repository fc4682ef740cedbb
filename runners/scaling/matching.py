"""Which runners may take which jobs: labels, scopes and repositories, looked up by bit masks.

A job goes to a runner that carries all its labels, registered where its repository reaches it
(GitHub Docs "Using self-hosted runners in a workflow").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

from runners.scaling.picture import Demand, PoolView, RunnerView, ScopeView

HOSTED: Final = re.compile(r"(ubuntu|windows|macos)-[a-z0-9._-]+")
"""Labels of GitHub's own runners, in lower case."""


@dataclass(slots=True)
class Source:
    """Runners that share labels, scope and repositories: a pool, or some without one (`pool` None).

    What a plan learns of them as it goes. `free_*`: not yet spoken for by a waiting job;
    `spoken_for`: those on their way that are. `asked`: jobs that any of them may take. `expired`:
    idle ones past their lifetime; `overdue`: those past their start deadline. `leaving_hosts`: of
    runners whose slots are about to be free.
    """

    order: int
    name: str
    scope: ScopeView
    labels: frozenset[str]
    pool: PoolView | None = None
    repositories: tuple[str, ...] = ()
    idle: list[RunnerView] = field(default_factory=list)
    starting: list[RunnerView] = field(default_factory=list)
    overdue: int = 0
    busy: list[RunnerView] = field(default_factory=list)
    draining: int = 0
    unknown: int = 0
    offline: int = 0
    free_untold: int = 0
    free_idle: int = 0
    free_starting: int = 0
    spoken_for: int = 0
    asked: int = 0
    expired: int = 0
    leaving_hosts: list[int] = field(default_factory=list)

    @property
    def counted(self) -> int:
        """Runners that count towards the maximum: everything that runs a job or may do so."""
        there = len(self.idle) + len(self.starting) + len(self.busy)
        return there + self.overdue + self.draining + self.unknown + self.offline


def reaches(scope: ScopeView, demand: Demand) -> bool:
    """Whether runners of this scope may be given jobs of that repository."""
    if scope.id == demand.scope.id:
        return True
    if scope.server != demand.scope.server:
        return False
    repository = demand.repository.lower()
    if scope.kind == "organization":
        return repository.partition("/")[0] == scope.owner
    return scope.kind == "repository" and repository == scope.slug.lower()


def admits(repositories: Sequence[str], repository: str) -> bool:
    """Whether a pool lets this repository in; a pattern may hold `*`."""
    name = repository.lower()
    return not repositories or any(fnmatchcase(name, pattern) for pattern in repositories)


def asks_for_hosted(labels: Iterable[str]) -> bool:
    """Whether these labels are those of GitHub's own runners."""
    names = list(labels)
    return bool(names) and all(HOSTED.fullmatch(name) for name in names)


class Index:
    """Finds the sources for a group of jobs without looking at each."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = sources
        self._by_label: dict[str, int] = {}
        self._every = (1 << len(sources)) - 1
        for source in sources:
            for label in source.labels:
                self._by_label[label] = self._by_label.get(label, 0) | (1 << source.order)
        self._fitting: dict[frozenset[str], tuple[Source, ...]] = {}
        self._reaching: dict[tuple[int, str], frozenset[int]] = {}

    def fitting(self, labels: frozenset[str]) -> tuple[Source, ...]:
        """Sources that carry all these labels, those with the fewest others first."""
        known = self._fitting.get(labels)
        if known is None:
            mask = self._every
            for label in labels:
                mask &= self._by_label.get(label, 0)
            known = self._fitting[labels] = tuple(sorted(self._in(mask), key=_nearness))
        return known

    def reaching(self, demand: Demand) -> frozenset[int]:
        """The order numbers of the sources whose scope the jobs' repository can use."""
        key = (demand.scope.id, demand.repository)
        known = self._reaching.get(key)
        if known is None:
            known = self._reaching[key] = frozenset(
                source.order for source in self.sources if reaches(source.scope, demand)
            )
        return known

    def nearest(self, labels: frozenset[str], among: Iterable[int]) -> Source | None:
        """The pool that lacks the fewest of these labels; None when none carries any of them."""
        best: tuple[int, int, str] | None = None
        nearest: Source | None = None
        for order in among:
            source = self.sources[order]
            missing = len(labels - source.labels)
            if source.pool is None or missing == len(labels):
                continue
            rank = (missing, len(source.labels - labels), source.name)
            if best is None or rank < best:
                best, nearest = rank, source
        return nearest

    def _in(self, mask: int) -> list[Source]:
        found = []
        while mask:
            lowest = mask & -mask
            found.append(self.sources[lowest.bit_length() - 1])
            mask ^= lowest
        return found


def _nearness(source: Source) -> tuple[int, int, str, int]:
    priority = source.pool.policy.priority if source.pool else 0
    return len(source.labels), -priority, source.name, source.order

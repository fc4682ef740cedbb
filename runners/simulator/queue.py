"""Jobs that wait for a runner, in buckets of equal demand: a poll looks at buckets, not jobs.

It only orders and finds; who may serve a bucket is asked of the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from runners.simulator.model import Job


@dataclass(frozen=True)
class Demand:
    """What a set of waiting jobs asks of a runner. Labels and group are in lower case."""

    repository_id: int
    workflow_id: int
    labels: frozenset[str]
    group: str


class JobQueue:
    """Waiting jobs, first in first out within a demand and across demands by job id."""

    def __init__(self) -> None:
        self._buckets: dict[Demand, dict[int, None]] = {}

    def add(self, demand: Demand, job: Job) -> None:
        """Put a job at the end of its bucket."""
        self._buckets.setdefault(demand, {})[job.id] = None

    def discard(self, job_id: int) -> None:
        """Take a job out, wherever it is."""
        for demand, jobs in list(self._buckets.items()):
            if job_id in jobs:
                del jobs[job_id]
                if not jobs:
                    del self._buckets[demand]

    def first(self, serves: Callable[[Demand], bool]) -> int | None:
        """The oldest waiting job whose demand is served, or None."""
        heads = [next(iter(jobs)) for demand, jobs in self._buckets.items() if serves(demand)]
        return min(heads, default=None)

    def __len__(self) -> int:
        return sum(len(jobs) for jobs in self._buckets.values())

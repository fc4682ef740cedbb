"""What django-q2's database queue holds, and handing back what a dead worker had taken.

The only module that knows how django-q2 stores and runs a task; everybody else calls `async_task`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django_q.models import OrmQ

from runners import log_context

# Rows looked at to learn what waits. The queue is normally all but empty.
LOOK_AT_ROWS = 200


@dataclass(frozen=True)
class Backlog:
    """Tasks that wait or run, by dotted path; `whole` is False when there were too many to read."""

    tasks: frozenset[str]
    whole: bool

    def may_hold(self, task: str) -> bool:
        """Whether the task waits or runs; True as well when that cannot be told."""
        return task in self.tasks or not self.whole


def backlog() -> Backlog:
    """Read the queue's oldest rows. A task that runs keeps its row until it is done."""
    rows = list(OrmQ.objects.order_by("pk")[: LOOK_AT_ROWS + 1])
    return Backlog(
        tasks=frozenset(str(row.func()) for row in rows[:LOOK_AT_ROWS]),
        whole=len(rows) <= LOOK_AT_ROWS,
    )


def hand_back(now: datetime) -> int:
    """Let tasks that a worker took be taken again, and return how many; for after its death.

    Otherwise each waits for django-q2's `retry`. One that another worker is just running will run
    twice, which every task must stand anyway.
    """
    rows: int = OrmQ.objects.filter(lock__gt=now).update(lock=now)
    return rows


def log_as_task(
    sender: object, func: Callable[..., object] | None, task: Mapping[str, object], **_: object
) -> None:
    """Let what a task logs carry its name and id; told by django-q2 before each."""
    name = getattr(func, "__name__", "") or str(task.get("func", ""))
    log_context.begin(task=name, task_id=str(task.get("id", "")))

"""The points at which a process may end: around each write, each commit and each call to GitHub.

They are met while the code runs, not listed by hand, so none is forgotten: a first run counts them,
and each later run ends at one. Between two of them nothing outside the process changes, so ending
anywhere in between is ending at one of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections

READS = ("SELECT", "PRAGMA", "SAVEPOINT", "RELEASE", "ROLLBACK", "BEGIN", "SET", "EXPLAIN")
OURS = "/runners/"


class Killed(BaseException):
    """The process ends here: nothing catches it, and open transactions are rolled back."""


def killed(boundary: str) -> None:
    """End as a process does that runs no further instruction, as far as an exception can."""
    raise Killed(boundary)


class Boundaries:
    """Meets boundaries while watching and calls `end` at the one numbered `end_at` (from 0).

    `only` names the kinds that count, by a word in their description; none means all.
    """

    def __init__(self, end: Callable[[str], None] = killed, *, only: tuple[str, ...] = ()) -> None:
        self.end = end
        self.only = only
        self.end_at: int | None = None
        self.passed: list[str] = []
        self.watching = False

    def meet(self, what: str) -> None:
        """One boundary; `what` says which, beginning with before or after.

        After one step and before the next is one point: it is counted once, as the former.
        """
        if not self.watching or (self.only and not any(word in what for word in self.only)):
            return
        if what.startswith("before") and self.passed and self.passed[-1].startswith("after"):
            return
        self.passed.append(f"{what} [{_caller()}]")
        if len(self.passed) - 1 == self.end_at:
            self.watching = False
            self.end(self.passed[-1])

    def around_call(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call to GitHub with a boundary before it is sent and one before its answer is
        used."""

        def watched(*args: Any, **kwargs: Any) -> Any:
            self.meet(f"before GitHub {name}")
            answer = call(*args, **kwargs)
            self.meet(f"after GitHub {name}")
            return answer

        return watched

    @contextmanager
    def watch(self, end_at: int | None = None) -> Iterator[None]:
        """Meet the boundaries of what runs in the block; None only counts them."""
        self.passed, self.end_at, self.watching = [], end_at, True
        connection: Any = connections["default"]
        commit = connection._commit

        def watched_commit() -> None:
            try:
                self.meet("before COMMIT")
            except Killed:
                connection._rollback()  # what the database does when its client is gone
                raise
            commit()
            self.meet("after COMMIT")

        connection._commit = watched_commit
        try:
            with connection.execute_wrapper(self._around_statement):
                yield
        finally:
            self.watching = False
            connection._commit = commit

    def _around_statement(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        words = sql.split(None, 3)
        if not self.watching or words[0].upper() in READS:
            return execute(sql, params, many, context)
        statement = " ".join(words[:3] if words[0] in ("INSERT", "DELETE") else words[:2])
        self.meet(f"before {statement}")
        answer = execute(sql, params, many, context)
        self.meet(f"after {statement}")
        return answer


def _caller() -> str:
    """The innermost function of the product on the stack."""
    frame = sys._getframe(2)
    while frame.f_back is not None and OURS not in frame.f_code.co_filename:
        frame = frame.f_back
    module = frame.f_code.co_filename.rpartition("/")[2].removesuffix(".py")
    return f"{module}.{frame.f_code.co_name}"

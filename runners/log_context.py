"""What the log lines of a moment are about: ids that every line written meanwhile carries.

Each thread and each request has its own. Names and numbers only, never a secret.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_EMPTY: Final[Mapping[str, str | int]] = {}
_ids: ContextVar[Mapping[str, str | int]] = ContextVar("log_ids", default=_EMPTY)


@contextmanager
def about(**ids: str | int) -> Iterator[None]:
    """Give the lines of the block these ids, and those `add` names within it."""
    token = _ids.set({**_ids.get(), **ids})
    try:
        yield
    finally:
        _ids.reset(token)


def add(**ids: str | int) -> None:
    """Give the rest of the surrounding `about` these ids too, once they are known."""
    _ids.set({**_ids.get(), **ids})


def begin(**ids: str | int) -> None:
    """Forget what was; for processes that do one thing after another."""
    _ids.set(ids)


def present() -> Mapping[str, str | int]:
    """The ids of this moment."""
    return _ids.get()

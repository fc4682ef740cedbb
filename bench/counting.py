"""Counts what a process asks of its database and of GitHub, for benchmarks alone.

One byte a question is appended to a file, which needs no lock between processes: its size is the
count. `BENCH_COUNTS` names the folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from django.apps import AppConfig
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

VARIABLE = "BENCH_COUNTS"


class Counting(AppConfig):
    """An installed app without models that listens in."""

    name = "bench.counting"
    label = "bench_counting"

    def ready(self) -> None:
        folder = Path(os.environ[VARIABLE])
        queries, calls = _tally(folder / "queries"), _tally(folder / "calls")

        def listen(connection: BaseDatabaseWrapper, **kwargs: object) -> None:
            connection.execute_wrappers.append(counted)

        def counted(execute: Callable[..., Any], *arguments: Any) -> Any:
            queries()
            return execute(*arguments)

        send = requests.Session.send

        def counted_send(self: requests.Session, *arguments: Any, **options: Any) -> Any:
            calls()
            return send(self, *arguments, **options)

        # Kept alive by this module: a weak reference to a local function ends at once
        connection_created.connect(listen, weak=False)
        setattr(requests.Session, "send", counted_send)  # noqa: B010 - mypy refuses the plain form


def _tally(file: Path) -> Callable[[], None]:
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def add() -> None:
        os.write(descriptor, b".")

    return add

"""Logging that cannot leak: every line, arguments and traceback included, is redacted as it leaves.

A formatter and not a filter, because only the formatter sees the text of a traceback. It changes
text and decides nothing about what is logged. Each line carries the ids of its moment
(`log_context`) and those its writer gave as `extra={"ids": …}`.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Mapping

from runners import log_context
from runners.github.redact import redact


class RedactingFormatter(logging.Formatter):
    """One record as text, in UTC, without secrets; its ids at the end.

    `secrets` are values of this installation that have no shape of their own to be known by.
    """

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self, format: str | None = None, *, secrets: Iterable[str] = ()) -> None:
        super().__init__(format)
        self._secrets = tuple(secrets)

    def format(self, record: logging.LogRecord) -> str:
        return self._clean(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:
        ids = " ".join(f"{name}={_in_line(value)}" for name, value in _ids(record).items())
        return super().formatMessage(record) + (f" [{ids}]" if ids else "")

    def _clean(self, text: str) -> str:
        return redact(text, self._secrets)


class JsonFormatter(RedactingFormatter):
    """One record as one line of JSON: `at`, `level`, `logger`, `message`, its ids, `error`."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "at": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "message": self._clean(record.getMessage()),
            "process": record.process,
        }
        # Redacted one by one: in the finished line a mask could swallow what closes a text.
        for name, value in _ids(record).items():
            fields[name] = self._clean(value) if isinstance(value, str) else value
        if record.exc_info:
            fields["error"] = self._clean(self.formatException(record.exc_info))
        return json.dumps(fields, default=str)


def _ids(record: logging.LogRecord) -> Mapping[str, str | int]:
    return {**log_context.present(), **getattr(record, "ids", {})}


def _in_line(value: object) -> str:
    """The value without what would begin a line of its own: whoever asks chooses the path."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in str(value)
    )

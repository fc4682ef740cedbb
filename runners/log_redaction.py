"""Logging that cannot leak: every line, arguments and traceback included, is redacted as it leaves.

A formatter and not a filter, because only the formatter sees the text of a traceback. It changes
text and decides nothing about what is logged.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from runners.github.redact import redact


class RedactingFormatter(logging.Formatter):
    """One record as text, in UTC, without secrets.

    `secrets` are values of this installation that have no shape of their own to be known by.
    """

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self, format: str | None = None, *, secrets: Iterable[str] = ()) -> None:
        super().__init__(format)
        self._secrets = tuple(secrets)

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record), self._secrets)

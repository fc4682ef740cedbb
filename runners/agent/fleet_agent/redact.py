"""The one place where secrets are taken out of text that leaves the agent or reaches its log."""

from __future__ import annotations

import json
import logging
import re

from .wire import timestamp_of

MASK = "***"

# Tokens of ours; of GitHub (40 characters and, since 2026, about 520 with dots); the value of any
# JSON Web Token or base64 JSON such as a JIT config; whatever follows an authorization scheme.
PATTERNS = re.compile(
    r"\bfl[ae]_[A-Za-z0-9]{4,32}_[A-Za-z0-9_-]{16,}"
    r"|\bgh[pousr]_[A-Za-z0-9._-]{20,}"
    r"|\bgithub_pat_[A-Za-z0-9_]{20,}"
    r"|\bey[IJ][A-Za-z0-9+/_=-]{20,}(?:\.[A-Za-z0-9+/_=.-]+)?"
    r"|(?<=RemoteAuth )\S+|(?<=Bearer )\S+"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)


def redact(text: str) -> str:
    """Return ``text`` with everything that looks like a credential masked."""
    return PATTERNS.sub(MASK, text)


class RedactingFormatter(logging.Formatter):
    """Format a record, then mask it: message, arguments and traceback alike."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the masked line."""
        return redact(super().format(record))


class JsonFormatter(RedactingFormatter):
    """One JSON object a line: ``at``, ``level``, ``message``, ``host``, ``runner_id``, ``error``.

    ``runner_id`` is there where the record names one; ``host`` once the agent knows its name.
    """

    host = ""

    def format(self, record: logging.LogRecord) -> str:
        """Return the masked line, each text masked alone so that the JSON stays whole."""
        fields: dict[str, object] = {
            "at": timestamp_of(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": redact(record.getMessage()),
            "process": record.process,
        }
        if self.host:
            fields["host"] = self.host
        runner_id = getattr(record, "runner_id", None)
        if runner_id is not None:
            fields["runner_id"] = runner_id
        if record.exc_info:
            fields["error"] = redact(self.formatException(record.exc_info))
        return json.dumps(fields)

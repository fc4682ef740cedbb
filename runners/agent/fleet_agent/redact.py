"""The one place where secrets are taken out of text that leaves the agent or reaches its log."""

from __future__ import annotations

import logging
import re

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

"""High-entropy tokens of ours: `<kind>_<prefix>_<secret>`, stored as SHA-256, found by prefix,
shown once."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

ENROLMENT_KIND = "fle"
AGENT_KIND = "fla"
PREFIX_LENGTH = 12


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token just made: `text` is shown once, `prefix` and `sha256` are stored."""

    text: str = field(repr=False)
    prefix: str
    sha256: str


def new_token(kind: str) -> NewToken:
    """Make a token with 256 bits of randomness."""
    prefix = secrets.token_hex(PREFIX_LENGTH // 2)
    text = f"{kind}_{prefix}_{secrets.token_urlsafe(32)}"
    return NewToken(text=text, prefix=prefix, sha256=digest(text))


def digest(text: str) -> str:
    """Return the SHA-256 of a token, hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def prefix_of(text: str, kind: str) -> str:
    """Return the public prefix, or "" when the text is no token of this kind."""
    parts = text.split("_", 2)
    if len(parts) != 3 or parts[0] != kind or len(parts[1]) != PREFIX_LENGTH:
        return ""
    return parts[1] if parts[1].isascii() and parts[1].isalnum() else ""


def matches(text: str, sha256: str) -> bool:
    """Compare in constant time."""
    return bool(sha256) and hmac.compare_digest(digest(text), sha256)

"""The installation's secret keys: from the variable, else from a key file made once.

The first key signs and encrypts, the others still verify and decrypt, which is how a key is
rotated. What is derived from a key for one purpose is of no use for another.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from fleetui.env import ConfigurationError

MINIMUM_LENGTH = 32


def secret_keys(text: str, key_file: Path) -> list[str]:
    """The keys in `text` (comma-separated), or, when it is empty, the lines of `key_file`.

    A key file that is not there is created, readable by its owner alone. Raises
    ConfigurationError when a key is too short or the file cannot be read or written.
    """
    separator = "," if text else "\n"
    listed = text or _read_or_create(key_file)
    keys = [key.strip() for key in listed.split(separator) if key.strip()]
    if not keys:
        raise ConfigurationError("FLEET_SECRET_KEY", "holds no key")
    for position, key in enumerate(keys, start=1):
        if len(key) < MINIMUM_LENGTH:
            raise ConfigurationError(
                "FLEET_SECRET_KEY",
                f"key {position} is shorter than {MINIMUM_LENGTH} characters",
            )
    return keys


def derive(key: str, purpose: str) -> str:
    """A key of its own for one purpose, 128 hexadecimal digits."""
    return hmac.new(key.encode(), purpose.encode(), hashlib.sha512).hexdigest()


def _read_or_create(key_file: Path) -> str:
    try:
        if not key_file.exists():
            _create(key_file)
        return key_file.read_text(encoding="utf-8")
    except OSError as err:
        raise ConfigurationError(
            "DATA_DIR", f"cannot keep a key in {str(key_file)!r}: {err.strerror}"
        ) from None


def write_keys(key_file: Path, keys: Sequence[str]) -> None:
    """Put these keys in the place of those in the file, first one first."""
    draft = _draft(key_file, "\n".join(keys) + "\n")
    draft.replace(key_file)


def _create(key_file: Path) -> None:
    """Write a whole key under a name of our own, then link it: of many that race, one key wins."""
    draft = _draft(key_file, secrets.token_urlsafe(48) + "\n")
    try:
        with contextlib.suppress(FileExistsError):
            os.link(draft, key_file)
    finally:
        draft.unlink()


def _draft(key_file: Path, text: str) -> Path:
    """The text in a file beside `key_file`, on disk and readable by its owner alone."""
    # The folder holds the database too, with its sessions and password hashes
    key_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = key_file.with_name(f".{key_file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        draft.unlink()
        raise
    return draft

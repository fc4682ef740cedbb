"""Secrets at rest: encrypted with a key that is not in the database; keys rotate, first one
encrypts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from runners.errors import FleetError

MINIMUM_KEY_LENGTH = 16


class SecretUnreadable(FleetError):
    """A stored secret was encrypted with a key we no longer have."""


class Vault:
    """Encrypts with the first key, decrypts with any; `keys` are the operator's FLEET_SECRET_KEY
    values."""

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys or any(len(key) < MINIMUM_KEY_LENGTH for key in keys):
            raise ValueError(f"Every secret key needs at least {MINIMUM_KEY_LENGTH} characters.")
        self._fernet = MultiFernet([Fernet(_derive(key)) for key in keys])

    def __repr__(self) -> str:
        return "Vault(…)"

    def encrypt(self, secret: str) -> str:
        """Return the secret as text safe to store."""
        return self._fernet.encrypt(secret.encode()).decode("ascii")

    def decrypt(self, stored: str) -> str:
        """Return the secret; raises SecretUnreadable when no key opens it."""
        try:
            return self._fernet.decrypt(stored.encode("ascii")).decode()
        except InvalidToken as error:
            raise SecretUnreadable(
                "A stored secret can't be read with the present FLEET_SECRET_KEY. Add the old key "
                "behind a comma, or enter the credential again under Settings."
            ) from error

    def rotate(self, stored: str) -> str:
        """Return the same secret encrypted with the first key."""
        try:
            return self._fernet.rotate(stored.encode("ascii")).decode("ascii")
        except InvalidToken as error:
            raise SecretUnreadable(
                "A stored secret can't be read, so it can't be rotated."
            ) from error


def _derive(key: str) -> bytes:
    digest = hashlib.scrypt(key.encode(), salt=b"fleetui vault 1", n=2**14, r=8, p=1, dklen=32)
    return base64.urlsafe_b64encode(digest)

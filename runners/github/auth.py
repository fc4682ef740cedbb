"""Who we are at GitHub: personal access tokens and GitHub Apps.

Makes Authorization values and keeps installation tokens fresh. It sends nothing itself: whoever
owns the connection hands it a way to exchange a JSON Web Token. No secret appears in a repr.
Source: GitHub Docs "Generating a JSON Web Token (JWT) for a GitHub App", "Generating an
installation access token for a GitHub App", "GitHub's token formats".
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from .errors import BadCredential, GitHubError
from .types.apps import InstallationToken

JWT_BACKDATED = timedelta(seconds=60)
JWT_LIFE = timedelta(minutes=9)
REFRESH_BEFORE_EXPIRY = timedelta(minutes=5)
SKEW_WORTH_SIGNING_AGAIN = timedelta(seconds=30)


class CredentialKind(StrEnum):
    """What sort of credential it is, told by its shape."""

    CLASSIC = "classic personal access token"
    FINE_GRAINED = "fine-grained personal access token"
    OAUTH = "OAuth token"
    APP_USER = "GitHub App user token"
    INSTALLATION = "GitHub App installation token"
    APP = "GitHub App"
    UNKNOWN = "token of an unknown kind"


_PREFIXES = {
    "ghp_": CredentialKind.CLASSIC,
    "github_pat_": CredentialKind.FINE_GRAINED,
    "gho_": CredentialKind.OAUTH,
    "ghu_": CredentialKind.APP_USER,
    "ghs_": CredentialKind.INSTALLATION,
}


def kind_of_token(token: str) -> CredentialKind:
    """Tell the kind by prefix; 40 hexadecimal digits are a classic token from before April 2021."""
    for prefix, kind in _PREFIXES.items():
        if token.startswith(prefix):
            return kind
    if re.fullmatch(r"[0-9a-f]{40}", token):
        return CredentialKind.CLASSIC
    return CredentialKind.UNKNOWN


Exchange = Callable[[int, str], InstallationToken]
"""Swap (installation id, App JWT) for an installation token."""


class Auth(Protocol):
    """A credential as the transport uses it."""

    @property
    def kind(self) -> CredentialKind:
        """What sort of credential it is."""

    @property
    def fingerprint(self) -> str:
        """Names the credential in caches without telling it."""

    def authorization(self, now: datetime, exchange: Exchange) -> str:
        """The Authorization value; may call `exchange`, whose errors pass through."""

    def app_authorization(self, now: datetime) -> str:
        """The Authorization value for speaking as the App; BadCredential if it is none."""

    def forget_token(self) -> bool:
        """Told that GitHub refused the token: whether another one can be had."""

    def clock_corrected(self) -> bool:
        """Whether GitHub's clock, learned since the last signature, makes another try worth it."""

    def note_clock_skew(self, seconds: float) -> None:
        """Told how far GitHub's clock is ahead of ours."""


class TokenAuth:
    """A token entered by a person. Raises BadCredential when it cannot be sent in a header."""

    def __init__(self, token: str) -> None:
        token = token.strip()
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise BadCredential("The token is empty or has characters that no token has.")
        self._token = token
        self.kind = kind_of_token(token)
        self.fingerprint = hashlib.sha256(token.encode()).hexdigest()[:16]

    def __repr__(self) -> str:
        return f"TokenAuth(<{self.kind}>)"

    def authorization(self, now: datetime, exchange: Exchange) -> str:
        """The token, as it is."""
        return f"Bearer {self._token}"

    def app_authorization(self, now: datetime) -> str:
        """A token cannot speak as an App."""
        raise BadCredential(
            f"A {self.kind} cannot do this: connect a GitHub App with its private key."
        )

    def forget_token(self) -> bool:
        """A refused token stays refused."""
        return False

    def clock_corrected(self) -> bool:
        """A token has no times in it."""
        return False

    def note_clock_skew(self, seconds: float) -> None:
        """A token has no times in it."""


class AppAuth:
    """A GitHub App acting for one installation. Safe to share among threads.

    `app_id_or_client_id` is the client ID (recommended) or the numeric App ID (GHES before 3.14).
    Raises BadCredential when the key is not an RSA private key in PEM form.
    """

    kind = CredentialKind.APP

    def __init__(
        self, app_id_or_client_id: str | int, private_key_pem: str, installation_id: int | None
    ) -> None:
        self._issuer = str(app_id_or_client_id).strip()
        if not self._issuer:
            raise BadCredential("The App's client ID is missing.")
        self._key = _read_key(private_key_pem)
        self.installation_id = installation_id
        self.fingerprint = hashlib.sha256(f"{self._issuer}/{installation_id}".encode()).hexdigest()[
            :16
        ]
        self._token: InstallationToken | None = None
        self._skew = timedelta(0)
        self._signed_with_skew = timedelta(0)
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"AppAuth(issuer={self._issuer!r}, installation_id={self.installation_id})"

    @property
    def installation_token(self) -> InstallationToken | None:
        """The token in use, if there is one."""
        return self._token

    def authorization(self, now: datetime, exchange: Exchange) -> str:
        """An installation token that will last; fetched by one thread while others wait."""
        with self._lock:
            held = self._token
            there = now + self._skew
            if held is None or held.expires_at - REFRESH_BEFORE_EXPIRY <= there:
                held = self._renewed(held, now, exchange)
            return f"Bearer {held.token}"

    def _renewed(
        self, held: InstallationToken | None, now: datetime, exchange: Exchange
    ) -> InstallationToken:
        """Exchange a new token; while GitHub is away the old one is used up to its end."""
        try:
            self._token = exchange(self._installation(), self._jwt(now))
        except GitHubError:
            if held is None or held.expires_at <= now + self._skew:
                raise
            return held
        return self._token

    def _installation(self) -> int:
        if self.installation_id is None:
            raise BadCredential("The GitHub App has no installation chosen: install it first.")
        return self.installation_id

    def app_authorization(self, now: datetime) -> str:
        """A fresh JSON Web Token."""
        return f"Bearer {self._jwt(now)}"

    def forget_token(self) -> bool:
        """Forget the refused token; another one may do."""
        with self._lock:
            self._token = None
        return True

    def clock_corrected(self) -> bool:
        """Whether the last signature was made by a clock that is known to be wrong now."""
        return abs(self._skew - self._signed_with_skew) > SKEW_WORTH_SIGNING_AGAIN

    def note_clock_skew(self, seconds: float) -> None:
        """Sign by GitHub's clock from now on."""
        self._skew = timedelta(seconds=seconds)

    def _jwt(self, now: datetime) -> str:
        self._signed_with_skew = self._skew
        there = now + self._skew
        claims: dict[str, str | int] = {
            "iat": int((there - JWT_BACKDATED).timestamp()),
            "exp": int((there + JWT_LIFE).timestamp()),
            "iss": self._issuer,
        }
        return jwt.encode(claims, self._key, algorithm="RS256")


def _read_key(pem: str) -> RSAPrivateKey:
    """Read the key here, once, so that a bad one is refused when it is entered."""
    try:
        key = load_pem_private_key(pem.strip().encode(), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise BadCredential(
            "The private key cannot be read: paste the whole .pem file that GitHub gave, "
            "with its BEGIN and END lines."
        )
    return key

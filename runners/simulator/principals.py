"""Who is calling: a credential resolved against the records. Must not decide what it may do."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Literal

import jwt
from jwt.types import Options

from runners.simulator.limits import Caller
from runners.simulator.model import App, Credential, Installation, User
from runners.simulator.wire import ApiError
from runners.simulator.world import World

LONGEST_APP_TOKEN_SECONDS = 600
CLOCK_LEEWAY_SECONDS = 60


@dataclass(frozen=True)
class Principal:
    """The caller. ``key`` names it in rate limits."""

    kind: Literal["anonymous", "classic", "fine_grained", "installation", "app"] = "anonymous"
    key: str = "anonymous"
    credential: Credential | None = None
    user: User | None = None
    installation: Installation | None = None
    app: App | None = None

    @property
    def caller(self) -> Caller:
        """Whose budget its requests count against."""
        return Caller(self.key, self.kind)


def principal_of(world: World, authorization: str) -> Principal:
    """Resolve an ``Authorization`` header. Raises 401 for a credential GitHub would not accept."""
    if not authorization:
        return Principal()
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    if scheme.lower() not in ("bearer", "token") or not token:
        raise bad_credentials()
    if scheme.lower() == "bearer" and token.count(".") == 2 and not token.startswith("ghs_"):
        return _app_principal(world, token)
    credential = world.store.credentials.get(token)
    if (
        credential is None
        or credential.kind in ("registration", "remove")
        or expired(world, credential)
    ):
        raise bad_credentials()
    if credential.kind == "installation":
        installation = world.store.installations.get(credential.installation_id)
        if installation is None:
            raise bad_credentials()
        if installation.suspended_at:
            raise ApiError(403, "This installation has been suspended")
        key = f"installation:{installation.id}"
        return Principal("installation", key, credential, installation=installation)
    user = world.store.users.get(credential.login.lower())
    if user is None:
        raise bad_credentials()
    kind: Literal["classic", "fine_grained"] = (
        "classic" if credential.kind == "classic" else "fine_grained"
    )
    return Principal(kind, f"user:{user.id}", credential, user=user)


def bad_credentials() -> ApiError:
    """The 401 of a token that is wrong, revoked or expired."""
    return ApiError(401, "Bad credentials")


def expired(world: World, credential: Credential) -> bool:
    """True once its life is over."""
    return credential.expires_at is not None and credential.expires_at <= world.clock.time()


def new_token(prefix: str, length: int = 36) -> str:
    """A token in GitHub's style: a prefix and letters and digits."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    return prefix + "".join(secrets.choice(alphabet) for _ in range(length))


def new_installation_token(app_id: int) -> str:
    """The stateless form used since 2026: ``ghs_APPID_JWT``, about 520 characters, with dots."""
    header, payload, signature = (secrets.token_urlsafe(n) for n in (27, 98, 256))
    return f"ghs_{app_id}_{header}.{payload}.{signature}"


def _app_principal(world: World, token: str) -> Principal:
    try:
        claimed = jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError:
        raise bad_credentials() from None
    app = _app_issuing(world, str(claimed.get("iss", "")))
    if app is None:
        raise ApiError(401, "Integration not found")
    checks: Options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
    try:
        jwt.decode(token, app.public_key_pem, algorithms=["RS256"], options=checks)
    except jwt.PyJWTError:
        raise ApiError(401, "A JSON web token could not be decoded") from None
    _check_times(world, claimed.get("iat"), claimed.get("exp"))
    return Principal("app", f"app:{app.id}", app=app)


def _app_issuing(world: World, issuer: str) -> App | None:
    for app in world.store.apps.values():
        if issuer in (app.client_id, str(app.id)):
            return app
    return None


def _check_times(world: World, issued_at: object, expires_at: object) -> None:
    now = world.clock.time()
    if not isinstance(issued_at, int | float) or issued_at > now + CLOCK_LEEWAY_SECONDS:
        raise ApiError(
            401,
            "'Issued at' claim ('iat') must be an Integer representing the time that the assertion "
            "was issued",
        )
    if not isinstance(expires_at, int | float) or expires_at <= now:
        raise ApiError(
            401,
            "'Expiration time' claim ('exp') must be a numeric value representing the future time "
            "at which the assertion expires",
        )
    if expires_at > now + LONGEST_APP_TOKEN_SECONDS + CLOCK_LEEWAY_SECONDS:
        raise ApiError(401, "'Expiration time' claim ('exp') is too far in the future")

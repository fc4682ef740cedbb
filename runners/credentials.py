"""Credentials: kept encrypted, checked against GitHub, never shown again."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import TypeVar

from django.db import IntegrityError, transaction
from django.db.models import F, ProtectedError

from runners import audit
from runners.audit import Actor
from runners.errors import InvalidRequest
from runners.github.auth import AppAuth, Auth, TokenAuth, kind_of_token
from runners.github.errors import BadCredential
from runners.github.urls import checked_api_base
from runners.github.verdicts import Verdict, VerdictCode
from runners.models import Credential, Event, Scope
from runners.vault import Vault

T = TypeVar("T")

WEBHOOK_SECRETS = ("webhook_secret_encrypted", "webhook_secret_previous_encrypted")


@dataclass(frozen=True, slots=True)
class NewCredential:
    """What a person entered. `secret` is the token, or the App's private key in PEM form."""

    name: str
    kind: Credential.Kind
    secret: str = field(repr=False)
    api_url: str = "https://api.github.com"
    app_id: str = ""
    installation_id: int | None = None


def create(new: NewCredential, *, vault: Vault, by: Actor, now: datetime) -> Credential:
    """Store a credential encrypted. Raises InvalidRequest for an unusable one or a taken name."""
    auth_for(new)
    if new.kind == Credential.Kind.APP and new.installation_id is None:
        raise InvalidRequest("A GitHub App needs its installation ID.")
    if not new.name.strip():
        raise InvalidRequest("Give the credential a name, such as acme-app.")
    try:
        with transaction.atomic():
            credential = Credential.objects.create(
                name=new.name.strip(),
                kind=new.kind,
                api_url=checked_url(new.api_url),
                secret_encrypted=vault.encrypt(new.secret.strip()),
                secret_hint=hint(new.kind, new.secret),
                app_id=new.app_id.strip(),
                installation_id=new.installation_id,
                created_at=now,
            )
            audit.record(
                credential, "credential.create", by=by, at=now, detail={"kind": new.kind.value}
            )
    except IntegrityError as error:
        raise InvalidRequest(f"There is a credential named {new.name} already.") from error
    return credential


def replace_secret(
    credential: Credential, secret: str, *, vault: Vault, by: Actor, now: datetime
) -> Event:
    """Put a new secret in place of the old one; what GitHub said of the old one is forgotten."""
    kind = Credential.Kind(credential.kind)
    auth_for(
        NewCredential(
            name=credential.name,
            kind=kind,
            secret=secret,
            app_id=credential.app_id,
            installation_id=credential.installation_id,
        )
    )
    with transaction.atomic():
        Credential.objects.filter(pk=credential.pk).update(
            secret_encrypted=vault.encrypt(secret.strip()),
            secret_hint=hint(kind, secret),
            verdict="",
            verdict_message="",
            verdict_fix="",
            verdict_at=None,
            expires_at=None,
        )
        event = audit.record(credential, "credential.replace", by=by, at=now)
    credential.refresh_from_db()
    return event


def move(credential: Credential, api_url: str, *, by: Actor, now: datetime) -> Event | None:
    """Follow a server to another API address; None when it was that one. Raises InvalidRequest.

    The secret travels there from now on: only for an address of the same GitHub.
    """
    tidy = checked_url(api_url)
    if credential.api_url == tidy:
        return None
    with transaction.atomic():
        Credential.objects.filter(pk=credential.pk).update(api_url=tidy)
        event = audit.record(
            credential, "credential.move", by=by, at=now, was=credential.api_url, became=tidy
        )
    credential.api_url = tidy
    return event


def note_verdict(credential: Credential, verdict: Verdict, *, by: Actor, now: datetime) -> None:
    """Write down what the check said; an event only when the verdict changed.

    GitHub tells the end of a token, never of an App's key: a date on one is a person's.
    """
    was = credential.verdict
    code = verdict.code.value
    is_app = credential.kind == Credential.Kind.APP
    with transaction.atomic():
        Credential.objects.filter(pk=credential.pk).update(
            verdict=code,
            verdict_message=verdict.message,
            verdict_fix=verdict.fix,
            verdict_at=now,
            expires_at=F("expires_at") if is_app else _end_told(credential, verdict),
        )
        if was != code:
            audit.record(
                credential,
                "credential.verdict",
                by=by,
                at=now,
                was=was,
                became=code,
                reason=verdict.message,
            )
    credential.refresh_from_db()


def note_token_expiry(credential_id: int, expires_at: datetime) -> None:
    """Write down when a token ends, as GitHub's answers tell."""
    Credential.objects.filter(pk=credential_id, kind=Credential.Kind.TOKEN).exclude(
        expires_at=expires_at
    ).update(expires_at=expires_at)


def set_replace_by(
    credential: Credential, day: date | None, *, by: Actor, now: datetime
) -> Event | None:
    """Say by when an App's key is to be replaced, by our own rule; None takes the date away.

    None, and no event, when that was so already. Raises InvalidRequest for a token, whose end
    GitHub tells, and for a day that is over.
    """
    if credential.kind != Credential.Kind.APP:
        raise InvalidRequest("GitHub tells when a token ends. Only an App's key takes a date.")
    if day is not None and day <= now.date():
        raise InvalidRequest("That day is not ahead. Give a later one.")
    was = credential.expires_at
    became = datetime.combine(day, time(), UTC) if day else None
    if was == became:
        return None
    with transaction.atomic():
        Credential.objects.filter(pk=credential.pk).update(expires_at=became)
        event = audit.record(
            credential,
            "credential.replace-by",
            by=by,
            at=now,
            was=f"{was:%Y-%m-%d}" if was else "",
            became=f"{became:%Y-%m-%d}" if became else "",
        )
    credential.expires_at = became
    return event


def remove(credential: Credential, *, by: Actor, reason: str, now: datetime) -> Event:
    """Forget a credential and its secret. Raises InvalidRequest, naming them, while scopes use it.

    GitHub is told nothing: the token itself is revoked there.
    """
    try:
        with transaction.atomic():
            event = audit.record(credential, "credential.remove", by=by, at=now, reason=reason)
            Credential.objects.filter(pk=credential.pk).delete()
    except ProtectedError as error:
        users = ", ".join(credential.scopes.values_list("slug", flat=True))
        raise InvalidRequest(
            f"{credential.name} speaks for {users}. Remove that first, or replace the secret."
        ) from error
    return event


def days_left(credential: Credential, now: datetime) -> int | None:
    """Whole days until the credential ends, negative when it has; None when no end is known."""
    if credential.expires_at is None:
        return None
    return math.floor((credential.expires_at - now) / timedelta(days=1))


def _end_told(credential: Credential, verdict: Verdict) -> datetime | None:
    """A check that did not get through has not heard that the token has no end."""
    if verdict.code is VerdictCode.UNKNOWN:
        return credential.expires_at
    return verdict.expires_at


def rotate_encryption(*, vault: Vault, by: Actor, now: datetime) -> int:
    """Encrypt every stored secret with the first key, all or none; returns how many were rewritten.

    Raises SecretUnreadable when one can't be read with any key. One that was replaced meanwhile is
    left as it is: it was encrypted with the first key.
    """
    count = 0
    with transaction.atomic():
        for credential in Credential.objects.all():
            sealed = credential.secret_encrypted
            if Credential.objects.filter(pk=credential.pk, secret_encrypted=sealed).update(
                secret_encrypted=vault.rotate(sealed)
            ):
                audit.record(credential, "credential.rotate-encryption", by=by, at=now)
                count += 1
        for column in WEBHOOK_SECRETS:
            for scope in Scope.objects.exclude(**{column: ""}):
                sealed = getattr(scope, column)
                if Scope.objects.filter(pk=scope.pk, **{column: sealed}).update(
                    **{column: vault.rotate(sealed)}
                ):
                    audit.record(scope, "scope.rotate-encryption", by=by, at=now)
                    count += 1
    return count


def hint(kind: Credential.Kind, secret: str) -> str:
    """What a person may see of the secret: its kind and, of a token, its last four characters."""
    if kind == Credential.Kind.APP:
        return "private key"
    return f"…{secret.strip()[-4:]}"


def checked_url(api_url: str) -> str:
    """Return the API base tidied. Raises InvalidRequest for one that a secret must not travel
    to."""
    return _or_invalid(lambda: checked_api_base(api_url.strip()))


def auth_for(new: NewCredential) -> Auth:
    """The credential as the client takes it. Raises InvalidRequest for an unusable one.

    An App without an installation may ask where it is installed, and nothing else.
    """
    secret = new.secret.strip()
    if new.kind == Credential.Kind.APP:
        if not new.app_id.strip():
            raise InvalidRequest("A GitHub App needs its client ID.")
        installation = new.installation_id
        return _or_invalid(lambda: AppAuth(new.app_id.strip(), secret, installation))
    if secret.startswith("ghs_"):
        raise InvalidRequest(
            f"That is a {kind_of_token(secret)}: it dies within the hour. Enter the "
            "GitHub App's private key instead."
        )
    return _or_invalid(lambda: TokenAuth(secret))


def _or_invalid(make: Callable[[], T]) -> T:
    try:
        return make()
    except (BadCredential, ValueError) as error:
        raise InvalidRequest(getattr(error, "user_message", str(error))) from error

"""Credentials: kept encrypted, checked against GitHub, never shown again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from django.db import IntegrityError, transaction

from runners import audit
from runners.audit import Actor
from runners.errors import InvalidRequest
from runners.github.auth import AppAuth, Auth, TokenAuth, kind_of_token
from runners.github.errors import BadCredential
from runners.github.urls import checked_api_base
from runners.github.verdicts import Verdict
from runners.models import Credential, Event, Scope
from runners.vault import Vault

T = TypeVar("T")


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


def note_verdict(credential: Credential, verdict: Verdict, *, by: Actor, now: datetime) -> None:
    """Write down what the check said; an event only when the verdict changed."""
    was = credential.verdict
    code = verdict.code.value
    with transaction.atomic():
        Credential.objects.filter(pk=credential.pk).update(
            verdict=code,
            verdict_message=verdict.message,
            verdict_fix=verdict.fix,
            verdict_at=now,
            expires_at=verdict.expires_at,
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
        for scope in Scope.objects.exclude(webhook_secret_encrypted=""):
            sealed = scope.webhook_secret_encrypted
            if Scope.objects.filter(pk=scope.pk, webhook_secret_encrypted=sealed).update(
                webhook_secret_encrypted=vault.rotate(sealed)
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
    """The credential as the client takes it. Raises InvalidRequest for an unusable one."""
    secret = new.secret.strip()
    if new.kind == Credential.Kind.APP:
        if not new.app_id.strip() or new.installation_id is None:
            raise InvalidRequest("A GitHub App needs its client ID and its installation ID.")
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

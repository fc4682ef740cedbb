"""Scopes: which repository, organization or enterprise runners register with."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import SplitResult, urlsplit

from django.db import IntegrityError, transaction

from runners import audit, lifecycle
from runners.audit import Actor
from runners.errors import InvalidRequest
from runners.github.urls import ScopeKind, ScopePath, is_loopback
from runners.models import Credential, Event, Runner, Scope


def scope_path_of(web_url: str) -> ScopePath:
    """Read https://HOST/ORG, …/OWNER/REPOSITORY or …/enterprises/NAME. Raises InvalidRequest."""
    parts = [part for part in _split(web_url).path.split("/") if part]
    try:
        if len(parts) == 2 and parts[0] == "enterprises":
            return ScopePath(ScopeKind.ENTERPRISE, parts[1])
        if len(parts) == 2:
            return ScopePath(ScopeKind.REPOSITORY, f"{parts[0]}/{parts[1].removesuffix('.git')}")
        if len(parts) == 1:
            return ScopePath(ScopeKind.ORGANIZATION, parts[0])
    except ValueError as error:
        raise InvalidRequest(str(error)) from error
    raise InvalidRequest(
        "Give the address of an organization, a repository or an enterprise, such as "
        "https://github.com/acme or https://github.com/acme/web."
    )


def tidy_web_url(web_url: str) -> str:
    """The address as it is stored: host in lower case, nothing but the scope's path behind it.

    Raises InvalidRequest for one that is no scope's, or over which a token must not travel.
    """
    path = scope_path_of(web_url)
    address = _split(web_url)
    host = address.hostname or ""
    if address.scheme not in ("http", "https") or not host or "@" in address.netloc:
        raise InvalidRequest("The address must begin with https:// and hold no password.")
    if address.scheme == "http" and not is_loopback(host):
        raise InvalidRequest(
            f"Use https for {host}: over http everyone on the way can read a registration token."
        )
    return f"{address.scheme}://{address.netloc.lower()}{path.web_path}"


def _split(web_url: str) -> SplitResult:
    try:
        address = urlsplit(web_url.strip())
        _ = address.port  # read late by urlsplit: a bad one is noticed here
    except ValueError as error:
        raise InvalidRequest(f"That is not a web address: {error}.") from error
    return address


def add_scope(
    web_url: str,
    *,
    credential: Credential,
    by: Actor,
    now: datetime,
    runner_group_id: int = 1,
    runner_group_name: str = "Default",
) -> Scope:
    """Add a scope by its web address. Raises InvalidRequest for a bad or known address."""
    path = scope_path_of(web_url)
    tidy = tidy_web_url(web_url)
    # GitHub does not tell "Acme" from "acme"
    if Scope.objects.filter(web_url__iexact=tidy).exists():
        raise InvalidRequest(f"{tidy} was already added.")
    try:
        with transaction.atomic():
            scope = Scope.objects.create(
                kind=path.kind.value,
                slug=path.slug,
                web_url=tidy,
                credential=credential,
                runner_group_id=runner_group_id,
                runner_group_name=runner_group_name,
                created_at=now,
            )
            audit.record(scope, "scope.add", by=by, at=now, detail={"url": tidy})
            lifecycle.wake_reconcile(scope.pk)
    except IntegrityError as error:
        raise InvalidRequest(f"{tidy} was already added.") from error
    return scope


def remove_scope(scope: Scope, *, by: Actor, reason: str, now: datetime) -> Event:
    """Forget a scope that has no runners any more."""
    if Runner.objects.current().filter(scope=scope).exists() or scope.pools.exists():
        raise InvalidRequest(
            f"{scope.slug} still has runners or pools. Deregister and delete those first."
        )
    if Runner.objects.filter(scope=scope).exists():
        raise InvalidRequest(f"{scope.slug} has a history of runners, so it is kept.")
    with transaction.atomic():
        event = audit.record(scope, "scope.remove", by=by, at=now, reason=reason)
        scope.delete()
    return event

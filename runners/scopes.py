"""Scopes: which repository, organization or enterprise runners register with."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from django.db import IntegrityError, transaction

from runners import audit, lifecycle
from runners.audit import Actor
from runners.errors import InvalidRequest
from runners.github.errors import GitHubError
from runners.github.types import Listing, RunnerGroup
from runners.github.urls import ScopeKind, ScopePath, scope_from_web_url, scope_web_url
from runners.models import Credential, Event, Job, Runner, Scope
from runners.registry import path_of
from runners.vault import Vault

WEBHOOK_SECRET_LEAST = 16
WEBHOOK_SECRET_MOST = 200
# As long as GitHub keeps a delivery to send again; it signs with the hook's present secret
WEBHOOK_SECRET_OVERLAP = timedelta(hours=24)
REFUSALS_NOTED_EVERY = timedelta(seconds=60)


def read_web_url(web_url: str) -> tuple[ScopePath, str]:
    """Read what a person pasted into the scope and its address as it is stored.

    A page inside a repository or organization will do. Raises InvalidRequest for an address that is
    no scope's, or over which a token must not travel.
    """
    try:
        api_base, path = scope_from_web_url(web_url)
    except ValueError as error:
        raise InvalidRequest(
            f"{error} Give the address of an organization, a repository or an enterprise, such as "
            "https://github.com/acme or https://github.com/acme/web."
        ) from error
    return path, scope_web_url(api_base, path)


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
    path, tidy = read_web_url(web_url)
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
    """Forget a scope with its jobs and the runners that are gone; its events stay.

    Raises InvalidRequest while a runner or a pool of it is left.
    """
    with transaction.atomic():
        runners = Runner.objects.filter(scope=scope)
        if runners.current().exists() or scope.pools.exists():
            raise InvalidRequest(
                f"{scope.slug} still has runners or pools. Deregister and delete those first."
            )
        event = audit.record(
            scope,
            "scope.remove",
            by=by,
            at=now,
            reason=reason,
            detail={
                "runners": runners.count(),
                "jobs": Job.objects.filter(scope=scope).count(),
            },
        )
        runners.delete()
        scope.delete()
    return event


def make_webhook_secret(scope: Scope, *, vault: Vault, by: Actor, now: datetime) -> str:
    """Make a secret for GitHub to sign deliveries with, in place of any before; returned once."""
    secret = secrets.token_urlsafe(32)
    set_webhook_secret(scope, secret, vault=vault, by=by, now=now)
    return secret


def set_webhook_secret(
    scope: Scope, secret: str, *, vault: Vault, by: Actor, now: datetime
) -> Event:
    """Keep the secret that GitHub signs this scope's deliveries with, encrypted.

    The one before is taken as well for `WEBHOOK_SECRET_OVERLAP`, so that none is refused while it
    is entered at GitHub; `forget_previous_webhook_secret` ends that at once. Raises InvalidRequest
    for one that is too short to be one.
    """
    secret = secret.strip()
    if not WEBHOOK_SECRET_LEAST <= len(secret) <= WEBHOOK_SECRET_MOST or not secret.isprintable():
        raise InvalidRequest(
            f"A webhook secret has {WEBHOOK_SECRET_LEAST} to {WEBHOOK_SECRET_MOST} characters."
        )
    before = scope.webhook_secret_encrypted
    return _keep_webhook_secret(
        scope,
        vault.encrypt(secret),
        "scope.webhook-rotate" if before else "scope.webhook-set",
        previous=before,
        until=now + WEBHOOK_SECRET_OVERLAP if before else None,
        by=by,
        now=now,
    )


def forget_previous_webhook_secret(scope: Scope, *, by: Actor, now: datetime) -> Event | None:
    """Take the secret before no longer, as when it leaked; None when there is none."""
    if not scope.webhook_secret_previous_encrypted:
        return None
    return _keep_webhook_secret(
        scope, scope.webhook_secret_encrypted, "scope.webhook-forget", by=by, now=now
    )


def remove_webhook_secret(scope: Scope, *, by: Actor, now: datetime) -> Event | None:
    """Take no deliveries for this scope any more; None when that was so already."""
    if not scope.webhook_secret_encrypted:
        return None
    return _keep_webhook_secret(scope, "", "scope.webhook-remove", by=by, now=now)


def _keep_webhook_secret(
    scope: Scope,
    sealed: str,
    action: str,
    *,
    by: Actor,
    now: datetime,
    previous: str = "",
    until: datetime | None = None,
) -> Event:
    with transaction.atomic():
        Scope.objects.filter(pk=scope.pk).update(
            webhook_secret_encrypted=sealed,
            webhook_secret_previous_encrypted=previous,
            webhook_secret_previous_until=until,
            webhook_refused_at=None,
        )
        event = audit.record(scope, action, by=by, at=now)
    scope.webhook_secret_encrypted = sealed
    scope.webhook_secret_previous_encrypted = previous
    scope.webhook_secret_previous_until = until
    return event


def expecting_deliveries(pk: int) -> Scope | None:
    """The scope as the webhook's address needs it: few columns, for it is asked for often."""
    rows = Scope.objects.only(
        "job_source",
        "webhook_secret_encrypted",
        "webhook_secret_previous_encrypted",
        "webhook_secret_previous_until",
        "webhook_refused_at",
    )
    return next(iter(rows.filter(pk=pk).exclude(webhook_secret_encrypted="")), None)


def sealed_webhook_secrets(scope: Scope, *, now: datetime) -> tuple[str, ...]:
    """The secrets, sealed, that a delivery may be signed with now."""
    until = scope.webhook_secret_previous_until
    if until is None or until <= now:
        return (scope.webhook_secret_encrypted,)
    return (scope.webhook_secret_encrypted, scope.webhook_secret_previous_encrypted)


def note_refused_delivery(scope: Scope, *, now: datetime) -> None:
    """Remember that a signature was wrong; whoever sends many costs one write a minute."""
    last = scope.webhook_refused_at
    if last is None or last < now - REFUSALS_NOTED_EVERY:
        Scope.objects.filter(pk=scope.pk).update(webhook_refused_at=now)


def set_job_source(scope: Scope, source: str, *, by: Actor, now: datetime) -> Event | None:
    """Choose how the scope's jobs are learned, "" for as the installation; None when it was so."""
    if source not in Scope.JobSource.values:
        raise InvalidRequest("Choose webhook, polling, both, or as the installation.")
    if scope.job_source == source:
        return None
    was, became = Scope.JobSource(scope.job_source), Scope.JobSource(source)
    with transaction.atomic():
        Scope.objects.filter(pk=scope.pk).update(job_source=source)
        event = audit.record(
            scope, "scope.job-source", by=by, at=now, was=was.label, became=became.label
        )
    scope.job_source = source
    return event


class RunnerGroups(Protocol):
    """What lists runner groups: the GitHub client."""

    def list_self_hosted_runner_groups(self, scope: ScopePath) -> Listing[RunnerGroup]:
        """The groups of an organization or enterprise; may raise a GitHubError."""


@dataclass(frozen=True, slots=True)
class GroupChoice:
    """The runner groups to choose from, (id, name); `problem` says why only the known one is."""

    groups: Sequence[tuple[int, str]]
    problem: str = ""


def runner_groups(scope: Scope, *, github: RunnerGroups) -> GroupChoice:
    """Ask GitHub for the scope's runner groups; the known one alone when it can't be asked."""
    known = (scope.runner_group_id, scope.runner_group_name)
    if scope.kind == ScopeKind.REPOSITORY:
        return GroupChoice([known], "A repository has no runner groups.")
    try:
        listing = github.list_self_hosted_runner_groups(path_of(scope))
    except GitHubError as error:
        return GroupChoice([known], error.user_message)
    groups = [(group.id, group.name) for group in listing]
    if known[0] not in [group_id for group_id, _ in groups]:
        return GroupChoice([*groups, known], f"GitHub shows no runner group {known[1]} any more.")
    return GroupChoice(groups)


def set_runner_group(
    scope: Scope, group_id: int, group_name: str, *, by: Actor, now: datetime
) -> Event | None:
    """Say which runner group new runners of the scope join; None when it was that one.

    Runners that are there stay in their group. Raises InvalidRequest for a group without a name.
    """
    name = group_name.strip()
    if group_id < 1 or not 1 <= len(name) <= 100:
        raise InvalidRequest("A runner group has a number and a name.")
    if (scope.runner_group_id, scope.runner_group_name) == (group_id, name):
        return None
    with transaction.atomic():
        Scope.objects.filter(pk=scope.pk).update(runner_group_id=group_id, runner_group_name=name)
        event = audit.record(
            scope, "scope.group", by=by, at=now, was=scope.runner_group_name, became=name
        )
    scope.runner_group_id, scope.runner_group_name = group_id, name
    return event


def move_scope(scope: Scope, web_url: str, *, by: Actor, now: datetime) -> Event | None:
    """Follow a scope whose server has another address now; None when it was that one.

    Raises InvalidRequest for an address that names another scope, or one that is added already.
    """
    path, tidy = read_web_url(web_url)
    if scope.web_url == tidy:
        return None
    if path != path_of(scope):
        raise InvalidRequest(f"{tidy} is another scope than {scope.slug}. Add it instead.")
    was = scope.web_url
    try:
        with transaction.atomic():
            Scope.objects.filter(pk=scope.pk).update(web_url=tidy)
            event = audit.record(scope, "scope.move", by=by, at=now, was=was, became=tidy)
    except IntegrityError as error:
        raise InvalidRequest(f"{tidy} was already added.") from error
    scope.web_url = tidy
    return event


def unknown_since(scope: Scope, now: datetime, *, stale_after: timedelta) -> datetime | None:
    """Since when GitHub's side of the scope is unknown; None while it is known.

    Either a pass said so, or none has come to an end within `stale_after`: one that hangs writes
    nothing down. A scope whose list was never read counts from when it was added.
    """
    if scope.github_unknown_since is not None:
        return scope.github_unknown_since
    last = scope.github_seen_at or scope.created_at
    return last if now - last > stale_after else None

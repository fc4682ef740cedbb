"""Settings and credentials made into ready objects; below the views the only reader of settings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from django.conf import settings
from django.core.cache import cache
from django.urls import reverse

from runners import credentials, history, scopes
from runners.credentials import NewCredential, auth_for, checked_url
from runners.github.auth import AppAuth, Auth, TokenAuth
from runners.github.cache import ConditionalCache
from runners.github.client import GitHubClient
from runners.github.limits import Budget
from runners.heartbeat import Policy, quiet_pace
from runners.job_sources import JobSource, in_force
from runners.models import Credential, Host, Scope
from runners.pool_picture import Rules
from runners.reconcile_view import Deadlines
from runners.vault import Vault

_cache = ConditionalCache()
_HOSTS = "hosts-in-service"
PICTURE_STALE_AFTER = timedelta(minutes=10)
"""A queue that nobody looked at for so long lets no idle runner go."""


def now() -> datetime:
    """The clock, read once at each edge and passed on as a value."""
    return datetime.now(UTC)


def vault() -> Vault:
    """The vault with the operator's keys."""
    return _vault(tuple(settings.FLEET_SECRET_KEYS))


@lru_cache(maxsize=4)
def _vault(keys: tuple[str, ...]) -> Vault:
    return Vault(keys)


def github_client(scope: Scope) -> GitHubClient:
    """A client that speaks for this scope's credential."""
    return client_for(scope.credential)


def client_for(credential: Credential) -> GitHubClient:
    """A client for this credential; its budget and its end are noted as answers come in."""
    return GitHubClient(
        base_url=credential.api_url,
        auth=_auth(credential),
        cache=_cache,
        on_budget=lambda budget: _note_budget(credential.pk, budget),
        on_token_expiry=lambda at: credentials.note_token_expiry(credential.pk, at),
    )


def client_with(new: NewCredential) -> GitHubClient:
    """A client for a credential not stored yet. Raises InvalidRequest for an unusable one."""
    return GitHubClient(base_url=checked_url(new.api_url), auth=auth_for(new))


def _auth(credential: Credential) -> Auth:
    """The same App keeps its installation token between clients of one process."""
    return _auth_of(
        credential.pk,
        credential.kind,
        credential.secret_encrypted,
        credential.app_id,
        credential.installation_id,
    )


@lru_cache(maxsize=64)
def _auth_of(pk: int, kind: str, sealed: str, app_id: str, installation_id: int | None) -> Auth:
    secret = vault().decrypt(sealed)
    if kind == Credential.Kind.APP:
        return AppAuth(app_id, secret, installation_id)
    return TokenAuth(secret)


def _note_budget(pk: int, budget: Budget) -> None:
    if budget.resource != "core":
        return
    Credential.objects.filter(pk=pk).update(
        budget_limit=budget.limit,
        budget_remaining=budget.remaining,
        budget_reset_at=budget.reset_at,
        last_used_at=now(),
    )


def heartbeat_policy() -> Policy:
    """The times heartbeats are judged by."""
    return Policy(
        quiet_seconds=quiet_pace(
            _hosts() if settings.FLEET_HEARTBEATS_PER_SECOND else 0,
            a_second=settings.FLEET_HEARTBEATS_PER_SECOND,
            quickest=settings.FLEET_HEARTBEAT_ACTIVE_SECONDS,
            slowest=settings.FLEET_HEARTBEAT_SECONDS,
        ),
        active_seconds=settings.FLEET_HEARTBEAT_ACTIVE_SECONDS,
        late_after_seconds=settings.FLEET_LATE_AFTER_SECONDS,
        offline_after_seconds=settings.FLEET_OFFLINE_AFTER_SECONDS,
        sample_seconds=settings.FLEET_SAMPLE_SECONDS,
    )


def _hosts() -> int:
    """How many hosts are in service; each process looks once a minute, not with each heartbeat."""
    known = cache.get_or_set(_HOSTS, Host.objects.in_service().count, timeout=60)
    return known if known is not None else Host.objects.in_service().count()


def keep_failed() -> timedelta:
    """How long a failed runner stays listed once it holds nothing any more."""
    return timedelta(minutes=settings.FLEET_FAILED_KEEP_MINUTES)


def history_policy() -> history.Policy:
    """How long jobs and the figures of their days are kept, and which waits are late."""
    return history.Policy(
        keep_jobs=timedelta(days=settings.FLEET_JOB_KEEP_DAYS),
        keep_days=timedelta(days=settings.FLEET_JOB_DAY_KEEP_DAYS),
        queue_seconds=settings.FLEET_QUEUE_TARGET_SECONDS,
    )


def deadlines() -> Deadlines:
    """How long a start may take, a host be silent and a ghost be online."""
    return Deadlines(
        start=timedelta(seconds=settings.FLEET_START_DEADLINE_SECONDS),
        host_lost=timedelta(seconds=settings.FLEET_HOST_LOST_SECONDS),
        online_ghost=timedelta(seconds=settings.FLEET_ONLINE_GHOST_SECONDS),
    )


def job_source(scope: Scope) -> JobSource:
    """How this scope's jobs are learned."""
    return in_force(scope.job_source, settings.FLEET_JOB_SOURCE)


def job_poll_interval() -> timedelta:
    """How often GitHub is asked for jobs where webhooks don't tell of them."""
    return timedelta(seconds=settings.FLEET_JOB_POLL_SECONDS)


def webhook_secrets(scope: Scope) -> tuple[str, ...]:
    """The secrets that this scope's deliveries may be signed with now."""
    keys = tuple(settings.FLEET_SECRET_KEYS)
    sealed = scopes.sealed_webhook_secrets(scope, now=now())
    return tuple(_opened(keys, each) for each in sealed)


@lru_cache(maxsize=256)
def _opened(keys: tuple[str, ...], sealed: str) -> str:
    """Hundreds of deliveries a second are signed with the same few secrets."""
    return _vault(keys).decrypt(sealed)


def webhook_address(scope: Scope) -> str:
    """Where GitHub posts this scope's deliveries."""
    return f"{settings.FLEET_BASE_URL}{reverse('webhook-receive', args=[scope.pk])}"


def decisions_kept() -> timedelta:
    """How long the decisions of the scaler are kept."""
    return timedelta(days=settings.FLEET_DECISION_DAYS)


def scaling_rules() -> Rules:
    """What the installation sets for every pool."""
    return Rules(
        registrations=settings.FLEET_REGISTRATIONS,
        burst=settings.FLEET_REGISTRATION_BURST,
        start_deadline=timedelta(seconds=settings.FLEET_START_DEADLINE_SECONDS),
        grace=timedelta(seconds=settings.FLEET_START_GRACE_SECONDS),
        picture_stale_after=PICTURE_STALE_AFTER,
        job_source=settings.FLEET_JOB_SOURCE,
    )


def github_stale_after() -> timedelta:
    """How old GitHub's last whole answer may be: three passes of a quiet fleet."""
    return timedelta(seconds=3 * settings.FLEET_RECONCILE_SECONDS)

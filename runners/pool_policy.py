"""Make, change and remove pools: what they keep ready is policy, so every change is an event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.core.exceptions import ValidationError
from django.core.validators import validate_slug
from django.db import IntegrityError, transaction

from runners import audit
from runners.audit import Actor
from runners.errors import InvalidRequest
from runners.lifecycle import clean_labels, get_labels
from runners.models import Event, Pool, Runner, Scope

MAX_RUNNERS_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class Policy:
    """All of a pool that a person decides; `architecture` and `site` "" for any."""

    name: str
    scope: Scope
    labels: Sequence[str]
    min_idle: int
    max_runners: int
    ephemeral: bool = True
    architecture: str = ""
    needs_gpu: bool = False
    site: str = ""
    owner: str = ""


def create(policy: Policy, *, by: Actor, now: datetime) -> Pool:
    """Make a pool. Raises InvalidRequest for a bad or taken name, bad labels or bounds."""
    labels = _checked(policy)
    pool = Pool(created_at=now)
    _take_over(pool, policy)
    try:
        with transaction.atomic():
            pool.save(force_insert=True)
            pool.labels.set(get_labels(labels))
            audit.record(pool, "pool.create", by=by, at=now, became=_words(policy, labels))
    except IntegrityError as error:
        raise InvalidRequest(f"There is a pool named {policy.name} already.") from error
    return pool


def change(pool: Pool, policy: Policy, *, by: Actor, reason: str, now: datetime) -> Event | None:
    """Give a pool another policy; runners it has go on as they are. None when nothing changed."""
    labels = _checked(policy)
    was = policy_of(pool)
    if _words(was, list(was.labels)) == _words(policy, labels):
        return None
    try:
        with transaction.atomic():
            _take_over(pool, policy)
            pool.save(
                update_fields=[
                    "name",
                    "scope",
                    "min_idle",
                    "max_runners",
                    "ephemeral",
                    "architecture",
                    "needs_gpu",
                    "site",
                    "owner",
                ]
            )
            pool.labels.set(get_labels(labels))
            return audit.record(
                pool,
                "pool.change",
                by=by,
                at=now,
                was=_words(was, list(was.labels)),
                became=_words(policy, labels),
                reason=reason,
            )
    except IntegrityError as error:
        raise InvalidRequest(f"There is a pool named {policy.name} already.") from error


def remove(pool: Pool, *, by: Actor, reason: str, now: datetime) -> Event:
    """Forget a pool that has no runners any more; past runners keep their history."""
    if Runner.objects.current().filter(pool=pool).exists():
        raise InvalidRequest(f"{pool.name} still has runners. Pause it and deregister them first.")
    with transaction.atomic():
        event = audit.record(pool, "pool.remove", by=by, at=now, reason=reason)
        pool.delete()
    return event


def policy_of(pool: Pool) -> Policy:
    """The policy a pool has now."""
    return Policy(
        name=pool.name,
        scope=pool.scope,
        labels=[label.name for label in pool.labels.all()],
        min_idle=pool.min_idle,
        max_runners=pool.max_runners,
        ephemeral=pool.ephemeral,
        architecture=pool.architecture,
        needs_gpu=pool.needs_gpu,
        site=pool.site,
        owner=pool.owner,
    )


def _checked(policy: Policy) -> list[str]:
    """Refuse what no pool may be; return its labels cleaned."""
    try:
        validate_slug(policy.name)
    except ValidationError as error:
        raise InvalidRequest(
            "A pool's name has letters, digits, - and _, such as linux-x64."
        ) from error
    if policy.name == "new":
        raise InvalidRequest("A pool can't be named new: that is the page that adds one.")
    if not 0 <= policy.min_idle <= policy.max_runners <= MAX_RUNNERS_LIMIT:
        raise InvalidRequest(
            f"Keep between 0 and the maximum idle, and run at most {MAX_RUNNERS_LIMIT}."
        )
    return clean_labels(policy.labels)


def _take_over(pool: Pool, policy: Policy) -> None:
    pool.name, pool.scope = policy.name, policy.scope
    pool.min_idle, pool.max_runners = policy.min_idle, policy.max_runners
    pool.ephemeral, pool.needs_gpu = policy.ephemeral, policy.needs_gpu
    pool.architecture, pool.site, pool.owner = policy.architecture, policy.site, policy.owner


def _words(policy: Policy, labels: Sequence[str]) -> str:
    """The policy in one line, as the audit log shows it; at most 200 characters."""
    parts = [
        policy.name,
        policy.scope.slug,
        "+".join(sorted(labels)),
        f"idle {policy.min_idle}",
        f"max {policy.max_runners}",
        "one job" if policy.ephemeral else "until stopped",
        policy.architecture,
        "GPU" if policy.needs_gpu else "",
        policy.site,
        policy.owner,
    ]
    return ", ".join(part for part in parts if part)[:200]

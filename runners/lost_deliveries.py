"""Deliveries that never arrived: found in GitHub's own list and taken from there.

GitHub sends nothing twice by itself, but lists what it sent for three days (GHES: seven). What it
lists and we do not hold is fetched with its payload and kept like any other, under the same number,
so that a later redelivery changes nothing. Each look is bounded, and goes on where the last ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from runners import audit, deliveries
from runners.audit import Actor
from runners.delivery_content import ADMITTED
from runners.errors import InvalidRequest
from runners.github.errors import BadAnswer, Forbidden, GitHubError, NotFound, PartialResult
from runners.github.parsing import parse_json
from runners.github.types import Delivery as Listed
from runners.github.types import DeliveryDetail, Listing, Webhook
from runners.github.urls import ScopePath
from runners.github.webhooks import WebhookEvent
from runners.models import Delivery, Event, Scope
from runners.registry import path_of

LOOK_EVERY = timedelta(seconds=60)
LOOK_AGAIN_AFTER_PROBLEM = timedelta(minutes=10)
# What is under way still, or was a moment ago: not lost yet
GRACE = timedelta(seconds=30)
LISTED_FOR = timedelta(days=3)
NEWEST = 200
DEEP = 3000
"""After a while without a look, after one that failed, or where more than `NEWEST` came since the
last, this many deliveries are listed."""
DEEP_AFTER = timedelta(minutes=5)
OVERLAP = timedelta(seconds=60)
"""How far before the last look a list must reach: what was under way then, and clocks apart."""
FETCHED_AT_ONCE = 100


class Hooks(Protocol):
    """GitHub's webhooks of a scope and of an App; every call may raise a GitHubError."""

    def list_webhooks(self, scope: ScopePath) -> Listing[Webhook]:
        """All webhooks of the scope."""

    def list_webhook_deliveries(
        self,
        scope: ScopePath,
        hook_id: int,
        *,
        status: str | None = None,
        max_items: int | None = None,
    ) -> Listing[Listed]:
        """Its last deliveries, newest first."""

    def get_webhook_delivery(
        self, scope: ScopePath, hook_id: int, delivery_id: int
    ) -> DeliveryDetail:
        """One delivery with its payload."""

    def redeliver_webhook_delivery(self, scope: ScopePath, hook_id: int, delivery_id: int) -> None:
        """Have it sent again."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a look brought; `problem` says why there was none."""

    listed: int = 0
    replayed: int = 0
    left: int = 0
    problem: str = ""

    def __str__(self) -> str:
        said = f"{self.listed} listed, {self.replayed} replayed, {self.left} left"
        return self.problem or said


def is_due(scope: Scope, *, now: datetime) -> bool:
    """Whether it is time for a look: a webhook is set up, and the last look is a while ago."""
    if not scope.webhook_secret_encrypted or scope.kind == Scope.Kind.ENTERPRISE:
        return False
    wait = LOOK_AGAIN_AFTER_PROBLEM if scope.deliveries_problem else LOOK_EVERY
    return scope.deliveries_checked_at is None or now - scope.deliveries_checked_at >= wait


def replay(scope: Scope, *, github: Hooks, address: str, now: datetime) -> Found:
    """Keep what GitHub lists and we do not hold; raises nothing: what failed is told and kept."""
    try:
        hook = _hook_id(scope, github, address)
        if hook is None:
            found = Found(problem=f"GitHub has no webhook of {scope.slug} that leads here.")
        else:
            found = _replay(scope, hook, github, now)
    except (Forbidden, NotFound):
        found = Found(
            problem="The credential may not read the webhook's deliveries: lost ones are found by "
            "polling alone. It needs Webhooks: read (organization or repository)."
        )
    except GitHubError as error:
        found = Found(problem=error.user_message)
    # While more is lost than one look fetches, the next is due at once, and looks as deep
    checked_at = None if found.left else now
    Scope.objects.filter(pk=scope.pk).update(
        deliveries_checked_at=checked_at, deliveries_problem=found.problem
    )
    return found


def _replay(scope: Scope, hook: int, github: Hooks, now: datetime) -> Found:
    last = scope.deliveries_checked_at
    deep = last is None or bool(scope.deliveries_problem) or now - last > DEEP_AFTER
    sent = _listed(lambda: _list(github, scope, hook, DEEP if deep else NEWEST))
    if not deep and last is not None and _falls_short(sent, last):
        sent = _listed(lambda: _list(github, scope, hook, DEEP))
    listed = [
        each
        for each in sent
        if max(scope.created_at, now - LISTED_FOR) <= each.delivered_at <= now - GRACE
        and each.event in ADMITTED
    ]
    held = set(
        Delivery.objects.filter(
            scope=scope, hook_id=str(hook), guid__in={each.guid for each in listed}
        ).values_list("guid", flat=True)
    )
    lost = {each.guid: each for each in listed if each.guid not in held}
    # Oldest first; what is left over is lost still at the next look
    count = 0
    for each in sorted(lost.values(), key=lambda each: each.delivered_at)[:FETCHED_AT_ONCE]:
        event = _event(github.get_webhook_delivery(path_of(scope), hook, each.id), hook)
        count += deliveries.keep(scope, event, now=now, replayed=True)
    left = len(lost) - FETCHED_AT_ONCE
    return Found(len(listed), count, left=max(0, left))


def _falls_short(sent: Sequence[Listed], last: datetime) -> bool:
    """Whether more was sent since the last look than is listed."""
    oldest = min((each.delivered_at for each in sent), default=last)
    return len(sent) >= NEWEST and oldest > last - OVERLAP


def _list(github: Hooks, scope: Scope, hook: int, most: int) -> Listing[Listed]:
    return github.list_webhook_deliveries(path_of(scope), hook, max_items=most)


def _listed(ask: Callable[[], Listing[Listed]]) -> list[Listed]:
    try:
        return list(ask())
    except PartialResult as part:
        return [each for each in part.items if isinstance(each, Listed)]


def _hook_id(scope: Scope, github: Hooks, address: str) -> int | None:
    """The hook that delivers here: told by its ping, else by GitHub's list."""
    if scope.webhook_hook_id.isdigit():
        return int(scope.webhook_hook_id)
    for hook in github.list_webhooks(path_of(scope)):
        if hook.config.url == address:
            Scope.objects.filter(pk=scope.pk).update(webhook_hook_id=str(hook.id))
            return hook.id
    return None


def _event(detail: DeliveryDetail, hook: int) -> WebhookEvent:
    """What was delivered, as if it had arrived; GitHub's list is read over TLS, so none forged it.

    Raises BadAnswer for a payload that is no object.
    """
    payload = parse_json(detail.payload.encode(), "webhook delivery")
    if not isinstance(payload, dict):
        raise BadAnswer("GitHub's copy of a delivery is not a JSON object.")
    return WebhookEvent(
        guid=detail.delivery.guid,
        event=detail.delivery.event,
        action=detail.delivery.action,
        hook_id=hook,
        target_type="",
        target_id=None,
        payload=payload,
    )


def redeliver(delivery: Delivery, *, github: Hooks, by: Actor, reason: str, now: datetime) -> Event:
    """Ask GitHub to send a delivery again; it comes under the same number.

    Raises InvalidRequest where GitHub lists it no more, GitHubError when it refuses.
    """
    scope = delivery.scope
    if scope.kind == Scope.Kind.ENTERPRISE or not delivery.hook_id.isdigit():
        raise InvalidRequest("GitHub redelivers an enterprise's webhooks on its own page alone.")
    hook = int(delivery.hook_id)
    for listed in _listed(lambda: _list(github, scope, hook, DEEP)):
        if listed.guid == delivery.guid:
            github.redeliver_webhook_delivery(path_of(scope), hook, listed.id)
            return audit.record(delivery, "delivery.redeliver", by=by, at=now, reason=reason)
    raise InvalidRequest("GitHub lists this delivery no more: it keeps them for three days.")

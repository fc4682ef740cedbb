"""Webhooks of repositories and organizations, and their deliveries.

Source: GitHub Docs "REST API endpoints for repository webhooks", "... organization webhooks".
Permission: "repository_hooks" or "organization_hooks", read for lists, write for the rest; classic
token "repo" (or "admin:repo_hook") and "admin:org_hook".
"""

from __future__ import annotations

from collections.abc import Sequence

from runners.github.parsing import Json
from runners.github.types.hooks import (
    Delivery,
    DeliveryDetail,
    Webhook,
    parse_delivery,
    parse_delivery_detail,
    parse_webhook,
)
from runners.github.types.listing import Listing, PageOf
from runners.github.urls import ScopeKind, ScopePath

from .base import Endpoints, without_none

WEBHOOK_PAGE = PageOf(parse_webhook)
DELIVERY_PAGE = PageOf(parse_delivery)


class HookEndpoints(Endpoints):
    """Operations under `…/hooks`. Enterprise webhooks have no such API: ValueError."""

    def list_webhooks(self, scope: ScopePath) -> Listing[Webhook]:
        """List webhooks. "List organization webhooks", "List repository webhooks"; read."""
        return self._list("list_webhooks", _hooks(scope), WEBHOOK_PAGE, lambda hook: hook.id)

    def get_webhook(self, scope: ScopePath, hook_id: int) -> Webhook:
        """Get a webhook. "Get an organization webhook", "Get a repository webhook"; read."""
        return self._get("get_webhook", f"{_hooks(scope)}/{hook_id}", parse_webhook)

    def create_webhook(
        self,
        scope: ScopePath,
        *,
        url: str,
        secret: str,
        events: Sequence[str],
        content_type: str = "json",
    ) -> Webhook:
        """Make an active webhook; GitHub pings it. "Create an organization (repository) webhook";
        write. Raises ValidationFailed when one with this address exists."""
        config = webhook_config_body(url=url, secret=secret, content_type=content_type)
        body: Json = {"name": "web", "active": True, "events": list(events), "config": config}
        return parse_webhook(self._change("POST", "create_webhook", _hooks(scope), body=body))

    def update_webhook(
        self,
        scope: ScopePath,
        hook_id: int,
        *,
        url: str,
        secret: str,
        events: Sequence[str],
        active: bool = True,
        content_type: str = "json",
    ) -> Webhook:
        """Set a webhook anew, secret included: GitHub drops a secret that is not passed.

        "Update an organization webhook", "Update a repository webhook"; write.
        """
        config = webhook_config_body(url=url, secret=secret, content_type=content_type)
        body: Json = {"active": active, "events": list(events), "config": config}
        path = f"{_hooks(scope)}/{hook_id}"
        return parse_webhook(self._change("PATCH", "update_webhook", path, body=body))

    def delete_webhook(self, scope: ScopePath, hook_id: int) -> None:
        """Delete a webhook. "Delete an organization (repository) webhook"; write."""
        self._change("DELETE", "delete_webhook", f"{_hooks(scope)}/{hook_id}")

    def ping_webhook(self, scope: ScopePath, hook_id: int) -> None:
        """Have a ping sent. "Ping an organization webhook", "Ping a repository webhook"; write."""
        self._change("POST", "ping_webhook", f"{_hooks(scope)}/{hook_id}/pings")

    def list_webhook_deliveries(
        self,
        scope: ScopePath,
        hook_id: int,
        *,
        status: str | None = None,
        max_items: int | None = None,
    ) -> Listing[Delivery]:
        """Deliveries of the last days, newest first. "List deliveries for an organization
        (repository) webhook"; read. `status`: "success" or "failure"."""
        return self._list(
            "list_webhook_deliveries",
            f"{_hooks(scope)}/{hook_id}/deliveries",
            DELIVERY_PAGE,
            lambda delivery: delivery.id,
            query=without_none(status=status),
            max_items=max_items,
        )

    def get_webhook_delivery(
        self, scope: ScopePath, hook_id: int, delivery_id: int
    ) -> DeliveryDetail:
        """One delivery with its payload. "Get a webhook delivery for …"; read."""
        return self._get(
            "get_webhook_delivery",
            f"{_hooks(scope)}/{hook_id}/deliveries/{delivery_id}",
            parse_delivery_detail,
            conditional=False,
        )

    def redeliver_webhook_delivery(self, scope: ScopePath, hook_id: int, delivery_id: int) -> None:
        """Have a delivery sent again, under the same GUID. "Redeliver a delivery for …"; write."""
        path = f"{_hooks(scope)}/{hook_id}/deliveries/{delivery_id}/attempts"
        self._change("POST", "redeliver_webhook_delivery", path)


def webhook_config_body(*, url: str, secret: str, content_type: str) -> dict[str, Json]:
    """The `config` of a webhook; TLS is always verified."""
    return {"url": url, "content_type": content_type, "secret": secret, "insecure_ssl": "0"}


def _hooks(scope: ScopePath) -> str:
    if scope.kind is ScopeKind.ENTERPRISE:
        raise ValueError(f"GitHub has no webhook API for {scope}: add the webhook on its page.")
    return f"{scope.api_path}/hooks"

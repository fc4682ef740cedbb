"""Webhooks and their deliveries. A webhook's secret is never in an answer.

Source: GitHub Docs "REST API endpoints for organization webhooks", "... repository webhooks",
"... GitHub App webhooks".
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime

from runners.github.parsing import Fields, Json, text_of

CONTENT_TYPES = ("json", "form")


@dataclass(frozen=True, slots=True)
class WebhookConfig:
    """Where and how a webhook delivers; `has_secret` is all GitHub tells of the secret."""

    url: str
    content_type: str
    insecure_ssl: bool
    has_secret: bool


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook of a repository or an organization."""

    id: int
    active: bool
    events: tuple[str, ...]
    config: WebhookConfig
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt to deliver an event. `guid` names the event, `id` the attempt."""

    id: int
    guid: str
    delivered_at: datetime
    redelivery: bool
    duration_seconds: float
    status: str
    status_code: int
    event: str
    action: str
    repository_id: int | None
    throttled_at: datetime | None

    @property
    def ok(self) -> bool:
        """Whether the receiver answered with success."""
        return 200 <= self.status_code < 300


@dataclass(frozen=True, slots=True)
class DeliveryDetail:
    """A delivery with what was sent; `payload` is JSON text as GitHub keeps it."""

    delivery: Delivery
    request_headers: dict[str, str] = field(repr=False, hash=False)
    payload: str = field(repr=False)


def parse_webhook_config(value: Json) -> WebhookConfig:
    """Read a webhook-config; `insecure_ssl` comes as "0", "1", 0 or 1."""
    fields = Fields(value, "webhook config")
    return WebhookConfig(
        url=fields.text_or("url"),
        content_type=fields.text_or("content_type", "form"),
        insecure_ssl=str(fields.raw("insecure_ssl") or "0") == "1",
        has_secret=fields.has("secret"),
    )


def parse_webhook(value: Json) -> Webhook:
    """Read a hook or an org-hook."""
    fields = Fields(value, "webhook")
    return Webhook(
        id=fields.number("id"),
        active=fields.flag("active"),
        events=fields.list_of("events", text_of),
        config=parse_webhook_config(fields.raw("config")),
        created_at=fields.moment("created_at"),
        updated_at=fields.moment("updated_at"),
    )


def parse_delivery(value: Json) -> Delivery:
    """Read a hook-delivery-item or the same part of a hook-delivery."""
    fields = Fields(value, "delivery")
    return Delivery(
        id=fields.number("id"),
        guid=fields.text("guid"),
        delivered_at=fields.moment("delivered_at"),
        redelivery=fields.flag("redelivery"),
        duration_seconds=fields.seconds("duration"),
        status=fields.text("status"),
        status_code=fields.number("status_code"),
        event=fields.text("event"),
        action=fields.text_or("action"),
        repository_id=fields.number_or_none("repository_id"),
        throttled_at=fields.moment_or_none("throttled_at"),
    )


def parse_delivery_detail(value: Json) -> DeliveryDetail:
    """Read a hook-delivery."""
    request = Fields(value, "delivery").object("request")
    headers = request.object_or_none("headers")
    return DeliveryDetail(
        delivery=parse_delivery(value),
        request_headers=headers.texts_by_name() if headers else {},
        payload=json.dumps(request.raw("payload"), separators=(",", ":"), ensure_ascii=False),
    )

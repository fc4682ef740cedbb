"""Reading webhook deliveries: the signature over the raw body first, the content after.

Pure: it takes bytes and headers and gives values. What an event means is not known here.
Source: GitHub Docs "Validating webhook deliveries", "Webhook events and payloads".
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from .errors import BadAnswer, GitHubError
from .parsing import Json, parse_json

MAX_BODY_BYTES = 25 * 1024 * 1024
SIGNATURE_PREFIX = "sha256="
FORM_TYPE = "application/x-www-form-urlencoded"


class BadDelivery(GitHubError):
    """A delivery that cannot be taken: `status` is the HTTP status to answer with."""


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """A delivery that was signed rightly. `guid` is the same on redelivery; `hook_id` may be None.

    `action` is "" for events that have none ("ping").
    """

    guid: str
    event: str
    action: str
    hook_id: int | None
    target_type: str
    target_id: int | None
    payload: dict[str, Json] = field(repr=False, hash=False)


def sign(secret: str, body: bytes) -> str:
    """The X-Hub-Signature-256 of a body."""
    return SIGNATURE_PREFIX + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def verify_signature(secret: str | Sequence[str], body: bytes, signature: str) -> bool:
    """Whether `signature` was made with (one of) the secret(s), compared in constant time.

    An empty secret verifies nothing.
    """
    secrets = (secret,) if isinstance(secret, str) else tuple(secret)
    given = signature.strip().encode("utf-8", errors="replace")
    # All are compared, so that time does not tell which secret is in use.
    matches = [hmac.compare_digest(sign(known, body).encode(), given) for known in secrets if known]
    return any(matches)


def parse_payload(body: bytes, content_type: str) -> dict[str, Json]:
    """Read a body that is JSON, or a form with `payload`. Raises BadDelivery (400).

    Verify the signature before: it covers the body as it came.
    """
    if content_type.partition(";")[0].strip().lower() == FORM_TYPE:
        body = _form_payload(body)
    try:
        value = parse_json(body, "webhook")
    except BadAnswer:
        raise BadDelivery("The webhook's body is not JSON.", status=400) from None
    if not isinstance(value, dict):
        raise BadDelivery("The webhook's body is not a JSON object.", status=400)
    return value


def _form_payload(body: bytes) -> bytes:
    try:
        fields = parse_qs(body.decode("utf-8"), strict_parsing=True, max_num_fields=10)
        (payload,) = fields["payload"]
    except (ValueError, KeyError):
        raise BadDelivery("The webhook's form has no payload.", status=400) from None
    return payload.encode()


def read_delivery(
    headers: Mapping[str, str],
    body: bytes,
    secret: str | Sequence[str],
    *,
    max_body_bytes: int = MAX_BODY_BYTES,
) -> WebhookEvent:
    """Verify and read one delivery; `headers` must match names whatever their case.

    Raises BadDelivery with the status to answer: 413 too large, 401 unsigned or signed with
    another secret, 400 unreadable.
    """
    if len(body) > max_body_bytes:
        raise BadDelivery("The webhook's body is too large.", status=413)
    if not verify_signature(secret, body, headers.get("X-Hub-Signature-256", "")):
        raise BadDelivery(
            "The webhook is not signed with this scope's secret: set the same one on GitHub's page "
            "and here.",
            status=401,
        )
    guid = headers.get("X-GitHub-Delivery", "")
    event = headers.get("X-GitHub-Event", "")
    if not guid or not event:
        raise BadDelivery("The webhook names no event or no delivery.", status=400)
    payload = parse_payload(body, headers.get("Content-Type", ""))
    action = payload.get("action")
    return WebhookEvent(
        guid=guid,
        event=event,
        action=action if isinstance(action, str) else "",
        hook_id=_number(headers.get("X-GitHub-Hook-ID", "")),
        target_type=headers.get("X-GitHub-Hook-Installation-Target-Type", ""),
        target_id=_number(headers.get("X-GitHub-Hook-Installation-Target-ID", "")),
        payload=payload,
    )


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None

"""Where GitHub posts its webhooks: signature before parse, kept by GUID, answered before any
work."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django_q.tasks import async_task

from runners import wiring
from runners.api.responses import api_view, ok, refused
from runners.errors import InvalidRequest
from runners.github.webhooks import verify_signature
from runners.models import Delivery, Scope

BODY_LIMIT_BYTES = 5 * 1024 * 1024
KEPT_EVENTS = ("workflow_job", "workflow_run", "ping", "meta", "installation")


@api_view("POST")
def receive(request: HttpRequest, pk: int) -> HttpResponse:
    """Take one delivery. The same delivery twice is answered alike and changes nothing."""
    if int(request.headers.get("Content-Length") or 0) > BODY_LIMIT_BYTES:
        return refused([f"The body is over {BODY_LIMIT_BYTES} bytes."], 413)
    scope = Scope.objects.filter(pk=pk).first()
    if scope is None or not scope.webhook_secret_encrypted:
        return refused(["No webhook is expected here."], 404)
    secret = wiring.vault().decrypt(scope.webhook_secret_encrypted)
    signature = request.headers.get("X-Hub-Signature-256", "")
    if not verify_signature(secret, request.body, signature):
        return refused(["The signature does not match this scope's webhook secret."], 401)
    event = request.headers.get("X-GitHub-Event", "")[:60]
    guid = request.headers.get("X-GitHub-Delivery", "")[:64]
    if not event or not guid:
        raise InvalidRequest("X-GitHub-Event and X-GitHub-Delivery are missing.")
    payload = _payload(request)
    try:
        with transaction.atomic():
            delivery = Delivery.objects.create(
                scope=scope,
                hook_id=request.headers.get("X-GitHub-Hook-ID", "")[:40],
                guid=guid,
                event=event,
                action=str(payload.get("action", ""))[:60],
                payload=payload if event in KEPT_EVENTS else None,
                received_at=wiring.now(),
            )
            async_task("runners.tasks.process_delivery", delivery.pk)
    except IntegrityError:
        return ok(known=True)
    return ok(202, known=False)


def _payload(request: HttpRequest) -> dict[str, object]:
    """Read JSON or form data; the signature was over the raw body either way."""
    text = request.body.decode("utf-8", "replace")
    if request.content_type == "application/x-www-form-urlencoded":
        text = parse_qs(text).get("payload", [""])[0]
    try:
        data = json.loads(text)
    except ValueError as error:
        raise InvalidRequest("The payload is not JSON.") from error
    if not isinstance(data, dict):
        raise InvalidRequest("The payload must be a JSON object.")
    return data

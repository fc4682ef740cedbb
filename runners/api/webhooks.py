"""Where GitHub posts webhooks: signature before parse, kept by GUID, answered before any work."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django_q.tasks import async_task

from runners import wiring
from runners.api.responses import api_view, ok, raw_body, refused
from runners.github.webhooks import BadDelivery, read_delivery
from runners.models import Delivery, Scope

BODY_LIMIT_BYTES = 2 * 1024 * 1024  # below Django's own limit, whose refusal is a page
KEPT_EVENTS = ("workflow_job", "workflow_run", "ping", "meta", "installation")


@api_view("POST")
def receive(request: HttpRequest, pk: int) -> HttpResponse:
    """Take one delivery. The same delivery twice is answered alike and changes nothing."""
    body = raw_body(request, limit=BODY_LIMIT_BYTES)
    scope = Scope.objects.filter(pk=pk).first()
    if scope is None or not scope.webhook_secret_encrypted:
        return refused(["No webhook is expected here."], 404)
    secret = wiring.vault().decrypt(scope.webhook_secret_encrypted)
    try:
        event = read_delivery(request.headers, body, secret, max_body_bytes=BODY_LIMIT_BYTES)
    except BadDelivery as error:
        return refused([error.user_message], error.status or 400)
    try:
        with transaction.atomic():
            delivery = Delivery.objects.create(
                scope=scope,
                hook_id=str(event.hook_id or ""),
                guid=event.guid[:64],
                event=event.event[:60],
                action=event.action[:60],
                payload=event.payload if event.event in KEPT_EVENTS else None,
                received_at=wiring.now(),
            )
            async_task("runners.tasks.process_delivery", delivery.pk)
    except IntegrityError:
        return ok(known=True)
    return ok(202, known=False)

"""Where GitHub posts webhooks: signature before parse, kept by GUID, answered before any work."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from runners import deliveries, scopes, wiring
from runners.api.responses import api_view, ok, raw_body, refused
from runners.github.webhooks import BadDelivery, read_delivery

BODY_LIMIT_BYTES = 2 * 1024 * 1024  # below Django's own limit, whose refusal is a page
UNSIGNED = 401


@api_view("POST")
def receive(request: HttpRequest, pk: int) -> HttpResponse:
    """Take one delivery. The same delivery twice is answered alike and changes nothing."""
    body = raw_body(request, limit=BODY_LIMIT_BYTES)
    scope, now = scopes.expecting_deliveries(pk), wiring.now()
    if scope is None or not wiring.job_source(scope).takes_deliveries:
        return refused(["No webhook is expected here."], 404)
    secrets = wiring.webhook_secrets(scope)
    try:
        event = read_delivery(request.headers, body, secrets, max_body_bytes=BODY_LIMIT_BYTES)
    except BadDelivery as error:
        if error.status == UNSIGNED:
            scopes.note_refused_delivery(scope, now=now)
        return refused([error.user_message], error.status or 400)
    if deliveries.keep(scope, event, now=now):
        return ok(202, known=False)
    return ok(known=True)

"""The two shapes every answer has: `{"ok": true, …}` or `{"ok": false, "errors": […], "status":
n}`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import wraps

from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from runners.agent_messages import ProtocolTooOld
from runners.errors import FleetError, Gone, InvalidRequest, NotPermitted, Quiesced

BODY_LIMIT_BYTES = 64 * 1024
ASK_AGAIN_SECONDS = 30

STATUS_OF: Mapping[type[FleetError], int] = {
    ProtocolTooOld: 426,
    InvalidRequest: 400,
    NotPermitted: 401,
    Gone: 410,
}


class BodyTooLarge(InvalidRequest):
    """The body is over the limit; nothing of it was read."""


def ok(status: int = 200, **fields: object) -> JsonResponse:
    """Answer success with these fields."""
    return JsonResponse({"ok": True, **fields}, status=status)


def refused(errors: Sequence[str], status: int, **fields: object) -> JsonResponse:
    """Answer a refusal; each error is a sentence fit for a log a person reads."""
    return JsonResponse(
        {"ok": False, "errors": list(errors), "status": status, **fields}, status=status
    )


def raw_body(request: HttpRequest, *, limit: int) -> bytes:
    """Return the body as it came. Raises InvalidRequest, BodyTooLarge before anything is read."""
    length = request.headers.get("Content-Length") or "0"
    if not (length.isascii() and length.isdigit()):
        raise InvalidRequest("Content-Length is not a number.")
    if int(length) > limit:
        raise BodyTooLarge(f"The body is over {limit} bytes.")
    return request.body


def json_body(request: HttpRequest, *, limit: int = BODY_LIMIT_BYTES) -> Mapping[str, object]:
    """Return the JSON object of the request. Raises InvalidRequest, BodyTooLarge."""
    try:
        data = json.loads(raw_body(request, limit=limit) or b"{}")
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The body is not JSON.") from error
    if not isinstance(data, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return data


def api_view(
    method: str,
) -> Callable[[Callable[..., HttpResponseBase]], Callable[..., HttpResponseBase]]:
    """Make a view an API endpoint: one method, no CSRF (bearer tokens only), errors in our
    shape."""

    def decorate(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        @csrf_exempt
        @wraps(view)
        def endpoint(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
            if request.method != method:
                answer = refused([f"Use {method}."], 405)
                answer["Allow"] = method
                return answer
            try:
                return view(request, *args, **kwargs)
            except BodyTooLarge as error:
                return refused([error.user_message], 413)
            except Quiesced as error:
                # Not a refusal for good: an agent waits and asks again
                return refused([error.user_message], 503, retry_after_seconds=ASK_AGAIN_SECONDS)
            except FleetError as error:
                status = next((s for kind, s in STATUS_OF.items() if isinstance(error, kind)), 409)
                return refused([error.user_message], status)

        return endpoint

    return decorate

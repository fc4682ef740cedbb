"""Give each request an id: in its log lines, and in its answer for whoever asks about it later."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse

from runners import log_context

HEADER: Final = "X-Request-ID"
# A proxy's own id is kept, so that its log and ours tell of one request; nothing else is believed.
ACCEPTED: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")


def request_ids(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware; the outermost, so that what any other logs carries the id."""

    def middleware(request: HttpRequest) -> HttpResponse:
        given = request.headers.get(HEADER, "")
        request_id = given if ACCEPTED.fullmatch(given) else uuid.uuid4().hex
        with log_context.about(request_id=request_id, path=request.path):
            answer = get_response(request)
        answer[HEADER] = request_id
        return answer

    return middleware

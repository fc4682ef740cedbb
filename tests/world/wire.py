"""HTTP without sockets: the client's bytes reach the stand-in GitHub's gateway in this process.

What a wire can do to a request is done here too: no connection, no answer, half an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter
from urllib3.response import HTTPResponse

from runners.github.http import PlainSession
from runners.simulator.gateway import RawAnswer, RawRequest

SITE = "http://127.0.0.1:8088"
"""Nobody listens there: every session of the world carries its own way."""

Answerer = Callable[[RawRequest], RawAnswer]


def raw_request(method: str, url: str, headers: Mapping[str, str], body: bytes) -> RawRequest:
    """The request as the gateway takes it."""
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    lower = {name.lower(): value for name, value in headers.items()}
    return RawRequest(method, target, {"host": parts.netloc, **lower}, body)


class Wire(BaseAdapter):
    """Carries a session's requests to `answer`; `boundary` hears of each before and after."""

    def __init__(
        self, answer: Answerer, boundary: Callable[[str], None], reachable: Callable[[], bool]
    ) -> None:
        super().__init__()
        self._answer = answer
        self._boundary = boundary
        self._reachable = reachable

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: object = None,
        verify: object = True,
        cert: object = None,
        proxies: object = None,
    ) -> requests.Response:
        """Send one request. Raises what `requests` raises when the wire breaks."""
        del stream, timeout, verify, cert, proxies
        method, url = request.method or "GET", request.url or ""
        body = request.body or b""
        self._boundary(f"before {method}")
        if not self._reachable():
            raise requests.exceptions.ConnectTimeout("no connection")
        raw = raw_request(
            method, url, request.headers, body.encode() if isinstance(body, str) else body
        )
        answer = self._answer(raw)
        self._boundary(f"after {method}")
        if answer.drop:
            raise requests.exceptions.ReadTimeout("no answer")
        return _response(request, answer)

    def close(self) -> None:
        """Nothing is open."""


def _response(request: requests.PreparedRequest, answer: RawAnswer) -> requests.Response:
    headers = dict(answer.headers)
    if answer.status not in (204, 304):
        headers["Content-Length"] = str(len(answer.body))
    body = answer.body[: len(answer.body) // 2] if answer.cut else answer.body
    raw = HTTPResponse(
        body=BytesIO(body),
        headers=headers,
        status=answer.status,
        preload_content=False,
        enforce_content_length=True,
        request_method=request.method,
    )
    response = requests.Response()
    response.status_code = answer.status
    response.headers.update(headers)
    response.raw = raw
    response.url = request.url or ""
    response.request = request
    return response


def session(wire: Wire) -> requests.Session:
    """A session that goes nowhere but through this wire."""
    made = PlainSession()
    made.trust_env = False
    made.mount("http://", wire)
    made.mount("https://", wire)
    return made

"""One request and its answer on the wire: time-outs, bounded bodies, redirects by hand.

Knows `requests` and nothing of limits, caches or repeats (`transport.py`), and writes nothing to a
log. Redirects repeat the same method, for `requests` would turn a redirected POST into a GET; the
Authorization header stays with the host it was made for.
Source: GitHub Docs "Best practices for using the REST API", section on redirects.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol
from urllib.parse import urljoin, urlsplit

import requests
from requests.auth import AuthBase
from urllib3.exceptions import NewConnectionError

from .errors import BadAnswer, GitHubError, GitHubUnavailable
from .urls import is_loopback

CONNECT_TIMEOUT_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 20.0
BODY_DEADLINE_SECONDS = 60.0
MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_REDIRECTS = 5
CHUNK_BYTES = 64 * 1024
REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})


class Sink(Protocol):
    """Where a download goes."""

    def write(self, chunk: bytes, /) -> object:
        """Take the next piece."""


@dataclass(frozen=True, slots=True)
class Times:
    """How long to wait: for a connection, for the next bytes, for a whole body."""

    connect_seconds: float = CONNECT_TIMEOUT_SECONDS
    read_seconds: float = READ_TIMEOUT_SECONDS
    body_seconds: float = BODY_DEADLINE_SECONDS


@dataclass(frozen=True, slots=True)
class WireRequest:
    """One request. `authorization` is sent to the first host only, and never shown."""

    operation: str
    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    authorization: str = field(default="", repr=False)
    body: bytes | None = field(default=None, repr=False)
    max_bytes: int = MAX_BODY_BYTES

    @property
    def is_read(self) -> bool:
        """Whether asking twice changes nothing."""
        return self.method == "GET"


@dataclass(frozen=True, slots=True)
class WireAnswer:
    """What came back. Header names match whatever their case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    url: str = ""


class _SetHeader(AuthBase):
    """Sends exactly our Authorization; without it `requests` would look into ~/.netrc."""

    def __init__(self, authorization: str) -> None:
        self._authorization = authorization

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._authorization:
            request.headers["Authorization"] = self._authorization
        return request


class PlainSession(requests.Session):
    """A session that leaves redirects alone.

    Told not to follow them, `requests` still reads the whole body of a redirect and takes its
    address apart, whatever its size and shape.
    """

    def get_redirect_target(self, resp: requests.Response) -> None:
        """There is never one."""


def origin_of(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port: what a credential is good for."""
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").lower(), port


def exchange(
    session: requests.Session, request: WireRequest, times: Times, sink: Sink | None = None
) -> WireAnswer:
    """Send a request and follow its redirects; a 200 goes to `sink` where there is one.

    Raises GitHubUnavailable when no whole answer came, BadAnswer for a redirect not to be followed
    or a body over `max_bytes`.
    """
    for _ in range(MAX_REDIRECTS + 1):
        answer = _round_trip(session, request, times, sink)
        if answer.status not in REDIRECT_STATUSES:
            return answer
        request = _redirected(request, answer)
    raise BadAnswer(
        "GitHub redirects in a circle. Check the base address.", operation=request.operation
    )


def _redirected(request: WireRequest, answer: WireAnswer) -> WireRequest:
    """The request to repeat at the new place."""
    location = answer.headers.get("location", "")
    try:
        target = urljoin(request.url, location)
        scheme, host, _ = origin = origin_of(target)
    except ValueError:
        location, scheme, host, origin = "", "", "", ("", "", None)
    safe = scheme == "https" or (scheme == "http" and is_loopback(host))
    if not location or not host or not safe:
        raise BadAnswer(
            "GitHub redirects to an address that is missing or not https. Check the base address.",
            operation=request.operation,
            status=answer.status,
        )
    if answer.status == 303:
        request = replace(request, method="GET", body=None)
    if origin == origin_of(request.url):
        return replace(request, url=target)
    if not request.is_read:
        raise BadAnswer(
            f"GitHub redirects a change to another host ({host}). Set the base address to it if "
            "it is yours.",
            operation=request.operation,
            status=answer.status,
        )
    return replace(request, url=target, authorization="")


def _round_trip(
    session: requests.Session, request: WireRequest, times: Times, sink: Sink | None
) -> WireAnswer:
    # Errors are raised "from None": those of requests quote the address, which may hold a code.
    try:
        with session.request(
            request.method,
            request.url,
            headers=dict(request.headers),
            data=request.body,
            auth=_SetHeader(request.authorization),
            timeout=(times.connect_seconds, times.read_seconds),
            allow_redirects=False,
            stream=True,
        ) as response:
            to_sink = sink is not None and response.status_code == 200
            body = _read_body(response, request, times, sink if to_sink else None)
            return WireAnswer(response.status_code, response.headers, body, request.url)
    except requests.RequestException as err:
        raise _no_answer(err, request) from None


def _read_body(
    response: requests.Response, request: WireRequest, times: Times, sink: Sink | None
) -> bytes:
    deadline = time.monotonic() + times.body_seconds
    kept = bytearray()
    size = 0
    for chunk in response.iter_content(CHUNK_BYTES):
        size += len(chunk)
        if size > request.max_bytes:
            raise BadAnswer(
                f"GitHub's answer is over {request.max_bytes} bytes.",
                may_have_happened=not request.is_read,
                operation=request.operation,
                status=response.status_code,
            )
        if time.monotonic() > deadline:
            raise GitHubUnavailable(
                f"GitHub's answer did not end within {times.body_seconds:.0f} s.",
                may_have_happened=not request.is_read,
                operation=request.operation,
                status=response.status_code,
            )
        if sink is None:
            kept += chunk
        else:
            sink.write(chunk)
    return bytes(kept)


def _no_answer(err: requests.RequestException, request: WireRequest) -> GitHubError:
    """Say what kept the answer away, and whether the request may have arrived."""
    host = urlsplit(request.url).hostname
    if isinstance(err, requests.exceptions.SSLError):
        reason, arrived = f"the certificate of {host} is not trusted, or TLS failed", False
    elif isinstance(err, requests.exceptions.ProxyError):
        reason, arrived = "the proxy did not let it through", False
    elif isinstance(err, requests.exceptions.ConnectTimeout) or _never_connected(err):
        reason, arrived = f"no connection to {host} could be made", False
    elif isinstance(err, requests.exceptions.Timeout):
        reason, arrived = f"{host} did not answer in time", True
    else:
        reason, arrived = f"the connection to {host} broke before the answer was whole", True
    return GitHubUnavailable(
        f"GitHub cannot be reached: {reason}. It will be asked again; check network and proxy if "
        "this lasts.",
        may_have_happened=arrived and not request.is_read,
        operation=request.operation,
    )


def _never_connected(err: requests.RequestException) -> bool:
    cause = err.args[0] if err.args else None
    return isinstance(getattr(cause, "reason", None), NewConnectionError)

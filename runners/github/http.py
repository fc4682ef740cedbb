"""One request and its answer on the wire: time-outs, bounded bodies, redirects by hand.

What one call may wait is an `Allowance`, shared by all its tries: time-outs never add up. Knows
`requests` and nothing of limits, caches or repeats (`transport.py`), and writes nothing to a log.
Redirects repeat the same method, for `requests` would turn a redirected POST into a GET; the
Authorization header stays with the host it was made for.
Source: GitHub Docs "Best practices for using the REST API", section on redirects.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol
from urllib.parse import urljoin, urlsplit

import requests
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.exceptions import SSLError as WireSSLError
from urllib3.exceptions import TimeoutError as WireTimeout

from .errors import BadAnswer, GitHubError, GitHubUnavailable
from .urls import is_loopback

CONNECT_TIMEOUT_SECONDS = 5.0
# GitHub gives a request up itself after 10 s.
READ_TIMEOUT_SECONDS = 10.0
CALL_DEADLINE_SECONDS = 15.0
DOWNLOAD_DEADLINE_SECONDS = 60.0
# With less left another try could not succeed, only hide what the last one said.
LEAST_TRY_SECONDS = 0.5
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
    """How long to wait: for a connection, for the next bytes, for one call with all its tries, and
    for the body of a download."""

    connect_seconds: float = CONNECT_TIMEOUT_SECONDS
    read_seconds: float = READ_TIMEOUT_SECONDS
    call_seconds: float = CALL_DEADLINE_SECONDS
    download_seconds: float = DOWNLOAD_DEADLINE_SECONDS


class Allowance:
    """The seconds that one call may still spend waiting for GitHub.

    Tries, their redirects and the pauses between them draw on it; waits that GitHub itself asked
    for do not, they have a bound of their own.
    """

    def __init__(self, times: Times) -> None:
        self.times = times
        self.left_seconds = times.call_seconds

    def covers(self, pause_seconds: float) -> bool:
        """Whether another try is worth it after such a pause."""
        return self.left_seconds - pause_seconds >= LEAST_TRY_SECONDS

    def spend(self, seconds: float) -> None:
        """Take a pause from it."""
        self.left_seconds -= seconds

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Take from it what the block lasts."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.spend(time.monotonic() - began)

    def at_most(self, seconds: float) -> float:
        """A time-out of `seconds`, or less where less is left; never 0, which means "for ever"."""
        return max(min(seconds, self.left_seconds), 0.01)


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
    session: requests.Session, request: WireRequest, allowance: Allowance, sink: Sink | None = None
) -> WireAnswer:
    """Send a request and follow its redirects; a 200 goes to `sink` where there is one.

    Raises GitHubUnavailable when no whole answer came in time, BadAnswer for a redirect not to be
    followed or a body over `max_bytes`.
    """
    for _ in range(MAX_REDIRECTS + 1):
        with allowance.spending():
            answer = _round_trip(session, request, allowance, sink)
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
    session: requests.Session, request: WireRequest, allowance: Allowance, sink: Sink | None
) -> WireAnswer:
    times = allowance.times
    deadline = time.monotonic() + allowance.left_seconds
    # Errors are raised "from None": those of requests quote the address, which may hold a code.
    try:
        with session.request(
            request.method,
            request.url,
            headers=dict(request.headers),
            data=request.body,
            auth=_SetHeader(request.authorization),
            timeout=(
                allowance.at_most(times.connect_seconds),
                allowance.at_most(times.read_seconds),
            ),
            allow_redirects=False,
            stream=True,
        ) as response:
            to_sink = sink if response.status_code == 200 else None
            if to_sink is not None:
                deadline = time.monotonic() + times.download_seconds
            body = _read_body(response, request, deadline, to_sink)
            return WireAnswer(response.status_code, response.headers, body, request.url)
    except (requests.RequestException, HTTPError) as err:
        raise _no_answer(err, request) from None


def _read_body(
    response: requests.Response, request: WireRequest, deadline: float, sink: Sink | None
) -> bytes:
    """Read to the end, or raise; `deadline` is by the monotonic clock."""
    kept = bytearray()
    size = 0
    # What has come, not a full buffer: a body that trickles must not outlast the deadline.
    while chunk := response.raw.read1(CHUNK_BYTES, decode_content=True):
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
                "GitHub began to answer and did not end in time. It will be asked again.",
                may_have_happened=not request.is_read,
                operation=request.operation,
                status=response.status_code,
            )
        if sink is None:
            kept += chunk
        else:
            sink.write(chunk)
    return bytes(kept)


def _no_answer(err: requests.RequestException | HTTPError, request: WireRequest) -> GitHubError:
    """Say what kept the answer away, and whether the request may have arrived."""
    host = urlsplit(request.url).hostname
    if isinstance(err, requests.exceptions.SSLError | WireSSLError):
        reason, arrived = f"the certificate of {host} is not trusted, or TLS failed", False
    elif isinstance(err, requests.exceptions.ProxyError):
        reason, arrived = "the proxy did not let it through", False
    elif isinstance(err, requests.exceptions.ConnectTimeout) or _never_connected(err):
        reason, arrived = f"no connection to {host} could be made", False
    elif isinstance(err, requests.exceptions.Timeout | WireTimeout):
        reason, arrived = f"{host} did not answer in time", True
    else:
        reason, arrived = f"the connection to {host} broke before the answer was whole", True
    return GitHubUnavailable(
        f"GitHub cannot be reached: {reason}. It will be asked again; check network and proxy if "
        "this lasts.",
        may_have_happened=arrived and not request.is_read,
        operation=request.operation,
    )


def _never_connected(err: Exception) -> bool:
    cause = err.args[0] if err.args else None
    return isinstance(getattr(cause, "reason", None), NewConnectionError)

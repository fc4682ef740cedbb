"""From a raw request to a raw answer: routing, faults, authentication, limits, headers and ETags.

Handlers run under the world's lock; nothing here knows about sockets.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from urllib.parse import parse_qsl, unquote, urlsplit

from runners.simulator import permissions
from runners.simulator.faults import AFTER_KINDS, BEFORE_KINDS, Fault, FaultBook
from runners.simulator.limits import primary_limit, secondary_limit
from runners.simulator.principals import Principal, principal_of
from runners.simulator.routing import API_VERSIONS, Call, Route, Router, always_connected
from runners.simulator.urls import API_V3, Urls
from runners.simulator.wire import ApiError, Json, Response, iso, not_found, whole
from runners.simulator.world import World

HANG_SECONDS = 600
LOG_LENGTH = 20_000
NO_AGENT = (
    "Request forbidden by administrative rules. Please make sure your request has a User-Agent "
    "header (https://docs.github.com/rest/using-the-rest-api/getting-started-with-the-rest-api"
    "#user-agent-required). Check https://developer.github.com for other possible causes."
)


@dataclass
class RawRequest:
    """A request as it came in. Header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connected: Callable[[], bool] = always_connected
    scheme: str = "http"


@dataclass(frozen=True)
class LoggedRequest:
    """One answered request; ``status`` 0 means that no answer was sent. ``at`` is Unix seconds."""

    at: float
    method: str
    path: str
    status: int
    caller: str


@dataclass
class RawAnswer:
    """What goes out. ``cut`` sends half of the body and hangs up; ``drop`` sends nothing at all."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    drop: bool = False
    cut: bool = False


class Gateway:
    """Answers requests. ``pause`` waits real seconds and ends early when the server stops."""

    def __init__(
        self, world: World, router: Router, faults: FaultBook, pause: Callable[[float], bool]
    ) -> None:
        self.log: deque[LoggedRequest] = deque(maxlen=LOG_LENGTH)
        # Requests being answered, by token; counted outside the world's lock, where they overlap.
        self._running: Counter[str] = Counter()
        self._running_lock = threading.Lock()
        self._world = world
        self._router = router
        self._faults = faults
        self._pause = pause

    def answer(self, request: RawRequest) -> RawAnswer:
        """Never raises for anything a client can send."""
        call = _call_of(request)
        token = call.headers.get("authorization", "")
        with self._running_lock:
            self._running[token] += 1
            call.running = self._running[token]
        try:
            answer = self._answer(request, call)
        finally:
            with self._running_lock:
                self._running[token] -= 1
        status = 0 if answer.drop else answer.status
        now = self._world.clock.time()
        self.log.append(LoggedRequest(now, call.method, call.path, status, call.principal.key))
        return answer

    def _answer(self, request: RawRequest, call: Call) -> RawAnswer:
        segments = self._by_name([unquote(s) for s in call.path.split("/") if s])
        method = "GET" if request.method == "HEAD" else request.method
        found = self._router.find(method, segments)
        route = found[0] if found else None
        call.params = found[1] if found else {}
        api = route is None or route.access.who != "open"
        control = bool(segments) and segments[0] == "_sim"
        faults = [] if control else self._strike(BEFORE_KINDS, call, api=api)
        for fault in faults:
            if fault.kind == "slow":
                self._pause(fault.seconds)
            elif fault.kind in ("hang", "close"):
                self._pause((fault.seconds or HANG_SECONDS) if fault.kind == "hang" else 0)
                return RawAnswer(0, drop=True)
        answer = self._respond(call, route, faults)
        if not control:
            self._damage(answer, self._strike(AFTER_KINDS, call, api=api))
        return answer

    def _strike(self, kinds: tuple[str, ...], call: Call, *, api: bool) -> list[Fault]:
        return self._faults.for_request(kinds, call.method, call.path, api=api)

    def _respond(self, call: Call, route: Route | None, faults: list[Fault]) -> RawAnswer:
        headers = self._common_headers()
        if route is not None and route.access.who == "open":
            return self._open(call, route, headers, faults)
        headers |= self._api_headers(call)
        if call.version not in API_VERSIONS:
            refusal = ApiError(400, f"{call.version} is not a supported API version.")
            return self._encode(call, Response(400, refusal.body()), headers)
        if not call.headers.get("user-agent", "").strip():
            headers["Content-Type"] = "text/html; charset=utf-8"
            return RawAnswer(403, headers, NO_AGENT.encode())
        try:
            response = self._api(call, route, headers, faults)
        except ApiError as error:
            headers |= error.headers
            detailed = route is not None and route.access.detailed_errors
            response = Response(error.status, error.detailed_body() if detailed else error.body())
        return self._encode(call, response, headers)

    def _open(
        self, call: Call, route: Route, headers: dict[str, str], faults: list[Fault]
    ) -> RawAnswer:
        try:
            _raise_faults(self._world, call, faults)
            with self._world.lock:
                response = route.handler(self._world, call)
        except ApiError as error:
            response = Response(error.status, error.body(), error.headers)
        headers |= response.headers
        headers["Content-Type"] = response.content_type
        return RawAnswer(response.status, headers, _content(response))

    def _api(
        self, call: Call, route: Route | None, headers: dict[str, str], faults: list[Fault]
    ) -> Response:
        world = self._world
        with world.lock:
            call.principal = principal_of(world, call.headers.get("authorization", ""))
            caller = call.principal.caller
            _note_credential(call.principal, headers)
            if route is not None and route.pattern != "/rate_limit":
                try:
                    world.limits.admit(
                        caller,
                        f"{route.method} {route.pattern}",
                        creates_content=route.access.creates_content,
                    )
                finally:
                    self._rate_headers(call.principal, headers)
            _raise_faults(world, call, faults)
            if route is None:
                raise not_found()
            headers |= permissions.headers_for(call.principal, route.access)
            self._redirect_renamed(call)
            world.limits.admit_concurrent(call.running)
            permissions.check(world, call, route.access)
            return route.handler(world, call)

    def _by_name(self, segments: list[str]) -> list[str]:
        """``/repositories/ID/…``, where a renamed repository redirects to, means ``/repos/…``."""
        if len(segments) < 2 or segments[0] != "repositories":
            return segments
        record = self._world.store.repositories.get(whole(segments[1]) or 0)
        if record is None:
            return segments
        return ["repos", record.owner, record.name, *segments[2:]]

    def _redirect_renamed(self, call: Call) -> None:
        """A repository's former name answers 301 to its address by id."""
        name = f"{call.params.get('owner', '')}/{call.params.get('repo', '')}"
        store = self._world.store
        moved = store.renamed.get(name.lower())
        if moved is None or store.repository(name) is not None or moved not in store.repositories:
            return
        rest = call.path.split("/", 4)[4:]
        location = "/".join([f"{call.urls.api}/repositories/{moved}", *rest])
        raise ApiError(301, "Moved Permanently", headers={"Location": location})

    def _encode(self, call: Call, response: Response, headers: dict[str, str]) -> RawAnswer:
        headers |= response.headers
        content = _content(response)
        if response.status == 204:
            return RawAnswer(204, headers)
        headers["Content-Type"] = response.content_type
        if call.method in ("GET", "HEAD") and response.status == 200:
            etag = f'W/"{hashlib.sha256(content).hexdigest()}"'
            headers |= {"ETag": etag, "Cache-Control": "private, max-age=60, s-maxage=60"}
            if call.headers.get("if-none-match") == etag:
                with self._world.lock:
                    self._world.limits.refund(call.principal.caller)
                    self._rate_headers(call.principal, headers)
                del headers["Content-Type"]
                return RawAnswer(304, headers)
        return RawAnswer(response.status, headers, content)

    def _common_headers(self) -> dict[str, str]:
        now = self._world.clock.time()
        return {"Date": formatdate(now, usegmt=True), "Server": "github.com"}

    def _api_headers(self, call: Call) -> dict[str, str]:
        headers = {
            "X-GitHub-Request-Id": ":".join(secrets.token_hex(2).upper() for _ in range(5)),
            "X-GitHub-Media-Type": "github.v3; format=json",
            "X-GitHub-Api-Version-Selected": call.version,
            "Vary": "Accept, Authorization, Cookie, X-GitHub-OTP,Accept-Encoding, Accept",
            "X-Content-Type-Options": "nosniff",
        }
        if self._world.settings.ghes_version:
            headers["X-GitHub-Enterprise-Version"] = self._world.settings.ghes_version
        return headers

    def _rate_headers(self, principal: Principal, headers: dict[str, str]) -> None:
        if self._world.limits.applies(principal.caller):
            headers |= self._world.limits.window(principal.caller).headers("core")

    def _damage(self, answer: RawAnswer, faults: list[Fault]) -> None:
        for fault in faults:
            if fault.kind == "lost_response":
                answer.drop = True
            elif fault.kind == "truncate":
                answer.cut = True
            elif fault.kind == "empty_page":
                if answer.body and "json" in answer.headers.get("Content-Type", ""):
                    answer.body = _without_items(answer.body)
            elif fault.kind == "clock_skew":
                skewed = self._world.clock.time() + fault.seconds
                answer.headers["Date"] = formatdate(skewed, usegmt=True)


def _call_of(request: RawRequest) -> Call:
    parts = urlsplit(request.target)
    base = f"{request.scheme}://{request.headers.get('host', '127.0.0.1')}"
    path, api = parts.path, base
    if path == API_V3 or path.startswith(API_V3 + "/"):
        path, api = path.removeprefix(API_V3) or "/", base + API_V3
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    call = Call(request.method, path, query, request.headers, request.body, Urls(api, base))
    call.connected = request.connected
    return call


def _note_credential(principal: Principal, headers: dict[str, str]) -> None:
    credential = principal.credential
    if credential is None:
        return
    credential.used_count += 1
    if credential.expires_at is not None and principal.kind != "installation":
        ends = (iso(credential.expires_at) or "").replace("T", " ").replace("Z", " UTC")
        headers["GitHub-Authentication-Token-Expiration"] = ends


def _raise_faults(world: World, call: Call, faults: list[Fault]) -> None:
    """Turn faults that are answers into those answers."""
    for fault in faults:
        if fault.kind == "status":
            raise ApiError(fault.status, fault.message or FAULT_MESSAGES.get(fault.status, "Fault"))
        if fault.kind == "secondary_limit":
            status = fault.status if fault.status in (403, 429) else 403
            raise secondary_limit(fault.seconds or 60, status)
        if fault.kind == "primary_limit":
            with world.lock:
                raise primary_limit(world.limits.window(call.principal.caller))


FAULT_MESSAGES = {
    401: "Bad credentials",
    403: "Resource not accessible by integration",
    404: "Not Found",
    409: "Conflict",
    422: "Validation Failed",
    429: "Too Many Requests",
    500: "Server Error",
    502: "Server Error",
    503: "No server is currently available to service your request.",
}


def _without_items(body: bytes) -> bytes:
    """A list as GitHub gives it on a bad day: the count is right, the items are missing."""
    value: Json = json.loads(body)
    if isinstance(value, dict):
        return json.dumps({k: [] if isinstance(v, list) else v for k, v in value.items()}).encode()
    return b"[]" if isinstance(value, list) else body


def _content(response: Response) -> bytes:
    if response.content is not None:
        return response.content
    if response.status in (204, 304):
        return b""
    return json.dumps(response.body).encode()

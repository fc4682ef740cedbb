"""The way to GitHub for one thread: credential, budget, waiting, repeats, 304s and pages.

Reads may be repeated, with jitter; changes are sent once, ever. Waits honour what GitHub asked for
and are bounded; a GitHub that says nothing is given up after one call's allowance. Nothing here
knows an endpoint. Operation names and statuses may be logged; headers, bodies and addresses never.
Source: GitHub Docs "Best practices for using the REST API", "Rate limits for the REST API".
"""

from __future__ import annotations

import json
import logging
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Generic, TypeVar, cast
from urllib.parse import urlencode, urljoin

import requests

from .auth import Auth
from .cache import CachedAnswer, CacheKey, ConditionalCache
from .errors import BadAnswer, GitHubUnavailable, RateLimited, Unauthorized
from .http import (
    MAX_BODY_BYTES,
    Allowance,
    Sink,
    Times,
    WireAnswer,
    WireRequest,
    exchange,
    origin_of,
)
from .limits import Budget, budget_of, limit_of, server_time_of
from .parsing import Json, parse_json
from .refusals import error_for, read_refusal
from .types.account import EXPIRY_HEADER, expiry_from_header
from .types.apps import InstallationToken, parse_installation_token
from .urls import checked_api_base

log = logging.getLogger(__name__)
T = TypeVar("T")

API_VERSION = "2022-11-28"
ACCEPT_JSON = "application/vnd.github+json"
USER_AGENT = "fleetui"
MAX_READ_ATTEMPTS = 4
BACKOFF_FIRST_SECONDS = 0.5
BACKOFF_MAX_SECONDS = 8.0
DEFAULT_MAX_WAIT_SECONDS = 20.0
MINT_OPERATION = "create_installation_access_token"
UNMETERED_OPERATION = "get_rate_limit"
_EVERY_RESOURCE = "*"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an operation. `path` is below the base address, or a whole address of it."""

    operation: str
    path: str
    method: str = "GET"
    query: Mapping[str, str | int] = field(default_factory=dict)
    body: Json = field(default=None, repr=False)
    as_app: bool = False
    anonymous: bool = False
    accept: str = ACCEPT_JSON
    max_bytes: int = MAX_BODY_BYTES

    @property
    def is_read(self) -> bool:
        """Whether asking twice changes nothing."""
        return self.method == "GET"


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer; `value` is its JSON, None for an empty body."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    value: Json = field(repr=False)
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Read(Generic[T]):
    """A parsed answer, whether a 304 confirmed it, and the page after it ("" at the end)."""

    value: T
    not_modified: bool
    next_url: str
    headers: Mapping[str, str] = field(repr=False)


@dataclass(slots=True)
class CallCounts:
    """What this connection has cost: requests sent, of them 304s, of them repeats."""

    sent: int = 0
    not_modified: int = 0
    repeated: int = 0


class Transport:
    """Sends calls for one thread. `clock` is UTC; `sleep` takes seconds."""

    def __init__(
        self,
        *,
        base_url: str,
        auth: Auth | None,
        session: requests.Session,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
        max_wait_seconds: float,
        cache: ConditionalCache,
        on_budget: Callable[[Budget], None],
        on_token_expiry: Callable[[datetime], None],
        times: Times,
    ) -> None:
        self.base_url = checked_api_base(base_url)
        self.auth = auth
        self.session = session
        self.clock = clock
        self.budgets: dict[str, Budget] = {}
        self.counts = CallCounts()
        self.clock_skew_seconds = 0.0
        self._sleep = sleep
        self._max_wait_seconds = max_wait_seconds
        self._cache = cache
        self._on_budget = on_budget
        self._on_token_expiry = on_token_expiry
        self._token_expires_at: datetime | None = None
        self._times = times
        self._jitter = random.SystemRandom()
        self._blocked_until: dict[str, datetime] = {}
        self._resource_of: dict[str, str] = {}
        self._refusals_in_row = 0

    # What endpoints use.

    def send(self, call: Call, sink: Sink | None = None) -> Answer:
        """Send a call; reads are repeated within bounds. Raises a GitHubError."""
        return self._send(call, sink, {})

    def read(self, call: Call, parse: Callable[[Json], T], *, conditional: bool = True) -> Read[T]:
        """Read and parse one address, confirming a kept answer where there is one.

        `parse` must be the same object for every call of an operation: it names the cache entry.
        """
        credential = self.auth.fingerprint if self.auth and not call.anonymous else ""
        key = CacheKey(f"{credential}{call.as_app}", call.accept, self._url(call), parse)
        kept = self._cache.get(key) if conditional else None
        answer = self._send(call, None, {"If-None-Match": kept.etag} if kept else {})
        next_url = next_link(answer.headers, self._url(call))
        if kept is not None and answer.status == 304:
            return Read(cast(T, kept.value), True, next_url or kept.next_url, answer.headers)
        if answer.status == 304:
            raise BadAnswer(
                "GitHub says that nothing changed, but was not asked so.", operation=call.operation
            )
        value = parse(answer.value)
        etag = answer.headers.get("etag", "")
        if conditional and etag:
            self._cache.put(key, CachedAnswer(etag, value, next_url, answer.size_bytes))
        return Read(value, False, next_url, answer.headers)

    def follow(self, call: Call, next_url: str) -> Call:
        """The call for the next page, exactly as GitHub gave it; never on another host."""
        if origin_of(next_url) != origin_of(self.base_url):
            raise BadAnswer(
                "GitHub names a next page on another host. Check the base address.",
                operation=call.operation,
            )
        return replace(call, path=next_url, query={})

    # One call, with its repeats.

    def _send(self, call: Call, sink: Sink | None, extra: Mapping[str, str]) -> Answer:
        waited = self._hold_back(call)
        allowance = Allowance(self._times)
        attempt = 0
        renewed = False
        while True:
            attempt += 1
            try:
                return self._once(call, allowance, sink, extra)
            except Unauthorized as err:
                # An installation token may have been revoked early: fetch another, once.
                if renewed or err.operation == MINT_OPERATION or not self._may_renew(call):
                    raise
                renewed, pause = True, 0.0
            except RateLimited as err:
                pause = (err.retry_at - self.clock()).total_seconds()
                if not self._may_repeat(call, sink, attempt, waited + pause):
                    raise
            except GitHubUnavailable:
                pause = self._backoff_seconds(attempt)
                if not allowance.covers(pause):
                    raise
                if not self._may_repeat(call, sink, attempt, waited + pause):
                    raise
                allowance.spend(pause)
            self.counts.repeated += 1
            log.info("github %s: asking again in %.1f s", call.operation, pause)
            self._sleep(max(pause, 0.0))
            waited += pause

    def _may_repeat(
        self, call: Call, sink: Sink | None, attempt: int, waited_seconds: float
    ) -> bool:
        # A download that broke off has written part of itself: its caller must start afresh.
        repeatable = call.is_read and sink is None
        return (
            repeatable and attempt < MAX_READ_ATTEMPTS and waited_seconds <= self._max_wait_seconds
        )

    def _may_renew(self, call: Call) -> bool:
        if self.auth is None or call.anonymous or not call.is_read:
            return False
        return self.auth.clock_corrected() if call.as_app else self.auth.forget_token()

    def _backoff_seconds(self, attempt: int) -> float:
        ceiling = min(BACKOFF_FIRST_SECONDS * 2.0 ** (attempt - 1), BACKOFF_MAX_SECONDS)
        return ceiling * (0.5 + self._jitter.random() / 2)

    def _hold_back(self, call: Call) -> float:
        """Wait out a limit that is known already; asking on may get the credential banned.

        Returns the seconds waited; raises RateLimited when that would be too long.
        """
        if call.operation == UNMETERED_OPERATION:
            return 0.0
        resource = self._resource_of.get(call.operation, "core")
        known = [
            (until, name)
            for name in (resource, _EVERY_RESOURCE)
            if (until := self._blocked_until.get(name))
        ]
        if not known:
            return 0.0
        until, name = max(known)
        pause = (until - self.clock()).total_seconds()
        if pause <= 0:
            return 0.0
        if pause > self._max_wait_seconds:
            raise RateLimited(
                until,
                resource=resource,
                secondary=name == _EVERY_RESOURCE,
                operation=call.operation,
            )
        self._sleep(pause)
        return pause

    def _once(
        self, call: Call, allowance: Allowance, sink: Sink | None, extra: Mapping[str, str]
    ) -> Answer:
        headers = {
            "Accept": call.accept,
            "User-Agent": USER_AGENT,
            "X-GitHub-Api-Version": API_VERSION,
            **extra,
        }
        body = None
        if call.body is not None:
            body = json.dumps(call.body).encode()
            headers["Content-Type"] = "application/json"
        request = WireRequest(
            operation=call.operation,
            method=call.method,
            url=self._url(call),
            headers=headers,
            authorization=self._authorization(call, allowance),
            body=body,
            max_bytes=call.max_bytes,
        )
        answer = self._on_the_wire(request, allowance, sink)
        return self._judge(request, answer, call.is_read, sink)

    def _on_the_wire(
        self, request: WireRequest, allowance: Allowance, sink: Sink | None = None
    ) -> WireAnswer:
        self.counts.sent += 1
        answer = exchange(self.session, request, allowance, sink)
        self._learn(request.operation, answer)
        log.debug("github %s: status %s", request.operation, answer.status)
        return answer

    def _learn(self, operation: str, answer: WireAnswer) -> None:
        """Note what every answer tells besides its content: clocks, a token's end, budgets."""
        server_time = server_time_of(answer.headers)
        if server_time is not None:
            self.clock_skew_seconds = (server_time - self.clock()).total_seconds()
            if self.auth is not None:
                self.auth.note_clock_skew(self.clock_skew_seconds)
        if answer.status == 304:
            self.counts.not_modified += 1
        expires_at = expiry_from_header(answer.headers.get(EXPIRY_HEADER, ""))
        if expires_at is not None and expires_at != self._token_expires_at:
            self._token_expires_at = expires_at
            self._on_token_expiry(expires_at)
        budget = budget_of(answer.headers)
        if budget is None:
            return
        self.budgets[budget.resource] = budget
        self._resource_of[operation] = budget.resource
        if budget.remaining == 0:
            skew = timedelta(seconds=self.clock_skew_seconds)
            self._blocked_until[budget.resource] = budget.reset_at - skew
        else:
            self._blocked_until.pop(budget.resource, None)
        self._on_budget(budget)

    def _judge(
        self, request: WireRequest, answer: WireAnswer, is_read: bool, sink: Sink | None = None
    ) -> Answer:
        """Read the answer, or raise the error that it is."""
        if answer.status == 304 or 200 <= answer.status < 300:
            self._refusals_in_row = 0
            value = None
            if answer.body and sink is None:
                try:
                    value = parse_json(answer.body, request.operation)
                except BadAnswer as err:
                    # A body cut off on the way looks like this; so does a proxy's page.
                    raise GitHubUnavailable(
                        err.user_message,
                        may_have_happened=not is_read,
                        operation=request.operation,
                        status=answer.status,
                        request_id=answer.headers.get("x-github-request-id", ""),
                    ) from None
            return Answer(answer.status, answer.headers, value, len(answer.body))
        refusal = read_refusal(request.operation, answer.status, answer.headers, answer.body)
        limit = limit_of(
            answer.status,
            answer.headers,
            refusal.message,
            now=self.clock(),
            clock_skew_seconds=self.clock_skew_seconds,
            refusals_in_row=self._refusals_in_row,
        )
        if limit is None:
            raise error_for(refusal, is_read=is_read)
        self._refusals_in_row += 1
        self._blocked_until[_EVERY_RESOURCE if limit.secondary else limit.resource] = limit.retry_at
        raise RateLimited(
            limit.retry_at, resource=limit.resource, secondary=limit.secondary, **refusal.facts
        )

    # The credential.

    def _authorization(self, call: Call, allowance: Allowance) -> str:
        if self.auth is None or call.anonymous:
            return ""
        if call.as_app:
            return self.auth.app_authorization(self.clock())

        def mint(installation_id: int, json_web_token: str) -> InstallationToken:
            return self._mint(installation_id, json_web_token, allowance)

        try:
            return self.auth.authorization(self.clock(), mint)
        except Unauthorized:
            # GitHub refuses a signature made by a wrong clock; its answer told the right time.
            if not self.auth.clock_corrected():
                raise
            return self.auth.authorization(self.clock(), mint)

    def _mint(
        self, installation_id: int, json_web_token: str, allowance: Allowance
    ) -> InstallationToken:
        """Swap a JSON Web Token for an installation token; harmless to repeat."""
        request = WireRequest(
            operation=MINT_OPERATION,
            method="POST",
            url=f"{self.base_url}/app/installations/{installation_id}/access_tokens",
            headers={
                "Accept": ACCEPT_JSON,
                "User-Agent": USER_AGENT,
                "X-GitHub-Api-Version": API_VERSION,
            },
            authorization=f"Bearer {json_web_token}",
        )
        answer = self._judge(request, self._on_the_wire(request, allowance), is_read=True)
        return parse_installation_token(answer.value)

    def _url(self, call: Call) -> str:
        base = call.path if call.path.startswith("http") else f"{self.base_url}{call.path}"
        return f"{base}?{urlencode(call.query)}" if call.query else base


_NEXT_LINK = re.compile(r"<(?P<url>[^>]*)>(?P<params>[^<]*)")


def next_link(headers: Mapping[str, str], url: str) -> str:
    """The address of the next page in a Link header, "" where there is none (RFC 8288)."""
    for match in _NEXT_LINK.finditer(headers.get("link", "")):
        if re.search(r';\s*rel="?next"?', match["params"]):
            return str(urljoin(url, match["url"]))
    return ""

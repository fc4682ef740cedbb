"""GitHub's request limits: each caller's hourly budget and the secondary limits against bursts.

It counts by the simulator's clock and says no; the gateway puts the figures into headers.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from runners.simulator.clock import Clock
from runners.simulator.settings import Settings
from runners.simulator.wire import ApiError, JsonObject

MINUTE_SECONDS = 60
HOUR_SECONDS = 3600
READ_POINTS = 1
WRITE_POINTS = 5
SECONDARY_WAIT_SECONDS = 60
REGISTRATION_WINDOW_SECONDS = 300


@dataclass
class Window:
    """A budget that starts anew when its hour is over."""

    limit: int
    reset_at: float
    used: int = 0

    def headers(self, resource: str) -> dict[str, str]:
        """The ``X-RateLimit-*`` headers."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(max(0, self.limit - self.used)),
            "X-RateLimit-Used": str(self.used),
            "X-RateLimit-Reset": str(int(self.reset_at)),
            "X-RateLimit-Resource": resource,
        }

    def to_json(self) -> JsonObject:
        """The shape of ``GET /rate_limit``."""
        return {
            "limit": self.limit,
            "remaining": max(0, self.limit - self.used),
            "reset": int(self.reset_at),
            "used": self.used,
        }


@dataclass(frozen=True)
class Caller:
    """Whose budget is meant: a key, and the kind of token."""

    key: str
    kind: str


class LimitBook:
    """All counters, by caller. Used under the world's lock."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._windows: dict[Caller, Window] = {}
        self._points: dict[tuple[str, str], deque[tuple[float, int]]] = {}
        self._created: dict[str, deque[tuple[float, int]]] = {}
        self._registered: dict[str, deque[tuple[float, int]]] = {}

    def applies(self, caller: Caller) -> bool:
        """False where nothing is counted: Enterprise Server by default, or a limit of 0."""
        return bool(self._allowed(caller)) and not self._settings.ghes_version

    def window(self, caller: Caller) -> Window:
        """The caller's current budget."""
        now = self._clock.time()
        window = self._windows.get(caller)
        if window is None or window.reset_at <= now:
            window = Window(self._allowed(caller), now + HOUR_SECONDS)
            self._windows[caller] = window
        window.limit = self._allowed(caller)
        return window

    def admit(self, caller: Caller, endpoint: str, *, creates_content: bool) -> None:
        """Count a request. Raises 403 when the budget is spent, or by a secondary limit."""
        limits = self._settings.limits
        window = self.window(caller)
        if self.applies(caller) and window.used >= window.limit:
            raise primary_limit(window)
        window.used += 1
        if caller.kind == "anonymous" or self._settings.ghes_version:
            return
        now = self._clock.time()
        points = READ_POINTS if endpoint.startswith("GET ") else WRITE_POINTS
        spent = self._points.setdefault((caller.key, endpoint), deque())
        if _over(spent, now, MINUTE_SECONDS, points, limits.points_per_minute_per_endpoint):
            raise secondary_limit()
        if creates_content:
            made = self._created.setdefault(caller.key, deque())
            recent = sum(n for at, n in made if at > now - MINUTE_SECONDS)
            if recent >= limits.content_per_minute > 0:
                raise secondary_limit()
            if _over(made, now, HOUR_SECONDS, 1, limits.content_per_hour):
                raise secondary_limit()

    def refund(self, caller: Caller) -> None:
        """Take a 304 off the budget: GitHub does not count it."""
        self.window(caller).used -= 1

    def admit_concurrent(self, running: int) -> None:
        """Raises 403 when a token has more requests running than GitHub takes at once."""
        most = self._settings.limits.concurrent_requests
        if most and running > most:
            raise secondary_limit()

    def admit_registration(self, scope: str) -> None:
        """Count a runner registration of a scope. Raises 403 past GitHub's limit."""
        most = self._settings.limits.registrations_per_five_minutes
        done = self._registered.setdefault(scope, deque())
        if _over(done, self._clock.time(), REGISTRATION_WINDOW_SECONDS, 1, most):
            raise secondary_limit()

    def _allowed(self, caller: Caller) -> int:
        limits = self._settings.limits
        if caller.kind == "anonymous":
            return limits.anonymous_per_hour
        if caller.kind == "installation":
            return limits.installation_per_hour
        return limits.user_per_hour


def primary_limit(window: Window) -> ApiError:
    """The 403 of a spent hourly budget."""
    headers = window.headers("core") | {"X-RateLimit-Remaining": "0"}
    return ApiError(
        403,
        "API rate limit exceeded for this caller. (But here's the good news: Authenticated "
        "requests get a higher rate limit. Check out the documentation for more details.)",
        headers=headers,
        documentation_url="https://docs.github.com/rest/overview/rate-limits-for-the-rest-api",
    )


def secondary_limit(wait_seconds: float = SECONDARY_WAIT_SECONDS, status: int = 403) -> ApiError:
    """The answer to a burst, with the time to wait."""
    return ApiError(
        status,
        "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
        headers={"Retry-After": str(int(wait_seconds))},
        documentation_url=(
            "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api"
            "#about-secondary-rate-limits"
        ),
    )


def _over(
    spent: deque[tuple[float, int]], now: float, window_seconds: float, points: int, most: int
) -> bool:
    """Count ``points`` unless that would pass ``most`` (0: no limit) within the window."""
    while spent and spent[0][0] <= now - window_seconds:
        spent.popleft()
    if most and sum(p for _, p in spent) + points > most:
        return True
    spent.append((now, points))
    return False

"""GitHub's request limits: each caller's hourly budget and the secondary limits against bursts.

It counts by the simulator's clock and says no; the gateway puts the figures into headers.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from runners.simulator.principals import Principal
from runners.simulator.routing import Access
from runners.simulator.wire import ApiError, JsonObject
from runners.simulator.world import World

HOUR_SECONDS = 3600
READ_POINTS = 1
WRITE_POINTS = 5
SECONDARY_WAIT_SECONDS = 60
REGISTRATION_WINDOW_SECONDS = 300
# Buckets that are shown but never drawn from here.
OTHER_RESOURCES = {
    "graphql": 5000,
    "search": 30,
    "code_search": 10,
    "integration_manifest": 5000,
    "source_import": 100,
    "code_scanning_upload": 1000,
    "scim": 15000,
    "dependency_snapshots": 100,
}


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


@dataclass
class LimitBook:
    """All counters, by caller. Used under the world's lock."""

    windows: dict[tuple[str, str], Window] = field(default_factory=dict)
    points: dict[tuple[str, str], deque[tuple[float, int]]] = field(default_factory=dict)
    created: dict[str, deque[tuple[float, int]]] = field(default_factory=dict)
    registered: dict[str, deque[tuple[float, int]]] = field(default_factory=dict)
    in_flight: dict[str, int] = field(default_factory=dict)

    def window(self, world: World, principal: Principal, resource: str = "core") -> Window:
        """The caller's current budget."""
        limits = world.settings.limits
        now = world.clock.time()
        allowed = {
            "anonymous": limits.anonymous_per_hour,
            "installation": limits.installation_per_hour,
        }.get(principal.kind, limits.user_per_hour)
        if resource == "actions_runner_registration":
            allowed = limits.registrations_per_five_minutes * HOUR_SECONDS // 300
        key = (principal.key, resource)
        window = self.windows.get(key)
        if window is None or window.reset_at <= now:
            window = Window(allowed, now + HOUR_SECONDS)
            self.windows[key] = window
        window.limit = allowed
        return window

    def admit(self, world: World, principal: Principal, access: Access, endpoint: str) -> None:
        """Count a request. Raises 403 when the hourly budget is spent, or by a secondary limit."""
        limits = world.settings.limits
        window = self.window(world, principal)
        if limited(world, principal) and window.used >= window.limit:
            raise primary_limit(world, window)
        window.used += 1
        if principal.kind == "anonymous":
            return
        now = world.clock.time()
        points = READ_POINTS if endpoint.startswith("GET ") else WRITE_POINTS
        spent = self.points.setdefault((principal.key, endpoint), deque())
        if _over(spent, now, 60, points, limits.points_per_minute_per_endpoint):
            raise secondary_limit()
        if access.creates_content:
            made = self.created.setdefault(principal.key, deque())
            if _sum_since(made, now - 60) >= limits.content_per_minute > 0:
                raise secondary_limit()
            if _over(made, now, HOUR_SECONDS, 1, limits.content_per_hour):
                raise secondary_limit()

    def refund(self, world: World, principal: Principal) -> None:
        """Take a 304 off the budget: GitHub does not count it."""
        self.window(world, principal).used -= 1

    def admit_registration(self, world: World, scope: str) -> None:
        """Count a runner registration of a scope. Raises 403 past GitHub's limit."""
        most = world.settings.limits.registrations_per_five_minutes
        done = self.registered.setdefault(scope, deque())
        if _over(done, world.clock.time(), REGISTRATION_WINDOW_SECONDS, 1, most):
            raise secondary_limit()


def limited(world: World, principal: Principal) -> bool:
    """False where nothing is counted: GitHub Enterprise Server by default, or a limit of 0."""
    limits = world.settings.limits
    figure = {
        "anonymous": limits.anonymous_per_hour,
        "installation": limits.installation_per_hour,
    }.get(principal.kind, limits.user_per_hour)
    return bool(figure) and not world.settings.ghes_version


def primary_limit(world: World, window: Window) -> ApiError:
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


def _sum_since(spent: deque[tuple[float, int]], moment: float) -> int:
    return sum(points for at, points in spent if at > moment)

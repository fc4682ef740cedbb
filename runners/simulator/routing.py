"""Requests as handlers see them, routes as tables, and the pages of lists.

It finds the handler of a path; who may call it is the business of ``permissions``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar
from urllib.parse import urlencode

from runners.simulator.principals import Principal
from runners.simulator.urls import Urls
from runners.simulator.wire import ApiError, Fields, Json, JsonObject, Response, not_found, whole
from runners.simulator.world import World

T = TypeVar("T")
Who = Literal["anyone", "token", "user", "app", "installation", "open"]
PER_PAGE_DEFAULT = 30
API_VERSIONS = ("2022-11-28", "2026-03-10")
PER_PAGE_MOST = 100
FURTHEST_PAGE = 10**9


@dataclass(frozen=True)
class Access:
    """Who may call a route. ``open`` is outside GitHub's API: no token, no limits.

    ``permission`` and ``level`` are those of GitHub's fine-grained permissions.
    """

    who: Who
    permission: str = ""
    level: Literal["read", "write"] = "read"
    # Counted against the limit on content-creating requests.
    creates_content: bool = False
    # Refused fields are objects here, and plain sentences elsewhere, as GitHub has it.
    detailed_errors: bool = False


def always_connected() -> bool:
    """For calls that were not made over a socket."""
    return True


@dataclass
class Call:
    """One request, with what the gateway found out about it. Header names are in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    urls: Urls
    params: dict[str, str] = field(default_factory=dict)
    principal: Principal = field(default_factory=Principal)
    # How many requests with the same token are being answered, this one included.
    running: int = 1
    # False once the client has hung up: a long poll must not hand a job to nobody.
    connected: Callable[[], bool] = always_connected

    @property
    def version(self) -> str:
        """The API version asked for; the older one when none is."""
        return self.headers.get("x-github-api-version", API_VERSIONS[0])

    def number(self, name: str) -> int:
        """A numeric path parameter. Raises 404 for anything else."""
        value = whole(self.params[name])
        if value is None:
            raise not_found()
        return value

    def fields(self, *, required: bool = True) -> Fields:
        """The JSON object in the body. Raises 400; an absent optional body is an empty object."""
        if not self.body.strip() and not required:
            return Fields({})
        try:
            value: Json = json.loads(self.body)
        except (ValueError, RecursionError):
            raise ApiError(400, "Problems parsing JSON") from None
        if value is None and not required:
            return Fields({})
        if not isinstance(value, dict):
            raise ApiError(400, "Body should be a JSON object")
        return Fields(value)


Handler = Callable[[World, Call], Response]


@dataclass(frozen=True)
class Route:
    """A method and a path pattern with ``{names}``, and what answers it."""

    method: str
    pattern: str
    access: Access
    handler: Handler


@dataclass
class _Node:
    literal: dict[str, _Node] = field(default_factory=dict)
    named: _Node | None = None
    routes: dict[str, Route] = field(default_factory=dict)


class Router:
    """Finds the route of a path; a literal segment wins over a named one."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = routes
        self._root = _Node()
        for route in routes:
            node = self._root
            for segment in _segments(route.pattern):
                if segment.startswith("{"):
                    node.named = node.named or _Node()
                    node = node.named
                else:
                    node = node.literal.setdefault(segment, _Node())
            node.routes[route.method] = route

    def find(self, method: str, segments: list[str]) -> tuple[Route, dict[str, str]] | None:
        """The route and its parameters; None where GitHub would answer 404."""
        found = self._walk(self._root, method, segments, [])
        if found is None:
            return None
        route, values = found
        names = [s[1:-1] for s in _segments(route.pattern) if s.startswith("{")]
        return route, dict(zip(names, values, strict=True))

    def _walk(
        self, node: _Node, method: str, rest: list[str], values: list[str]
    ) -> tuple[Route, list[str]] | None:
        if not rest:
            route = node.routes.get(method)
            return None if route is None else (route, values)
        head, *tail = rest
        if head in node.literal:
            found = self._walk(node.literal[head], method, tail, values)
            if found is not None:
                return found
        if node.named is None:
            return None
        return self._walk(node.named, method, tail, [*values, head])


def _segments(pattern: str) -> list[str]:
    return [segment for segment in pattern.split("/") if segment]


@dataclass(frozen=True)
class Page:
    """Which part of a list is asked for."""

    number: int
    per_page: int

    @property
    def start(self) -> int:
        """The index of its first item."""
        return (self.number - 1) * self.per_page


def page_of(call: Call) -> Page:
    """The page asked for; like GitHub, what cannot be read counts as not said."""
    per_page = _positive(call.query.get("per_page"), PER_PAGE_DEFAULT)
    return Page(_positive(call.query.get("page"), 1), min(per_page, PER_PAGE_MOST))


def _positive(text: str | None, default: int) -> int:
    # A page further out is empty anyway, and Python would refuse to slice by it.
    return min(whole(text or "") or default, FURTHEST_PAGE)


def link_header(call: Call, page: Page, total: int) -> dict[str, str]:
    """GitHub's ``Link`` header; none when one page is enough."""
    last = max(1, -(-total // page.per_page))
    if last == 1 and page.number == 1:
        return {}
    targets = {}
    if page.number > 1:
        targets["prev"] = min(page.number - 1, last)
    if page.number < last:
        targets["next"] = page.number + 1
        targets["last"] = last
    if page.number > 1:
        targets["first"] = 1
    links = []
    for rel, number in targets.items():
        query = {**call.query, "per_page": str(page.per_page), "page": str(number)}
        links.append(f'<{call.urls.api}{call.path}?{urlencode(query)}>; rel="{rel}"')
    return {"Link": ", ".join(links)}


def listed(
    call: Call,
    items: Sequence[T],
    shown: Callable[[T], JsonObject],
    key: str | None = None,
) -> Response:
    """One page of a list, bare or as ``{total_count, key: […]}``."""
    page = page_of(call)
    chosen = items[page.start : page.start + page.per_page]
    return _page_response(call, page, len(items), [shown(item) for item in chosen], key)


def page_response(call: Call, total: int, rendered: list[JsonObject], key: str) -> Response:
    """The same for a list of which only the page was fetched."""
    return _page_response(call, page_of(call), total, rendered, key)


def _page_response(
    call: Call, page: Page, total: int, rendered: list[JsonObject], key: str | None
) -> Response:
    items: list[Json] = [*rendered]
    body: Json = items if key is None else {"total_count": total, key: items}
    return Response(body=body, headers=link_header(call, page, total))

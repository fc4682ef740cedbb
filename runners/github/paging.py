"""Walking GitHub's pages: as linked, each entry once, and never mistaking less for all.

Source: GitHub Docs "Using pagination in the REST API".
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import TypeVar

from .errors import BadAnswer, GitHubError, PartialResult
from .parsing import Json
from .transport import Call, Transport
from .types.listing import Listing, Page

T = TypeVar("T")

PER_PAGE = 100
MAX_PAGES = 1000


def list_all(
    transport: Transport,
    call: Call,
    parse_page: Callable[[Json], Page[T]],
    identify: Callable[[T], Hashable],
    *,
    max_items: int | None = None,
) -> Listing[T]:
    """Read a whole list, or its first `max_items`.

    Entries can slip between pages while a list shrinks; when GitHub counts more than it gave, the
    list is read once more. Raises PartialResult when a later page failed, or the page's own error
    when the first did.
    """
    call = replace(call, query={**call.query, "per_page": PER_PAGE})
    listing = _walk(transport, call, parse_page, identify, max_items)
    if not listing.complete and max_items is None:
        listing = _walk(transport, call, parse_page, identify, max_items)
    return listing


def _walk(
    transport: Transport,
    call: Call,
    parse_page: Callable[[Json], Page[T]],
    identify: Callable[[T], Hashable],
    max_items: int | None,
) -> Listing[T]:
    entries: dict[Hashable, T] = {}
    not_modified = True
    seen: set[str] = set()
    while True:
        try:
            page = transport.read(call, parse_page)
            entries.update((identify(item), item) for item in page.value.items)
            not_modified = not_modified and page.not_modified
            total = page.value.total_count
            enough = max_items is not None and len(entries) >= max_items
            if not page.next_url or enough:
                break
            if page.next_url in seen or len(seen) >= MAX_PAGES:
                raise BadAnswer("GitHub's pages do not end.", operation=call.operation)
            seen.add(page.next_url)
            call = transport.follow(call, page.next_url)
        except GitHubError as err:
            if not entries:
                raise
            raise PartialResult(tuple(entries.values()), err, operation=call.operation) from err
    items = tuple(entries.values())[:max_items]
    whole = not (enough and page.next_url) and len(items) == len(entries)
    return Listing(
        items=items,
        complete=whole and (total is None or len(items) >= total),
        not_modified=not_modified,
        total_count=total,
    )

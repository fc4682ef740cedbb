"""Addresses of lists: the same filters with one thing changed, empty ones dropped."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from django.http import HttpRequest, QueryDict
from django.urls import reverse
from django_htmx.middleware import HtmxDetails


@dataclass(frozen=True, slots=True)
class Column:
    """A head of a table: `url` sorts by it ("" for one that can't), `aria_sort` says how it is."""

    label: str
    url: str = ""
    aria_sort: str = ""
    css_class: str = ""


def list_query(request: HttpRequest, url_name: str) -> QueryDict:
    """Return the list's filters: the address's own, or, after an action, those of the page it was
    sent from."""
    htmx: HtmxDetails | None = getattr(request, "htmx", None)
    if request.method == "POST" and htmx and htmx.current_url:
        parts = urlsplit(htmx.current_url)
        return QueryDict(parts.query if parts.path == reverse(url_name) else "")
    return request.GET


def changed(path: str, query: QueryDict, **changes: str) -> str:
    """Return `path` with these parameters changed; "" drops one, and a change leaves the page."""
    kept = {**{name: query[name] for name in query}, "page": "", **changes}
    pairs = {name: value for name, value in kept.items() if value}
    return f"{path}?{urlencode(pairs)}" if pairs else path


def sort_column(
    path: str, query: QueryDict, key: str, label: str, *, chosen: str, css_class: str = ""
) -> Column:
    """Return a head that sorts by `key`, or the other way round when that is how it is sorted."""
    aria_sort = {key: "ascending", f"-{key}": "descending"}.get(chosen, "")
    wanted = f"-{key}" if chosen == key else key
    return Column(label, changed(path, query, sort=wanted), aria_sort, css_class)

"""What bites next: removals by GitHub, version windows, drain deadlines, ends of credentials.

Read only; six queries however many runners. What runs out together is one line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.core.paginator import Paginator
from django.http import HttpResponse, QueryDict
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from runners.countdown_listing import running_out
from runners.countdowns import Countdown, Kind, Tone, of_credential
from runners.countdowns import sort_key as when
from runners.models import Credential, Runner, Scope
from runners.views import versions
from runners.views.guard import role_required
from runners.views.links import Column, changed, sort_column
from runners.views.shared import Context, FleetRequest, page, polled

PAGE_SIZE: Final = 50
HOSTS: Final = "host"
_LIST: Final = "drift/_countdowns.html"
_STATES: Final = {
    Tone.OVER: "critical",
    Tone.NEAR: "critical",
    Tone.SOON: "warning",
    Tone.FAR: "info",
    Tone.UNKNOWN: "lost",
}
# Kind → what happens then, and what to do before.
_WORDS: Final[dict[Kind, tuple[str, str]]] = {
    Kind.REMOVAL: (
        "GitHub removes the registration",
        "Bring it back online, or deregister it and let another take its place.",
    ),
    Kind.VERSION: (
        "GitHub stops giving it jobs: its application is too old",
        "Drain and replace it: a new one starts with the offered version.",
    ),
    Kind.DRAIN: (
        "The drain ends, and with it a job that still runs",
        "Wait, or drain it again with a later deadline.",
    ),
    Kind.CREDENTIAL: (
        "Its scopes can no longer be read or changed",
        "Make a new one at GitHub and replace it here.",
    ),
}


@dataclass(frozen=True, slots=True)
class Bite:
    """One line before it is collapsed: what runs out, for whom. Equal `together` is one line."""

    countdown: Countdown
    together: tuple[object, ...]
    name: str
    url: str
    where: str
    host: tuple[int, str, str] | None
    unknown_since: datetime | None


@dataclass(frozen=True, slots=True)
class CountdownRow:
    """One line of the page. `also` counts the others it stands for."""

    key: str
    state: str
    at: datetime | None
    over: bool
    name: str
    url: str
    where: str
    also: int
    what: str
    fix: str
    unknown_since: datetime | None


@polled(versions.fleet_version)
@role_required("viewer")
@require_GET
def countdown_list(request: FleetRequest) -> HttpResponse:
    return page(request, "drift/countdown_list.html", _LIST, _context(request))


def _context(request: FleetRequest) -> Context:
    now = timezone.now()
    kind, per = request.GET.get("kind", ""), request.GET.get("per", "")
    bites = [
        *(_bite(*each) for each in running_out(Runner.objects.all(), now)),
        *_of_credentials(),
    ]
    counts = [
        (each.value, word, sum(bite.countdown.kind == each for bite in bites), each == kind)
        for each, word in NAMES.items()
    ]
    wanted = [bite for bite in bites if kind not in NAMES or bite.countdown.kind == kind]
    sort = request.GET.get("sort", "at")
    rows = _sorted(_rows(wanted, now, per_host=per == HOSTS), sort)
    shown = Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
    url = reverse("countdown-list")
    return {
        "now": now,
        "version": versions.fleet_version(request),
        "chips": counts,
        "kind": kind if kind in NAMES else "",
        "total": len(bites),
        "per_host": per == HOSTS,
        "page": shown,
        "rows": shown.object_list,
        "columns": _columns(url, request.GET, sort),
        "unknown": list(Scope.objects.filter(github_unknown_since__isnull=False).order_by("slug")),
        "list_url": changed(url, request.GET, page=request.GET.get("page", "")),
    }


NAMES: Final = {
    Kind.REMOVAL: "Removal by GitHub",
    Kind.VERSION: "Version window",
    Kind.DRAIN: "Drain deadline",
    Kind.CREDENTIAL: "Credential",
}


def _bite(runner: Runner, countdown: Countdown) -> Bite:
    host = runner.host
    # One version ends for a whole scope at once; the others differ from host to host
    place = None if countdown.kind is Kind.VERSION else host.pk
    same = (host.os, host.architecture, runner.runner_version) if place is None else ()
    return Bite(
        countdown=countdown,
        together=(countdown.kind, countdown.at, runner.scope_id, place, *same),
        name=runner.name,
        url=runner.get_absolute_url(),
        where=f"{host.name} · {runner.scope.slug}",
        host=(host.pk, host.name, host.get_absolute_url()),
        unknown_since=runner.scope.github_unknown_since,
    )


def _of_credentials() -> Iterable[Bite]:
    for credential in Credential.objects.filter(expires_at__isnull=False):
        for countdown in of_credential(credential.expires_at):
            yield Bite(
                countdown=countdown,
                together=(countdown.kind, credential.pk),
                name=credential.name,
                url=reverse("settings"),
                where=credential.get_kind_display(),
                host=None,
                unknown_since=None,
            )


def _rows(bites: Iterable[Bite], now: datetime, *, per_host: bool) -> list[CountdownRow]:
    """Collapse and order: the earliest of each host, or what runs out together."""
    lines: dict[tuple[object, ...], list[Bite]] = {}
    for bite in sorted(bites, key=lambda each: (when(each.countdown), each.name)):
        together = ("host", bite.host[0]) if per_host and bite.host else bite.together
        lines.setdefault(together, []).append(bite)
    return [
        _row(number, line, now, per_host=per_host)
        for number, line in enumerate(lines.values(), start=1)
    ]


def _sorted(rows: list[CountdownRow], sort: str) -> list[CountdownRow]:
    """In the order asked for; what nobody can tell, last, whichever way the times run."""
    key, backwards = sort.removeprefix("-"), sort.startswith("-")
    if key in _BY_WORDS:
        return sorted(rows, key=_BY_WORDS[key], reverse=backwards)
    if not backwards:
        return rows
    known = [row for row in rows if row.at is not None]
    return known[::-1] + [row for row in rows if row.at is None]


_BY_WORDS: Final[dict[str, Callable[[CountdownRow], str]]] = {
    "name": lambda row: row.name,
    "what": lambda row: row.what,
}


def _columns(path: str, query: QueryDict, sort: str) -> list[Column]:
    heads = {"at": "When", "name": "For", "what": "What happens then"}
    return [
        *(sort_column(path, query, key, words, chosen=sort) for key, words in heads.items()),
        Column("What to do"),
    ]


def _row(number: int, line: Sequence[Bite], now: datetime, *, per_host: bool) -> CountdownRow:
    first = line[0]
    what, fix = _WORDS[first.countdown.kind]
    tone = first.countdown.tone(now)
    name, url, where = first.name, first.url, first.where
    if per_host and first.host is not None:
        _, name, url = first.host
        where = f"first {first.name}"
    return CountdownRow(
        key=str(number),
        state=_STATES[tone],
        at=first.countdown.at,
        over=tone is Tone.OVER,
        name=name,
        url=url,
        where=where,
        also=len(line) - 1,
        what=what,
        fix=fix,
        unknown_since=first.unknown_since,
    )

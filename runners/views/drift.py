"""Drift: what we want, what hosts say and what GitHub says, where they differ, and the mending."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from django.core.paginator import Paginator
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from runners import drift, drift_cleanup, drift_listing
from runners.drift_kinds import MEANINGS, DriftKind
from runners.drift_listing import Wanted
from runners.errors import FleetError, InvalidRequest
from runners.forms.drift import AdoptForm, AutoForm, ChosenForm, FixForm, GhostForm
from runners.models import Drift, Scope
from runners.views import versions
from runners.views.drift_rows import STATES, fix_words, groups
from runners.views.guard import role_required
from runners.views.links import changed, list_query
from runners.views.shared import (
    Confirm,
    Context,
    FleetRequest,
    actor,
    ask,
    page,
    polled,
    refuse,
    respond,
)

PAGE_SIZE: Final = 50
NAMED_IN_A_QUESTION: Final = 5
_LIST: Final = "drift/_drift_table.html"
_GHOSTS: Final = "drift/_ghosts.html"
# Kinds whose fix may end what somebody else still needs.
_MAY_LOSE: Final = (DriftKind.UNKNOWN_PROCESS, DriftKind.DUPLICATE_NAME, DriftKind.FOREIGN)


@polled(versions.drift_version)
@role_required("viewer")
@require_GET
def drift_list(request: FleetRequest) -> HttpResponse:
    return page(request, "drift/drift_list.html", _LIST, _list_context(request, request.GET))


@role_required("operator")
@require_http_methods(["GET", "POST"])
def drift_fix(request: FleetRequest) -> HttpResponse:
    data = request.POST if request.method == "POST" else request.GET
    query = _filters_in_force(request)
    chosen = ChosenForm(data)
    keys = chosen.cleaned_data["ids"] if chosen.is_valid() else []
    rows = list(Drift.objects.filter(pk__in=keys).order_by("kind", "since", "pk"))
    if not rows:
        words = (
            "What you chose is gone: nothing is left to fix."
            if keys
            else "Tick at least one row first."
        )
        return _refused(request, query, InvalidRequest(words))
    form = FixForm(request.POST if "confirmed" in request.POST else None)
    if not form.is_valid():
        form.initial["ids"] = [row.pk for row in rows]
        return ask(request, _fix_confirm(rows, query), form)
    try:
        drift.ask_to_fix(
            rows, by=actor(request), reason=form.cleaned_data["reason"], now=timezone.now()
        )
    except FleetError as error:
        return _refused(request, query, error)
    gone = len(keys) - len(rows)
    said = f"{_count(len(rows), 'mismatch', 'mismatches')} will be mended." + (
        f" {gone} had gone by {'itself' if gone == 1 else 'themselves'}." if gone else ""
    )
    return _done(request, query, said)


@role_required("operator")
@require_http_methods(["GET", "POST"])
def drift_adopt(request: FleetRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(Drift.objects.select_related("scope"), pk=pk)
    query = _filters_in_force(request)
    form = AdoptForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        confirm = Confirm(
            title=f"Adopt {row.name}?",
            text="Somebody else registered it. Adopted, it counts as a ghost of ours: it may be "
            "deregistered from here, alone or in a clean-up. Nothing is deleted yet.",
            button="Adopt for clean-up",
            action=changed(reverse("drift-adopt", args=[pk]), query),
            cancel_url=changed(reverse("drift-list"), query),
            target="#drift",
            danger=True,
        )
        return ask(request, confirm, form)
    try:
        drift.adopt(row, by=actor(request), reason=form.cleaned_data["reason"], now=timezone.now())
    except FleetError as error:
        return _refused(request, query, error)
    return _done(request, query, f"{row.name} may be deregistered from here now.")


@role_required("admin")
@require_POST
def drift_auto(request: FleetRequest) -> HttpResponse:
    query = _filters_in_force(request)
    form = AutoForm(request.POST)
    if not form.is_valid():
        return _refused(
            request, query, InvalidRequest("One of these kinds can't be mended by itself.")
        )
    event = drift.set_auto_kinds(form.chosen, by=actor(request), now=timezone.now())
    said = "Saved." if event is not None else "Nothing changed."
    return _done(request, query, f"{said} {_count(len(form.chosen), 'kind', 'kinds')} mended.")


@role_required("operator")
@require_http_methods(["GET", "POST"])
def drift_ghosts(request: FleetRequest) -> HttpResponse:
    if request.method == "POST":
        return _clean_up(request)
    return page(request, "drift/ghosts.html", _GHOSTS, _ghost_context(request.GET))


def _clean_up(request: FleetRequest) -> HttpResponse:
    form = FixForm(request.POST)
    url = changed(reverse("drift-ghosts"), request.GET)
    if not form.is_valid():
        wrong = InvalidRequest("The reason may have at most 200 characters.")
        return refuse(request, _GHOSTS, url, lambda: _ghost_context(request.GET), wrong)
    told = form.cleaned_data
    try:
        rows, left = drift_cleanup.clean_up(
            told["ids"], by=actor(request), reason=told["reason"], now=timezone.now()
        )
    except FleetError as error:
        return refuse(request, _GHOSTS, url, lambda: _ghost_context(request.GET), error)
    said = f"{_count(len(rows), 'ghost', 'ghosts')} will be deleted with the next pass." + (
        f" {left} left alone: gone, online or busy since." if left else ""
    )
    return respond(request, _GHOSTS, url, lambda: _ghost_context(request.GET), said=said)


def _ghost_context(query: QueryDict) -> Context:
    now = timezone.now()
    form = GhostForm(query, scopes=list(Scope.objects.order_by("slug")))
    found = drift_cleanup.preview(form.wanted, now=now) if form.is_valid() else []
    shown = found[: drift_cleanup.AT_ONCE]
    return {
        "now": now,
        "form": form,
        "rows": shown,
        "total": len(found),
        "more": len(found) - len(shown),
        "by_itself": DriftKind.GHOST in drift.auto_kinds(),
        "confirm": FixForm(initial={"ids": [row.pk for row in shown]}),
        "action": changed(reverse("drift-ghosts"), query),
    }


def _filters_in_force(request: FleetRequest) -> QueryDict:
    """The filters of the list somebody acts from, without what the action itself was told."""
    query = list_query(request, "drift-list").copy()
    query.pop("ids", None)
    return query


def _list_context(request: FleetRequest, query: QueryDict) -> Context:
    now = timezone.now()
    scopes = list(Scope.objects.order_by("slug"))
    wanted = _wanted(query, scopes)
    counts = drift_listing.count(wanted, now=now)
    rows = drift_listing.find(wanted, now=now).select_related("scope", "host", "runner")
    shown = Paginator(rows, PAGE_SIZE).get_page(query.get("page"))
    auto = drift.auto_kinds()
    return {
        "now": now,
        "version": versions.drift_version(request),
        "wanted": wanted,
        "narrowed": wanted != Wanted(under_way=wanted.under_way),
        "counts": counts,
        "chips": [
            (kind.value, kind.label, STATES[kind], counts.by_kind[kind], kind == wanted.kind)
            for kind in DriftKind
            if kind != DriftKind.FOREIGN and counts.by_kind.get(kind)
        ],
        "foreign": sum(scope.foreign_runners for scope in scopes),
        "unknown": [scope for scope in scopes if scope.github_unknown_since is not None],
        "scopes": scopes,
        "page": shown,
        "groups": groups(shown, auto),
        "kinds": [
            (kind, MEANINGS[kind], kind in auto) for kind in DriftKind if kind != DriftKind.FOREIGN
        ],
        "filters": query,
        "list_url": changed(reverse("drift-list"), query, page=query.get("page", "")),
        "announce": _count(counts.ours, "mismatch", "mismatches"),
    }


def _wanted(query: QueryDict, scopes: Sequence[Scope]) -> Wanted:
    """Read the address; a kind or scope that does not exist narrows nothing."""
    kind, scope = query.get("kind", ""), query.get("scope", "")
    return Wanted(
        kind=DriftKind(kind) if kind in DriftKind.values else None,
        scope=scope if scope in {each.slug for each in scopes} else "",
        host=query.get("host", "").strip(),
        search=query.get("q", "").strip(),
        under_way=query.get("all") == "1",
    )


def _fix_confirm(rows: Sequence[Drift], query: QueryDict) -> Confirm:
    kinds = Counter(DriftKind(row.kind) for row in rows)
    names = ", ".join(row.name for row in rows[:NAMED_IN_A_QUESTION])
    more = len(rows) - NAMED_IN_A_QUESTION
    if len(kinds) == 1:
        (kind,) = kinds
        title = f"{kind.label}: {_lower(fix_words(kind))}?"
        button = fix_words(kind) if len(rows) == 1 else f"Fix {len(rows)} mismatches"
        text = f"{names}{f' and {more} more' if more > 0 else ''}. {MEANINGS[kind].consequence}"
    else:
        title, button = f"Fix {len(rows)} mismatches?", f"Fix {len(rows)} mismatches"
        text = " ".join(
            f"{kind.label} ({number}): {MEANINGS[kind].consequence}"
            for kind, number in kinds.items()
        )
    return Confirm(
        title=title,
        text=text,
        button=button,
        action=changed(reverse("drift-fix"), query),
        cancel_url=changed(reverse("drift-list"), query),
        target="#drift",
        danger=any(kind in _MAY_LOSE for kind in kinds),
    )


def _lower(words: str) -> str:
    return words[0].lower() + words[1:]


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _done(request: FleetRequest, query: QueryDict, said: str) -> HttpResponse:
    url = changed(reverse("drift-list"), query)
    return respond(request, _LIST, url, lambda: _list_context(request, query), said=said)


def _refused(request: FleetRequest, query: QueryDict, error: FleetError) -> HttpResponse:
    url = changed(reverse("drift-list"), query)
    return refuse(request, _LIST, url, lambda: _list_context(request, query), error)

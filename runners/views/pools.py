"""The pools: what each keeps ready, and how far it is from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.contrib import messages
from django.db.models import Count, F, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from runners import pool_policy, pools, recovery
from runners.errors import FleetError
from runners.forms.pools import PauseForm, RemovePoolForm
from runners.models import Decision, Event, Pool, Runner, Scope
from runners.states import DisplayState, RunnerState
from runners.views import versions
from runners.views.actions import (
    Place,
    Question,
    Subject,
    ask_about,
    done,
    filters_in_force,
    refused,
)
from runners.views.decisions import PoolLine, recent_of
from runners.views.event_words import Happening, happening
from runners.views.guard import role_required
from runners.views.policy_words import policy_sentences
from runners.views.pool_graph import PoolGraph, pool_graph
from runners.views.shared import Context, FleetRequest, actor, page, polled

EVENTS_SHOWN: Final = 12
DECISIONS_SHOWN: Final = 8
ONE_MORE: Final = "One more, asked for by hand"
_LIST: Final = "pools/_pool_list.html"
_PAGE: Final = "pools/_pool_page.html"
_DOWN: Final = (
    DisplayState.LOST,
    DisplayState.FAILED,
    DisplayState.QUARANTINED,
    DisplayState.OFFLINE,
)
_BAR: Final = (
    ("busy", (DisplayState.BUSY, DisplayState.DRAINING)),
    ("idle", (DisplayState.IDLE,)),
    ("starting", (DisplayState.STARTING,)),
    ("offline", _DOWN),
)


@dataclass(frozen=True, slots=True)
class Share:
    """A piece of a pool's bar: `percent` of its maximum, a whole number."""

    state: str
    percent: int


@dataclass(frozen=True, slots=True)
class PoolRow:
    """One pool with its runners counted; `state` and `word` say whether it is kept."""

    pool: Pool
    url: str
    labels: list[str]
    state: str
    word: str
    why: str
    busy: int
    idle: int
    starting: int
    down: int
    bar: list[Share]
    bar_words: str


@dataclass(frozen=True, slots=True)
class PoolPage:
    """One pool's page."""

    row: PoolRow
    sentences: list[str]
    events: list[Happening]
    runners_url: str
    graph: PoolGraph
    decisions: list[tuple[Decision, PoolLine]]
    decisions_url: str
    list_url: str


@polled(versions.fleet_version)
@role_required("viewer")
@require_GET
def pool_list(request: FleetRequest) -> HttpResponse:
    now = timezone.now()
    loaded = list(_pools())
    context = {
        "now": now,
        "version": versions.fleet_version(request),
        "rows": _rows(loaded, now),
        "has_scope": bool(loaded) or Scope.objects.exists(),
    }
    return page(request, "pools/pool_list.html", _LIST, context)


def _page_version(request: HttpRequest, name: str) -> str:
    return versions.fleet_version(request)


@polled(_page_version)
@role_required("viewer")
@require_GET
def pool_detail(request: FleetRequest, name: str) -> HttpResponse:
    return page(request, "pools/pool_detail.html", _PAGE, _detail_context(request, name))


@role_required("admin")
@require_http_methods(["GET", "POST"])
def pool_pause(request: FleetRequest, name: str) -> HttpResponse:
    pool = _get_pool_for_user(request, name)
    form = PauseForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        question = Question(
            f"Pause {name}?",
            "It neither starts runners nor lets any go until it is resumed. Those it has go on.",
            f"Pause {name}",
        )
        return ask_about(request, _subject(request, pool), "pause", form, question)
    now, minutes = timezone.now(), form.cleaned_data["minutes"]
    until = now + timedelta(minutes=minutes) if minutes else None
    reason = form.cleaned_data["reason"]
    pools.pause(pool, by=actor(request), reason=reason, now=now, until=until)
    said = f"{name} is paused until {until:%Y-%m-%d %H:%M} UTC." if until else f"{name} is paused."
    return done(request, _subject(request, pool), said, undo="resume")


@role_required("admin")
@require_POST
def pool_resume(request: FleetRequest, name: str) -> HttpResponse:
    pool = _get_pool_for_user(request, name)
    pools.resume(pool, by=actor(request), reason="", now=timezone.now())
    return done(request, _subject(request, pool), f"{name} starts runners again.")


@role_required("operator")
@require_POST
def pool_more(request: FleetRequest, name: str) -> HttpResponse:
    """Start one more of its runners now, whatever waits."""
    pool = _get_pool_for_user(request, name)
    try:
        made = pools.start_now(pool, by=actor(request), reason=ONE_MORE, now=timezone.now())
    except FleetError as error:
        return refused(request, _subject(request, pool), error)
    said = f"{made[0].name} is on its way on {made[0].host.name}."
    return done(request, _subject(request, pool), said)


@role_required("operator")
@require_POST
def pool_release(request: FleetRequest, name: str) -> HttpResponse:
    pool = _get_pool_for_user(request, name)
    recovery.release_pool(pool, by=actor(request), reason="", now=timezone.now())
    return done(request, _subject(request, pool), f"{name} starts runners again.")


@role_required("admin")
@require_http_methods(["GET", "POST"])
def pool_remove(request: FleetRequest, name: str) -> HttpResponse:
    pool = _get_pool_for_user(request, name)
    form = RemovePoolForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        question = Question(
            f"Remove {name}?",
            "Nothing is kept ready for it any more. A pool with runners stays; to hold it for "
            "a while, pause it.",
            f"Remove {name}",
            danger=True,
            leaves=True,
        )
        return ask_about(request, _subject(request, pool), "remove", form, question)
    try:
        pool_policy.remove(
            pool, by=actor(request), reason=form.cleaned_data["reason"], now=timezone.now()
        )
    except FleetError as error:
        messages.error(request, error.user_message)
        return redirect("pool-detail", name)
    messages.success(request, f"{name} is removed.")
    return redirect("pool-list")


def _pools() -> QuerySet[Pool]:
    return Pool.objects.select_related("scope").prefetch_related("labels")


def _get_pool_for_user(request: FleetRequest, name: str) -> Pool:
    """Every role sees every pool."""
    return get_object_or_404(_pools(), name=name)


def _rows(loaded: Sequence[Pool], now: datetime) -> list[PoolRow]:
    counts: dict[int, Counter[str]] = {pool.pk: Counter() for pool in loaded}
    counted = (
        Runner.objects.exclude(state__in=[RunnerState.REMOVED, RunnerState.REMOVING])
        .filter(pool__in=counts)
        .with_display_state(now)
        .order_by()
        .values_list("pool_id", F("display"))
        .annotate(number=Count("pk"))
    )
    for pool_id, display, number in counted:
        counts[pool_id][display] += number
    return [_row(pool, counts[pool.pk], now) for pool in loaded]


def _row(pool: Pool, counts: Counter[str], now: datetime) -> PoolRow:
    state, word, why = _keeping(pool, counts, now)
    busy = counts[DisplayState.BUSY] + counts[DisplayState.DRAINING]
    down = sum(counts[display] for display in _DOWN)
    idle, starting = counts[DisplayState.IDLE], counts[DisplayState.STARTING]
    whole = max(pool.max_runners, sum(counts.values()), 1)
    return PoolRow(
        pool=pool,
        url=pool.get_absolute_url(),
        labels=[label.name for label in pool.labels.all()],
        state=state,
        word=word,
        why=why,
        busy=busy,
        idle=idle,
        starting=starting,
        down=down,
        bar=_bar(counts, whole),
        bar_words=f"{busy} working, {idle} idle, {starting} starting, {down} down, of at most "
        f"{pool.max_runners}",
    )


def _bar(counts: Counter[str], whole: int) -> list[Share]:
    """Cut the bar by what the runners do; what is left of the maximum stays free."""
    shares = [
        Share(name, round(sum(counts[display] for display in displays) * 100 / whole))
        for name, displays in _BAR
    ]
    return [*shares, Share("free", max(0, 100 - sum(share.percent for share in shares)))]


def _keeping(pool: Pool, counts: Counter[str], now: datetime) -> tuple[str, str, str]:
    """Whether the pool is kept as it should be: a state, its word, and why not."""
    if pool.paused_at is not None:
        until = f", until {pool.paused_until:%Y-%m-%d %H:%M} UTC" if pool.paused_until else ""
        return "cordoned", "Paused", f"{pool.paused_reason}{until}"
    if pool.quarantined_at is not None:
        failures = pool.consecutive_failures
        why = f"The last {failures} starts failed; none is tried until somebody releases it."
        return "quarantined", "Quarantined", why
    if pool.backoff_until is not None and pool.backoff_until > now:
        failures = pool.consecutive_failures
        return "failed", "Backing off", f"{failures} starts failed in a row; it tries again soon."
    if pool.scope.github_unknown_since is not None:
        return "late", "Waiting for GitHub", "GitHub can't be reached, so nothing is started."
    ready = counts[DisplayState.IDLE] + counts[DisplayState.STARTING]
    if ready < pool.min_idle and sum(counts.values()) < pool.max_runners:
        return "queued", "Short", f"{ready} of {pool.min_idle} idle runners ready."
    return "ok", "Kept", ""


def _detail_context(request: FleetRequest, name: str) -> Context:
    now = timezone.now()
    pool = _get_pool_for_user(request, name)
    span = filters_in_force(request).get("range", "")
    events = Event.objects.filter(object_kind="pool", object_id=pool.pk)[:EVENTS_SHOWN]
    return {
        "now": now,
        "version": versions.fleet_version(request),
        "page": PoolPage(
            row=_rows([pool], now)[0],
            sentences=policy_sentences(pool_policy.policy_of(pool)),
            events=[happening(event) for event in events],
            runners_url=f"{reverse('runner-list')}?pool={pool.name}",
            graph=pool_graph(pool, span=span, now=now),
            decisions=recent_of(pool, limit=DECISIONS_SHOWN),
            decisions_url=f"{reverse('decision-list')}?pool={pool.name}",
            list_url=f"{pool.get_absolute_url()}?range={span}" if span else pool.get_absolute_url(),
        ),
    }


def _subject(request: FleetRequest, pool: Pool) -> Subject:
    """The pool on its page; the list has no actions."""
    place = Place(_PAGE, "#pool-page", lambda: _detail_context(request, pool.name))
    return Subject("pool", pool.name, pool.get_absolute_url(), on_page=place, on_list=place)

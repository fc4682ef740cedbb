"""The targets: availability a pool, starts a label set, start-up, builds; and what they are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from runners import promises, targets
from runners.errors import FleetError
from runners.figures import Period
from runners.forms.reports import LabelTargetForm, PoolTargetForm, WindowForm
from runners.models import AnnouncedWindow, Pool
from runners.promises import PoolPromise, QueuePromise
from runners.views import versions
from runners.views.guard import role_required
from runners.views.links import changed
from runners.views.shared import Confirm, Context, FleetRequest, actor, ask, page, polled, refuse

MONTHS_SHOWN: Final = 3
_PAGE: Final = "reports/_targets.html"


@dataclass(frozen=True, slots=True)
class PoolLine:
    """One pool's availability as the page shows it."""

    promise: PoolPromise
    words: str
    state: str
    word: str


@dataclass(frozen=True, slots=True)
class QueueLine:
    """One label set's starts as the page shows them; `fast` and `slow` are burn rates."""

    promise: QueuePromise
    state: str
    word: str
    fast: str
    slow: str


def _version(request: HttpRequest) -> str:
    return versions.targets_version(request)


@polled(_version)
@role_required("viewer")
@require_GET
def report_targets(request: FleetRequest) -> HttpResponse:
    return page(request, "reports/targets.html", _PAGE, _context(request))


def month_asked(request: HttpRequest, today: date) -> Period:
    """The calendar month of `?month=2026-11`; this one when it is none or lies ahead."""
    try:
        first = date.fromisoformat(f"{request.GET.get('month', '')}-01")
    except ValueError:
        first = today.replace(day=1)
    return month_of(min(first, today.replace(day=1)))


def month_of(first: date) -> Period:
    """The month that begins on this day."""
    following = (first.replace(day=28) + timedelta(days=4)).replace(day=1)
    return Period(first, following - timedelta(days=1))


def months_to_choose(
    request: HttpRequest, url: str, chosen: Period, today: date
) -> list[tuple[date, str, bool]]:
    """(first day, address, chosen) of the last months and the chosen one, oldest first."""
    firsts, first = {chosen.first}, today.replace(day=1)
    for _ in range(MONTHS_SHOWN):
        firsts.add(first)
        first = (first - timedelta(days=1)).replace(day=1)
    return [
        (each, changed(url, request.GET, month=f"{each:%Y-%m}"), each == chosen.first)
        for each in sorted(firsts)
    ]


def _context(request: FleetRequest) -> Context:
    now = timezone.now()
    period = month_asked(request, now.date())
    url = reverse("report-targets")
    pools = [_pool_line(each) for each in promises.pools(period, now=now)]
    queues = promises.queues(period, queue_seconds=settings.FLEET_QUEUE_TARGET_SECONDS, now=now)
    return {
        "now": now,
        "version": versions.targets_version(request),
        "period": period,
        "months": months_to_choose(request, url, period, now.date()),
        "pools": pools,
        "outages": sorted(
            (outage for line in pools for outage in line.promise.outages),
            key=lambda each: each.outage.began_at,
            reverse=True,
        ),
        "queues": [_queue_line(each) for each in queues],
        "builds": promises.builds(period),
        "windows": list(
            AnnouncedWindow.objects.filter(ends_at__gte=promises.bounds(period)[0]).select_related(
                "pool"
            )
        ),
        "startup_seconds": targets.STARTUP_SECONDS,
        "build_seconds": targets.BUILD_SECONDS,
        "list_url": changed(url, request.GET),
    }


def _pool_line(promise: PoolPromise) -> PoolLine:
    words = promises.calendar_words(promise.calendar)
    kept = promise.availability
    if kept is None or kept.percent is None:
        return PoolLine(promise, words, "none", "Nothing to count yet")
    if not kept.met:
        return PoolLine(promise, words, "critical", "Missed")
    return PoolLine(promise, words, *(("ok", "On track") if kept.left_percent >= 25 else _NEAR))


_NEAR: Final = ("warning", "Budget nearly used")


def _queue_line(promise: QueuePromise) -> QueueLine:
    state, word = ("ok", "Kept") if promise.starts.met else ("critical", "Missed")
    if promise.burning:
        state, word = "warning", f"Burning, {promise.burning}"
    return QueueLine(promise, state, word, _rate(promise.fast.burn), _rate(promise.slow.burn))


def _rate(burn: float) -> str:
    return "∞" if math.isinf(burn) else f"{burn:.1f}×"  # noqa: RUF001 - that is how rates are read


@role_required("admin")
@require_http_methods(["GET", "POST"])
def report_target_pool(request: FleetRequest, name: str) -> HttpResponse:
    pool = get_object_or_404(Pool.objects.select_related("target"), name=name)
    form = PoolTargetForm.of(
        request.POST if request.method == "POST" else None, getattr(pool, "target", None)
    )
    if form.is_valid():
        promises.set_target(pool, form.promise(), by=actor(request), now=timezone.now())
        messages.success(request, f"What {pool.name} promises is saved.")
        return redirect("report-targets")
    confirm = Confirm(
        title=f"What {pool.name} promises",
        text="A second counts as available when a matching job would have started within two "
        "minutes. Only business hours count, and no announced maintenance.",
        button="Save",
        action=reverse("report-target-pool", args=[pool.name]),
        cancel_url=reverse("report-targets"),
    )
    return ask(request, confirm, form)


@role_required("admin")
@require_http_methods(["GET", "POST"])
def report_target_labels(request: FleetRequest) -> HttpResponse:
    form = LabelTargetForm(
        request.POST if request.method == "POST" else None,
        initial={
            "label_set": request.GET.get("labels", ""),
            "percent": targets.DEFAULT_QUEUE_PERCENT,
            "seconds": settings.FLEET_QUEUE_TARGET_SECONDS,
        },
    )
    if form.is_valid():
        told = form.cleaned_data
        promises.set_label_target(
            told["label_set"],
            percent=float(told["percent"]),
            seconds=told["seconds"],
            by=actor(request),
            now=timezone.now(),
        )
        messages.success(request, f"The target of {told['label_set']} is saved.")
        return redirect("report-targets")
    confirm = Confirm(
        title="How soon jobs should start",
        text="Counts for jobs that end from now on.",
        button="Save",
        action=reverse("report-target-labels"),
        cancel_url=reverse("report-targets"),
    )
    return ask(request, confirm, form)


@role_required("operator")
@require_http_methods(["GET", "POST"])
def report_window_new(request: FleetRequest) -> HttpResponse:
    form = WindowForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        told = form.cleaned_data
        try:
            promises.announce(
                pool=told["pool"],
                begins_at=told["begins_at"],
                ends_at=told["ends_at"],
                reason=told["reason"],
                by=actor(request),
                now=timezone.now(),
            )
        except FleetError as error:
            form.add_error(None, error.user_message)
        else:
            messages.success(request, "The maintenance is announced.")
            return redirect("report-targets")
    confirm = Confirm(
        title="Announce maintenance",
        text="What is down within it does not count against availability. It cannot be announced "
        "once it has begun.",
        button="Announce",
        action=reverse("report-window-new"),
        cancel_url=reverse("report-targets"),
    )
    return ask(request, confirm, form)


@role_required("operator")
@require_POST
def report_window_call_off(request: FleetRequest, pk: int) -> HttpResponse:
    window = get_object_or_404(AnnouncedWindow, pk=pk)
    url = reverse("report-targets")
    try:
        promises.call_off(window, by=actor(request), now=timezone.now())
    except FleetError as error:
        return refuse(request, _PAGE, url, lambda: _context(request), error)
    messages.success(request, "The maintenance is called off.")
    return redirect(url)

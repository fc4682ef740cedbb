"""The hosts: the list, one host's page, and what an operator may do with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.conf import settings
from django.core.paginator import Paginator
from django.db.models import Count, Sum
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from runners import enrolment, recovery
from runners.access import Role, may
from runners.errors import FleetError
from runners.forms.hosts import CordonForm, DrainHostForm, RetireForm, SlotsForm
from runners.host_filters import HostListing, list_hosts
from runners.models import EnrolmentCode, Host, Runner
from runners.states import SERVING, HostState, Phase
from runners.views import versions
from runners.views.actions import Place, Question, Subject, ask_about, done, refused
from runners.views.drain_preview import host_words
from runners.views.guard import role_required
from runners.views.host_page import host_page
from runners.views.host_rows import HostRow, host_rows
from runners.views.links import Column, changed, list_query, sort_column
from runners.views.shared import (
    Context,
    FleetRequest,
    actor,
    page,
    polled,
)

PAGE_SIZE: Final = 25
CODES_SHOWN: Final = 5
SILENT_NAMED: Final = 3
TABLE: Final = "hosts/_host_table.html"
_PAGE: Final = "hosts/_host_page.html"


@dataclass(frozen=True, slots=True)
class SiteGroup:
    """A site's rows on this page; `words` counts over the whole site. `name` "" for no site."""

    name: str
    words: str
    rows: list[HostRow]


@dataclass(frozen=True, slots=True)
class Silence:
    """Hosts past their deadline, in words; `since` completes the words where it is one host."""

    words: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Chip:
    """A state to narrow the list by, with its count and its address."""

    state: str
    word: str
    count: int
    chosen: bool
    url: str


@polled(versions.fleet_version)
@role_required("viewer")
@require_GET
def host_list(request: FleetRequest) -> HttpResponse:
    return page(request, "hosts/host_list.html", TABLE, list_context(request))


def _page_version(request: HttpRequest, name: str) -> str:
    # The page shows the host's runners, jobs and events, so it follows the whole fleet
    return versions.fleet_version(request)


@polled(_page_version)
@role_required("viewer")
@require_GET
def host_detail(request: FleetRequest, name: str) -> HttpResponse:
    context = _detail_context(request, name)
    return page(request, "hosts/host_detail.html", _PAGE, context)


@role_required("operator")
@require_POST
def host_cordon(request: FleetRequest, name: str) -> HttpResponse:
    host = _get_host_for_user(request, name)
    form = CordonForm(request.POST)
    reason = form.cleaned_data["reason"] if form.is_valid() else ""
    enrolment.cordon(host, by=actor(request), reason=reason, now=timezone.now())
    said = f"{name} takes no new runners."
    return done(request, _subject(request, host), said, undo="uncordon")


@role_required("operator")
@require_POST
def host_uncordon(request: FleetRequest, name: str) -> HttpResponse:
    host = _get_host_for_user(request, name)
    enrolment.uncordon(host, by=actor(request), reason="", now=timezone.now())
    return done(request, _subject(request, host), f"{name} takes new runners again.")


@role_required("operator")
@require_POST
def host_release(request: FleetRequest, name: str) -> HttpResponse:
    host = _get_host_for_user(request, name)
    recovery.release_host(host, by=actor(request), reason="", now=timezone.now())
    return done(request, _subject(request, host), f"{name} is given runners again.")


@role_required("operator")
@require_http_methods(["GET", "POST"])
def host_drain(request: FleetRequest, name: str) -> HttpResponse:
    host = _get_host_for_user(request, name)
    form = DrainHostForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        question = Question(
            f"Drain {name}?",
            host_words([name], serving_on([host]), timezone.now()),
            f"Drain {name}",
        )
        return ask_about(request, _subject(request, host), "drain", form, question)
    now = timezone.now()
    deadline = form.deadline
    try:
        drained = enrolment.drain_host(
            host,
            by=actor(request),
            reason=form.cleaned_data["reason"],
            now=now,
            deadline_at=now + deadline if deadline else None,
        )
    except FleetError as error:
        return refused(request, _subject(request, host), error)
    count = f"{len(drained)} runner{'s' if len(drained) != 1 else ''}"
    return done(
        request, _subject(request, host), f"{name} is cordoned; {count} told to finish and leave."
    )


@role_required("operator")
@require_http_methods(["GET", "POST"])
def host_slots(request: FleetRequest, name: str) -> HttpResponse:
    host = _get_host_for_user(request, name)
    data = request.POST if request.method == "POST" else None
    memory = host.slot_memory_bytes
    form = SlotsForm(
        data,
        initial={
            "slots": host.slots,
            "cpu_cores": host.slot_cpu_cores,
            "memory_gb": None if memory is None else memory / 10**9,
        },
    )
    if not form.is_valid():
        question = Question(
            f"Slots of {name}",
            "How many runners it may run at once, and what each may use at most.",
            "Save slots",
        )
        return ask_about(request, _subject(request, host), "slots", form, question)
    try:
        enrolment.set_slots(
            host,
            form.cleaned_data["slots"],
            cpu_cores=form.cleaned_data["cpu_cores"],
            memory_bytes=form.memory_bytes,
            by=actor(request),
            reason=form.cleaned_data["reason"],
            now=timezone.now(),
        )
    except FleetError as error:
        return refused(request, _subject(request, host), error)
    return done(request, _subject(request, host), f"{name} has {form.cleaned_data['slots']} slots.")


@role_required("operator")
@require_http_methods(["GET", "POST"])
def host_rotate_token(request: FleetRequest, name: str) -> HttpResponse:
    host = _get_host_for_user(request, name)
    if request.method == "GET":
        question = Question(
            f"Rotate the agent token of {name}?",
            "Its agent gets a new token with its next heartbeat; the old one works until the "
            "new one was used. Nothing stops.",
            "Rotate token",
        )
        return ask_about(request, _subject(request, host), "rotate-token", None, question)
    enrolment.ask_token_rotation(host, by=actor(request), now=timezone.now())
    return done(
        request, _subject(request, host), f"{name} gets a new token with its next heartbeat."
    )


@role_required("operator")
@require_http_methods(["GET", "POST"])
def host_retire(request: FleetRequest, name: str) -> HttpResponse:
    host = _get_host_for_user(request, name)
    form = RetireForm(request.POST if request.method == "POST" else None, host=host)
    if not form.is_valid():
        question = Question(
            f"Retire {name}?",
            "Its token stops working and its runners leave GitHub. Its history stays. To "
            "pause it instead, cordon or drain it.",
            f"Retire {name}",
            danger=True,
        )
        return ask_about(request, _subject(request, host), "retire", form, question)
    try:
        enrolment.retire(
            host, by=actor(request), reason=form.cleaned_data["reason"], now=timezone.now()
        )
    except FleetError as error:
        return refused(request, _subject(request, host), error)
    return done(request, _subject(request, host), f"{name} is retired.")


def serving_on(hosts: Sequence[Host]) -> list[Runner]:
    """The runners a drain of these hosts would tell to leave."""
    return list(Runner.objects.filter(host__in=hosts, state__in=SERVING).select_related("host"))


def _get_host_for_user(request: FleetRequest, name: str) -> Host:
    """Every role sees every host; a retired one keeps its page."""
    return get_object_or_404(Host.objects.prefetch_related("labels"), name=name)


def list_context(request: FleetRequest) -> Context:
    now = timezone.now()
    path = reverse("host-list")
    query = list_query(request, "host-list")
    listing = list_hosts(query, now=now)
    shown = Paginator(listing.rows, PAGE_SIZE).get_page(query.get("page"))
    hosts = list(shown.object_list)
    rows = host_rows(hosts, now=now, sample_seconds=settings.FLEET_SAMPLE_SECONDS)
    totals = Host.objects.in_service().aggregate(slots=Sum("slots"))
    return {
        "now": now,
        "version": versions.fleet_version(request),
        "listing": listing,
        "chips": [
            Chip(
                chip.state,
                chip.word,
                chip.count,
                chip.chosen,
                changed(path, query, state=chip.state),
            )
            for chip in listing.chips
        ],
        "all_url": changed(path, query, state=""),
        "columns": _columns(path, query, listing.sort),
        "query": query,
        "page": shown,
        "groups": _groups(listing, hosts, rows),
        "codes": _open_codes(request, now),
        "silent": _silence(rows),
        "slots_total": totals["slots"] or 0,
        "heartbeat_seconds": settings.FLEET_HEARTBEAT_SECONDS,
        "late_after_seconds": settings.FLEET_LATE_AFTER_SECONDS,
        "offline_after_seconds": settings.FLEET_OFFLINE_AFTER_SECONDS,
        "list_url": f"{path}?{query.urlencode()}" if query else path,
    }


def _silence(rows: Sequence[HostRow]) -> Silence | None:
    """Say which hosts of this page are offline; the chips count those on the others."""
    offline = [row for row in rows if row.state == HostState.OFFLINE]
    if not offline:
        return None
    if len(offline) == 1:
        return Silence(f"{offline[0].name} has been silent since", offline[0].last_seen_at)
    names = ", ".join(row.name for row in offline[:SILENT_NAMED])
    more = len(offline) - SILENT_NAMED
    rest = f" and {more} more" if more > 0 else ""
    return Silence(f"{len(offline)} hosts are silent: {names}{rest}.", None)


def _columns(path: str, query: QueryDict, sort: str) -> list[Column]:
    def by(key: str, label: str, css_class: str = "") -> Column:
        return sort_column(path, query, key, label, chosen=sort, css_class=css_class)

    return [
        by("name", "Host"),
        Column("Status"),
        Column("Slots"),
        by("cpu", "CPU"),
        by("memory", "Memory"),
        by("disk", "Disk"),
        by("seen", "Heartbeat", "hide-md"),
        Column("Agent", css_class="hide-md"),
    ]


def _groups(
    listing: HostListing, hosts: Sequence[Host], rows: Sequence[HostRow]
) -> list[SiteGroup]:
    """Group by site while that is the order; the counts speak of the whole site."""
    if not listing.by_site:
        return [SiteGroup("", "", list(rows))]
    sites: dict[str, list[HostRow]] = {}
    for host, row in zip(hosts, rows, strict=True):
        sites.setdefault(host.site, []).append(row)
    slots: Counter[str] = Counter(
        dict(
            Host.objects.in_service()
            .filter(site__in=sites)
            .order_by()
            .values_list("site")
            .annotate(number=Sum("slots"))
        )
    )
    busy: Counter[str] = Counter(
        dict(
            Runner.objects.filter(host__site__in=sites, slot__isnull=False, phase=Phase.BUSY)
            .order_by()
            .values_list("host__site")
            .annotate(number=Count("pk"))
        )
    )
    return [
        SiteGroup(site or "No site", f"{busy[site]} of {slots[site]} slots working", group)
        for site, group in sites.items()
    ]


def _open_codes(request: FleetRequest, now: datetime) -> list[EnrolmentCode]:
    """Codes a machine may still use; for those who may revoke them."""
    if not may(request.user, Role.OPERATOR):
        return []
    codes = EnrolmentCode.objects.filter(
        used_at__isnull=True, revoked_at__isnull=True, expires_at__gt=now
    )
    return list(codes.select_related("created_by")[:CODES_SHOWN])


def _detail_context(request: FleetRequest, name: str) -> Context:
    now = timezone.now()
    host = _get_host_for_user(request, name)
    query = request.GET.urlencode()
    url = host.get_absolute_url()
    return {
        "now": now,
        "version": versions.fleet_version(request),
        "page": host_page(
            host,
            now=now,
            sample_seconds=settings.FLEET_SAMPLE_SECONDS,
            span=request.GET.get("range", ""),
        ),
        "page_url": f"{url}?{query}" if query else url,
    }


def _subject(request: FleetRequest, host: Host) -> Subject:
    """The host on its own page, or in the list, which comes back whole with its counts."""
    return Subject(
        kind="host",
        key=host.name,
        url=host.get_absolute_url(),
        on_page=Place(_PAGE, "#host-page", lambda: _detail_context(request, host.name)),
        on_list=Place(TABLE, "#hosts", lambda: list_context(request)),
    )

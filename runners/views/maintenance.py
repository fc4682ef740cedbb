"""Rounds of maintenance: the list, the start with its preview, and one round as it goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from runners import maintenance, rolling
from runners.errors import FleetError
from runners.forms.maintenance import RoundForm
from runners.host_filters import list_hosts
from runners.models import Event, Host, Maintenance, MaintenanceHost
from runners.views import versions
from runners.views.guard import role_required
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

ROUNDS_SHOWN: Final = 50
_PAGE: Final = "maintenance/_round.html"
_STEP_STATES: Final = {
    "waiting": "queued",
    "draining": "draining",
    "acting": "running",
    "done": "success",
    "skipped": "cancelled",
}
_STATES: Final = {
    "running": "running",
    "paused": "cordoned",
    "done": "success",
    "stopped": "cancelled",
}


@dataclass(frozen=True, slots=True)
class TurnRow:
    """One host's turn as the page shows it."""

    pk: int
    host: Host
    state: str
    word: str
    since: datetime | None
    note: str
    can_confirm: bool
    can_skip: bool


@dataclass(frozen=True, slots=True)
class RoundRow:
    """One round with its hosts counted; `percent` of them are over."""

    work: Maintenance
    url: str
    state: str
    word: str
    over: int
    hosts: int
    percent: int


@role_required("viewer")
@require_GET
def maintenance_list(request: FleetRequest) -> HttpResponse:
    rounds = list(Maintenance.objects.order_by("-created_at", "-pk")[:ROUNDS_SHOWN])
    steps = MaintenanceHost.objects.filter(maintenance__in=rounds).order_by()
    hosts: Counter[int] = Counter()
    over: Counter[int] = Counter()
    for pk, step in steps.values_list("maintenance_id", "step"):
        hosts[pk] += 1
        over[pk] += step in maintenance.OVER
    rows = [_row(work, hosts[work.pk], over[work.pk]) for work in rounds]
    context = {"rows": rows, "now": timezone.now()}
    return render(request, "maintenance/maintenance_list.html", context)


@role_required("operator")
@require_http_methods(["GET", "POST"])
def maintenance_new(request: FleetRequest) -> HttpResponse:
    now = timezone.now()
    chosen = _hosts_of_address(request.GET, now)
    form = RoundForm(request.POST if request.method == "POST" else None, hosts=chosen)
    told, status = None, 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            if "preview" not in request.POST:
                try:
                    work = maintenance.start(form.plan, by=actor(request), now=now)
                except FleetError as error:
                    form.add_error(None, error.user_message)
                else:
                    messages.success(request, "The round has begun.")
                    return redirect("maintenance-detail", work.pk)
            else:
                hosts = [host.pk for host in form.plan.hosts]
                places = maintenance.fleet_places(now)
                told, status = rolling.forecast(form.plan.percent_out, hosts, places), 200
    context = {"form": form, "forecast": told}
    return render(request, "maintenance/maintenance_new.html", context, status=status)


def _hosts_of_address(query: QueryDict, now: datetime) -> list[Host]:
    """The hosts ticked in the list before, or those its filters show."""
    if "ids" not in query:
        return list(list_hosts(query, now=now).rows)
    keys = [key for key in query.getlist("ids") if key.isascii() and key.isdigit()]
    return list(Host.objects.in_service().filter(pk__in=keys))


def _page_version(request: HttpRequest, pk: int) -> str:
    return versions.fleet_version(request)


@polled(_page_version)
@role_required("viewer")
@require_GET
def maintenance_detail(request: FleetRequest, pk: int) -> HttpResponse:
    context = _context(request, _get_round_for_user(request, pk))
    return page(request, "maintenance/maintenance_detail.html", _PAGE, context)


@role_required("operator")
@require_POST
def maintenance_pause(request: FleetRequest, pk: int) -> HttpResponse:
    return _change(request, pk, maintenance.pause, "No further host is taken out.")


@role_required("operator")
@require_POST
def maintenance_resume(request: FleetRequest, pk: int) -> HttpResponse:
    return _change(request, pk, maintenance.resume, "The round goes on.")


@role_required("operator")
@require_http_methods(["GET", "POST"])
def maintenance_stop(request: FleetRequest, pk: int) -> HttpResponse:
    work = _get_round_for_user(request, pk)
    if request.method == "GET":
        confirm = Confirm(
            title=f"Stop maintenance {pk}?",
            text="Hosts that are out take runners again, unless they were cordoned before.",
            button="Stop the round",
            action=reverse("maintenance-stop", args=[pk]),
            cancel_url=_url(work),
            target="#maintenance",
            danger=True,
        )
        return ask(request, confirm, None)
    return _change(request, pk, maintenance.stop, "The round is stopped; its hosts are back.")


@role_required("operator")
@require_POST
def maintenance_done(request: FleetRequest, pk: int) -> HttpResponse:
    return _act_on_turn(request, pk, maintenance.confirm_done, "takes new runners again")


@role_required("operator")
@require_POST
def maintenance_skip(request: FleetRequest, pk: int) -> HttpResponse:
    return _act_on_turn(request, pk, maintenance.skip, "is left out")


def _change(
    request: FleetRequest, pk: int, verb: Callable[..., Event | None], said: str
) -> HttpResponse:
    work = _get_round_for_user(request, pk)
    verb(work, by=actor(request), reason="", now=timezone.now())
    return respond(request, _PAGE, _url(work), lambda: _fresh(request, pk), said=said)


def _act_on_turn(
    request: FleetRequest, pk: int, verb: Callable[..., None], said: str
) -> HttpResponse:
    turns = MaintenanceHost.objects.select_related("maintenance", "host")
    turn = get_object_or_404(turns, pk=pk)
    work, host = turn.maintenance, turn.host

    def context() -> Context:
        return _fresh(request, work.pk)

    try:
        verb(work, host, by=actor(request), now=timezone.now())
    except FleetError as error:
        return refuse(request, _PAGE, _url(work), context, error)
    return respond(request, _PAGE, _url(work), context, said=f"{host.name} {said}.")


def _get_round_for_user(request: FleetRequest, pk: int) -> Maintenance:
    """Every role sees every round."""
    return get_object_or_404(Maintenance, pk=pk)


def _url(work: Maintenance) -> str:
    return reverse("maintenance-detail", args=[work.pk])


def _fresh(request: FleetRequest, pk: int) -> Context:
    return _context(request, _get_round_for_user(request, pk))


def _row(work: Maintenance, hosts: int, over: int) -> RoundRow:
    return RoundRow(
        work=work,
        url=_url(work),
        state=_STATES[work.state],
        word=work.get_state_display(),
        over=over,
        hosts=hosts,
        percent=over * 100 // max(1, hosts),
    )


def _context(request: FleetRequest, work: Maintenance) -> Context:
    turns = [_turn(turn, work) for turn in work.hosts.select_related("host").order_by("position")]
    over = sum(turn.state in ("success", "cancelled") for turn in turns)
    return {
        "now": timezone.now(),
        "version": versions.fleet_version(request),
        "row": _row(work, len(turns), over),
        "turns": turns,
        "goes_on": work.state in ("running", "paused"),
        "rules": _rules(work),
        "announce": f"{over} of {len(turns)} hosts are back",
    }


def _turn(turn: MaintenanceHost, work: Maintenance) -> TurnRow:
    goes_on = work.state in ("running", "paused")
    return TurnRow(
        pk=turn.pk,
        host=turn.host,
        state=_STEP_STATES[turn.step],
        word=turn.get_step_display(),
        since=turn.step_at,
        note=turn.note,
        can_confirm=goes_on and turn.step == "acting",
        can_skip=goes_on and turn.step not in maintenance.OVER,
    )


def _rules(work: Maintenance) -> list[str]:
    """What holds for the round, as a person would say it."""
    until = {
        "confirm": "A host stays out until somebody says it is done.",
        "reboot": "A host stays out until it was restarted and its heartbeat is back.",
        "minutes": f"A host stays out for {work.minutes} minutes.",
    }
    drain = (
        f"A job still running after {work.drain_minutes} minutes is ended and fails."
        if work.drain_minutes
        else "Jobs finish, however long they take."
    )
    share = f"At most {work.percent_out} % of the slots of any label are out at once."
    return [share, drain, until[work.act]]

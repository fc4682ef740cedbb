"""What an operator does with several hosts at once: cordon, uncordon, drain, begin a round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.http import HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.http import require_POST
from django_htmx.http import HttpResponseClientRedirect

from runners import enrolment
from runners.errors import InvalidRequest
from runners.forms.hosts import BulkDrainHostsForm, BulkHostsForm
from runners.models import Event, Host
from runners.views.actions import act_on_each, filters_in_force
from runners.views.drain_preview import counted, host_words
from runners.views.guard import role_required
from runners.views.hosts import TABLE, list_context, serving_on
from runners.views.shared import (
    Confirm,
    FleetRequest,
    actor,
    ask,
    refuse,
    respond,
    wants_fragment,
)

_OPEN: Final = {
    "cordon": (enrolment.cordon, ("host takes", "hosts take"), "no new runners", "cordoned"),
    "uncordon": (enrolment.uncordon, ("host takes", "hosts take"), "new runners again", "open"),
}


@role_required("operator")
@require_POST
def host_bulk(request: FleetRequest) -> HttpResponse:
    query = filters_in_force(request)
    ticked = BulkHostsForm(request.POST)
    if not ticked.is_valid():
        nothing = InvalidRequest("Tick at least one host first.")
        return refuse(request, TABLE, _list_url(query), lambda: list_context(request), nothing)
    hosts = list(Host.objects.filter(pk__in=ticked.cleaned_data["ids"]).order_by("name"))
    action = ticked.cleaned_data["action"]
    if action == "round":
        return _begin_round(request, hosts)
    if action == "drain":
        return _drain(request, hosts, query)
    return _cordon(request, hosts, query, action)


def _cordon(
    request: FleetRequest, hosts: Sequence[Host], query: QueryDict, action: str
) -> HttpResponse:
    now, by = timezone.now(), actor(request)
    change, (one, many), takes, was = _OPEN[action]

    def act(host: Host) -> str:
        _require_in_service(host)
        event: Event | None = change(host, by=by, reason="", now=now)
        return "" if event is not None else f"{host.name} was {was} already."

    return _done(request, query, act_on_each(hosts, act, (f"{one} {takes}", f"{many} {takes}")))


def _drain(request: FleetRequest, hosts: Sequence[Host], query: QueryDict) -> HttpResponse:
    """Ask with what the drain comes to, then drain each alone."""
    now, by = timezone.now(), actor(request)
    data = request.POST if "confirmed" in request.POST else None
    form = BulkDrainHostsForm(data, initial={"ids": [host.pk for host in hosts]})
    if not form.is_valid():
        words = f"Drain {counted(len(hosts), 'host')}"
        confirm = Confirm(
            title=f"{words}?",
            text=host_words([host.name for host in hosts], serving_on(hosts), now),
            button=words,
            action=f"{reverse('host-bulk')}?{query.urlencode()}",
            cancel_url=_list_url(query),
            target="#hosts",
        )
        return ask(request, confirm, form)
    reason = form.cleaned_data["reason"]
    deadline_at = now + form.deadline if form.deadline else None

    def act(host: Host) -> str:
        _require_in_service(host)
        told = enrolment.drain_host(host, by=by, reason=reason, now=now, deadline_at=deadline_at)
        leave = "leaves" if len(told) == 1 else "leave"
        return f"{host.name}: {counted(len(told), 'runner')} {leave}." if told else ""

    return _done(
        request, query, act_on_each(hosts, act, ("host is cordoned", "hosts are cordoned"))
    )


def _require_in_service(host: Host) -> None:
    if host.retired_at is not None:
        raise InvalidRequest(f"{host.name} is retired.")


def _begin_round(request: FleetRequest, hosts: Sequence[Host]) -> HttpResponse:
    """Go on to a new round with these hosts ticked."""
    ids = urlencode({"ids": [host.pk for host in hosts]}, doseq=True)
    url = f"{reverse('maintenance-new')}?{ids}"
    return HttpResponseClientRedirect(url) if wants_fragment(request) else HttpResponseRedirect(url)


def _done(request: FleetRequest, query: QueryDict, said: str) -> HttpResponse:
    return respond(request, TABLE, _list_url(query), lambda: list_context(request), said=said)


def _list_url(query: QueryDict) -> str:
    path = reverse("host-list")
    return f"{path}?{query.urlencode()}" if query else path

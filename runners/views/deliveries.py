"""Webhook deliveries: what came, what it said and what came of it; asking GitHub to send one again.

Pages are cut by the delivery's number, not counted: millions open as fast as ten.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from runners import delivery_listing, lost_deliveries, wiring
from runners.delivery_content import ACTIONS_BY_EVENT, ADMITTED, JOB_EVENT
from runners.delivery_listing import Wanted
from runners.errors import FleetError, InvalidRequest
from runners.forms.settings import RedeliverForm
from runners.github.errors import GitHubError
from runners.models import Delivery, Job, Scope
from runners.views.guard import role_required
from runners.views.links import changed
from runners.views.shared import Confirm, Context, FleetRequest, actor, ask, page, refuse

PAGE_SIZE: Final = 50
_LIST: Final = "deliveries/_delivery_table.html"
_PAGE: Final = "deliveries/_delivery_page.html"
_STATES: Final = {
    Delivery.Result.PENDING: "queued",
    Delivery.Result.CHANGED: "success",
    Delivery.Result.NOTHING_NEW: "idle",
    Delivery.Result.IGNORED: "warning",
    Delivery.Result.FAILED: "failed",
}


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One delivery as the list shows it; `state` is its result's glyph and tone."""

    delivery: Delivery
    url: str
    state: str
    word: str


@role_required("viewer")
@require_GET
def delivery_list(request: FleetRequest) -> HttpResponse:
    return page(request, "deliveries/delivery_list.html", _LIST, _list_context(request.GET))


@role_required("viewer")
@require_GET
def delivery_detail(request: FleetRequest, pk: int) -> HttpResponse:
    return page(request, "deliveries/delivery_detail.html", _PAGE, _page_context(pk))


@role_required("operator")
@require_http_methods(["GET", "POST"])
def delivery_redeliver(request: FleetRequest, pk: int) -> HttpResponse:
    delivery = get_object_or_404(Delivery.objects.select_related("scope__credential"), pk=pk)
    form = RedeliverForm(request.POST if request.method == "POST" else None)
    url = delivery.get_absolute_url()
    if not form.is_valid():
        confirm = Confirm(
            title="Have GitHub send it again?",
            text="It comes under the same number, so what it did is not done twice.",
            button="Redeliver",
            action=reverse("delivery-redeliver", args=[pk]),
            cancel_url=url,
        )
        return ask(request, confirm, form)
    try:
        with wiring.github_client(delivery.scope) as github:
            lost_deliveries.redeliver(
                delivery,
                github=github,
                by=actor(request),
                reason=form.cleaned_data["reason"],
                now=timezone.now(),
            )
    except GitHubError as error:
        told = InvalidRequest(error.user_message)
        return refuse(request, _PAGE, url, lambda: _page_context(pk), told)
    except FleetError as error:
        return refuse(request, _PAGE, url, lambda: _page_context(pk), error)
    messages.success(request, "GitHub was asked to send it again.")
    return redirect(url)


def wanted_of(query: QueryDict) -> Wanted:
    """Read the address."""
    names = ("scope", "event", "action", "result")
    return Wanted(
        **{name: query.get(name, "").strip() for name in names}, search=query.get("q", "").strip()
    )


def _list_context(query: QueryDict) -> Context:
    wanted = wanted_of(query)
    rows = delivery_listing.find(wanted).defer("payload")
    before = query.get("before", "")
    if before.isdecimal() and len(before) < 19:
        rows = rows.filter(pk__lt=int(before))
    found = list(rows[: PAGE_SIZE + 1])
    shown = found[:PAGE_SIZE]
    path = reverse("delivery-list")
    older = changed(path, query, before=str(shown[-1].pk)) if len(found) > PAGE_SIZE else ""
    return {
        "now": timezone.now(),
        "wanted": wanted,
        "rows": [_row(delivery) for delivery in shown],
        "scopes": list(Scope.objects.values_list("slug", flat=True)),
        "events": ADMITTED,
        "actions": sorted({action for known in ACTIONS_BY_EVENT.values() for action in known}),
        "results": Delivery.Result.choices,
        "older_url": older,
        "newest_url": changed(path, query, before="") if before else "",
    }


def _row(delivery: Delivery) -> DeliveryRow:
    result = Delivery.Result(delivery.result)
    return DeliveryRow(delivery, delivery.get_absolute_url(), _STATES[result], str(result.label))


def _page_context(pk: int) -> Context:
    delivery = get_object_or_404(Delivery.objects.select_related("scope"), pk=pk)
    job = None
    if delivery.event == JOB_EVENT and delivery.subject_id is not None:
        jobs = Job.objects.filter(scope=delivery.scope_id, github_id=delivery.subject_id)
        job = jobs.order_by("-run_attempt").first()
    return {
        "now": timezone.now(),
        "row": _row(delivery),
        "job": job,
        "payload": json.dumps(delivery.payload, indent=2, ensure_ascii=False)
        if delivery.payload
        else "",
    }

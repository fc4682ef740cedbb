"""The whole fleet held and opened again: no new runner starts while it is quiesced."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from runners import fleet
from runners.forms.maintenance import QuiesceForm
from runners.views.guard import role_required
from runners.views.shared import Confirm, FleetRequest, actor, ask


@role_required("operator")
@require_http_methods(["GET", "POST"])
def fleet_quiesce(request: FleetRequest) -> HttpResponse:
    form = QuiesceForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        confirm = Confirm(
            title="Quiesce the fleet?",
            text="No new runner starts, by hand, by a pool or in place of another. Jobs that run "
            "go on, and runners that are up take jobs.",
            button="Quiesce the fleet",
            action=reverse("fleet-quiesce"),
            cancel_url=reverse("host-list"),
        )
        return ask(request, confirm, form)
    fleet.quiesce(by=actor(request), reason=form.cleaned_data["reason"], now=timezone.now())
    messages.success(request, "The fleet is quiesced: no new runner starts.")
    return redirect("host-list")


@role_required("operator")
@require_POST
def fleet_resume(request: FleetRequest) -> HttpResponse:
    fleet.resume(by=actor(request), reason="", now=timezone.now())
    messages.success(request, "The fleet starts runners again.")
    return redirect("host-list")

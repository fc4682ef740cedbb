"""Provision runners: a dialog over any page, a page of its own without script, and its preview."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_GET, require_http_methods
from django_htmx.http import HttpResponseClientRedirect, reswap, retarget

from runners import placement, pools
from runners.errors import FleetError, InvalidRequest, NoCapacity
from runners.forms.provision import EPHEMERAL, LIFETIMES, PERSISTENT, ProvisionForm
from runners.models import Host, Label, Pool, Scope
from runners.views.guard import role_required
from runners.views.placement_preview import Placement, placement_of, pool_tiles
from runners.views.shared import DIALOG_SLOT, Context, FleetRequest, actor, wants_fragment

LABELS_SUGGESTED: Final = 100
_FIELDS: Final = (
    "pool",
    "scope",
    "labels",
    "count",
    "lifetime",
    "host",
    "name_pattern",
    "runner_group_id",
    "runner_group_name",
    "reason",
)


@role_required("operator")
@require_http_methods(["GET", "POST"])
def runner_provision(request: FleetRequest) -> HttpResponse:
    if request.method == "GET":
        among = placement.room()
        initial = _initial(request.GET, among)
        form = ProvisionForm(initial=initial)
        return _show(request, form, preview=ProvisionForm(initial), among=among)
    form = ProvisionForm(request.POST)
    if "preview" in request.POST:
        return _show(request, form, preview=form)
    if not form.is_valid():
        return _show(request, form, preview=form, status=422)
    try:
        made = pools.provision(
            form.order,
            by=actor(request),
            reason=form.cleaned_data["reason"],
            now=timezone.now(),
        )
    except FleetError as error:
        form.add_error(None, error.user_message)
        status = 422 if isinstance(error, InvalidRequest) else 409
        return _show(request, form, preview=ProvisionForm(request.POST), status=status)
    hosts = ", ".join(sorted({runner.host.name for runner in made}))
    count = f"{len(made)} runner{'s' if len(made) != 1 else ''}"
    messages.success(request, f"{count} on the way on {hosts}.")
    url = made[0].get_absolute_url() if len(made) == 1 else reverse("runner-list")
    return HttpResponseClientRedirect(url) if wants_fragment(request) else redirect(url)


@role_required("operator")
@require_GET
def runner_preview(request: FleetRequest) -> HttpResponse:
    """The placement alone, for the form as it stands."""
    context = {"placement": _placement(ProvisionForm(request.GET), placement.room())}
    return render(request, "provision/_placement.html", context)


def _show(
    request: FleetRequest,
    form: ProvisionForm,
    *,
    preview: ProvisionForm,
    among: placement.Room | None = None,
    status: int = 200,
) -> HttpResponse:
    in_dialog = wants_fragment(request)
    template = "provision/_dialog.html" if in_dialog else "provision/provision.html"
    context = {**_context(form, preview, among or placement.room()), "in_dialog": in_dialog}
    response = render(request, template, context, status=status)
    patch_vary_headers(response, ["HX-Request"])
    if in_dialog:
        return reswap(retarget(response, DIALOG_SLOT), "innerHTML")
    return response


def _context(form: ProvisionForm, preview: ProvisionForm, among: placement.Room) -> Context:
    """All of the form from one reading of the hosts: a thousand are felt when read again."""
    now = timezone.now()
    form.offer_hosts(among)
    offered = list(Pool.objects.select_related("scope").prefetch_related("labels"))
    chosen = str(form["pool"].value() or "")
    lifetime = form["lifetime"].value()
    return {
        "now": now,
        "form": form,
        "tiles": pool_tiles(offered, chosen=chosen, now=now, among=among) if offered else [],
        "lifetimes": [(value, word, value == lifetime) for value, word in LIFETIMES],
        "persistent": PERSISTENT,
        "known_labels": Label.objects.values_list("name", flat=True)[:LABELS_SUGGESTED],
        "has_scope": Scope.objects.exists(),
        "has_host": bool(among.hosts),
        "placement": _placement(preview, among),
        "advanced_open": any(
            form.errors.get(name)
            for name in ("name_pattern", "runner_group_id", "runner_group_name", "reason")
        ),
    }


def _placement(form: ProvisionForm, among: placement.Room) -> Placement | None:
    """Where the order would land; None while the form does not say enough."""
    if not form.is_valid():
        return None
    try:
        return placement_of(form.order, now=timezone.now(), among=among)
    except (InvalidRequest, NoCapacity):
        return None


def _initial(query: QueryDict, among: placement.Room) -> Mapping[str, Any]:
    """What the form begins with: the address's wishes, else the usual."""
    given = {name: query[name] for name in _FIELDS if query.get(name)}
    asked = query.get("host", "")
    hosts = [host for host in among.hosts if not asked.isdecimal() or host.pk == int(asked)]
    return {
        "scope": Scope.objects.order_by("created_at").values_list("pk", flat=True).first() or "",
        "labels": "" if given.get("pool") else _usual_labels(hosts),
        "count": 1,
        "lifetime": EPHEMERAL,
        **given,
    }


def _usual_labels(hosts: Sequence[Host]) -> str:
    kinds = {host.architecture for host in hosts if host.architecture}
    return ", ".join(["self-hosted", "linux", *(kinds if len(kinds) == 1 else ())])

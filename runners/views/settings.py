"""Settings: the way in, the enrolment codes, and the environment the dashboard was started with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.conf import settings
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from fleetui.env import Value, Variable
from runners import enrolment
from runners.errors import FleetError
from runners.models import EnrolmentCode
from runners.views.guard import role_required
from runners.views.links import list_query
from runners.views.shared import Context, FleetRequest, actor, refuse, respond

PAGE_SIZE: Final = 25
_CODES: Final = "settings/_codes.html"


@dataclass(frozen=True, slots=True)
class CodeRow:
    """One enrolment code; `open` while a machine may still use it."""

    code: EnrolmentCode
    state: str
    word: str
    open: bool


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One environment variable as it is in force; a secret's value comes masked."""

    name: str
    value: str
    source: str
    allowed: str
    help: str


@role_required("viewer")
@require_GET
def settings_index(request: FleetRequest) -> HttpResponse:
    return redirect("scope-list")


@role_required("operator")
@require_GET
def code_list(request: FleetRequest) -> HttpResponse:
    return render(request, "settings/code_list.html", _codes_context(request))


@role_required("operator")
@require_POST
def code_revoke(request: FleetRequest, pk: int) -> HttpResponse:
    code = get_object_or_404(EnrolmentCode, pk=pk)
    url = reverse("code-list")
    try:
        enrolment.revoke_code(code, by=actor(request), now=timezone.now())
    except FleetError as error:
        return refuse(request, _CODES, url, lambda: _codes_context(request), error)
    return respond(
        request, _CODES, url, lambda: _codes_context(request), said=f"{code} is revoked."
    )


@role_required("admin")
@require_GET
def environment(request: FleetRequest) -> HttpResponse:
    variables = sorted(settings.FLEET_ENVIRONMENT.declared, key=lambda each: each.name)
    context = {
        "rows": [_setting_row(variable) for variable in variables],
        "unknown": settings.FLEET_ENVIRONMENT.unknown(),
    }
    return render(request, "settings/environment.html", context)


def _codes_context(request: FleetRequest) -> Context:
    now = timezone.now()
    codes = EnrolmentCode.objects.select_related("created_by", "host")
    number = list_query(request, "code-list").get("page")
    shown = Paginator(codes, PAGE_SIZE).get_page(number)
    return {"now": now, "page": shown, "rows": [_code_row(code, now) for code in shown]}


def _code_row(code: EnrolmentCode, now: datetime) -> CodeRow:
    if code.used_at is not None:
        return CodeRow(code, "success", "Used", False)
    if code.revoked_at is not None:
        return CodeRow(code, "cancelled", "Revoked", False)
    if code.expires_at <= now:
        return CodeRow(code, "removed", "Expired unused", False)
    return CodeRow(code, "enrolling", "Waiting for a machine", True)


def _setting_row(variable: Variable) -> SettingRow:
    return SettingRow(
        name=variable.name,
        value=_shown(variable.value),
        source=variable.source,
        allowed=_allowed(variable),
        help=variable.help,
    )


def _shown(value: Value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(value) or "—"
    return str(value) or "—"


def _allowed(variable: Variable) -> str:
    if variable.choices:
        return ", ".join(variable.choices)
    if variable.minimum is not None:
        return f"{variable.minimum} to {variable.maximum} {variable.unit}".rstrip()
    return "yes or no" if variable.kind == "boolean" else ""

"""The first run: connect GitHub, add a host, provision a runner; and adding any later host.

Where a person stands is read from the tables, so that it can be left and taken up again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import reswap, retarget

from runners import connecting, enrolment, wiring
from runners.access import Role, may
from runners.connecting import CredentialRefused
from runners.errors import FleetError
from runners.forms.hosts import NewHostForm
from runners.forms.settings import ConnectForm
from runners.models import EnrolmentCode, Host, Runner, Scope
from runners.states import HostState
from runners.tokens import NewToken
from runners.views.guard import role_required
from runners.views.host_rows import about
from runners.views.shared import Context, FleetRequest, actor, wants_fragment

STEPS: Final = 3
SITES_SUGGESTED: Final = 50
_TITLES: Final = ("Connect GitHub.", "Add your first host.", "Provision a runner.")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the fleet is: what exists, and the step to take now (4 when all are done)."""

    scope: Scope | None
    host: Host | None
    runner: Runner | None

    @property
    def step(self) -> int:
        done = (self.scope is not None, self.host is not None, self.runner is not None)
        return done.index(False) + 1 if False in done else STEPS + 1


@dataclass(frozen=True, slots=True)
class Waiting:
    """A code made out for a machine, and how far that machine is."""

    code: EnrolmentCode
    state: str
    host: Host | None
    host_about: str


@role_required("operator")
@require_GET
def setup(request: FleetRequest) -> HttpResponse:
    progress = _progress()
    connect_form = ConnectForm() if may(request.user, Role.ADMIN) else None
    return _setup_page(request, progress, connect_form=connect_form, host_form=NewHostForm())


@role_required("admin")
@require_POST
def setup_github(request: FleetRequest) -> HttpResponse:
    form = ConnectForm(request.POST)
    if not form.is_valid():
        return _setup_page(request, _progress(), connect_form=form, status=422)
    web_url, new = form.cleaned_data["web_url"], form.credential_for_scope()
    try:
        with wiring.client_with(new) as github:
            new = connecting.with_installation(new, web_url, github=github)
        with wiring.client_with(new) as github:
            connection = connecting.connect(
                new,
                web_url,
                github=github,
                vault=wiring.vault(),
                by=actor(request),
                now=timezone.now(),
            )
    except CredentialRefused as error:
        return _setup_page(request, _progress(), connect_form=form, refused=error, status=422)
    except FleetError as error:
        form.add_error(None, error.user_message)
        return _setup_page(request, _progress(), connect_form=form, status=409)
    messages.success(request, f"{connection.scope.slug} is connected.")
    return redirect("setup")


@role_required("operator")
@require_http_methods(["GET", "POST"])
def host_new(request: FleetRequest) -> HttpResponse:
    """Ask what the host is to be, then show its one command; the code is in this answer only."""
    form = NewHostForm(request.POST if request.method == "POST" else None)
    in_setup = "setup" in request.POST
    if not form.is_valid():
        status = 422 if form.is_bound else 200
        if in_setup:
            return _setup_page(request, _progress(), host_form=form, status=status)
        return render(request, "hosts/host_new.html", _new_host_context(form), status=status)
    code, token = enrolment.issue_code(
        by=actor(request),
        now=timezone.now(),
        minutes=settings.FLEET_ENROLMENT_MINUTES,
        site=form.cleaned_data["site"],
        slots=form.cleaned_data["slots"],
    )
    command = join_command(token, name=form.cleaned_data["name"])
    shown = {
        "command": command,
        "waiting": _waiting(code),
        "in_setup": in_setup,
        "heartbeat_seconds": _beat(),
    }
    if in_setup:
        response = _setup_page(request, _progress(), extra=shown)
    else:
        response = render(request, "hosts/host_new.html", {**_new_host_context(form), **shown})
    patch_cache_control(response, no_store=True)
    return response


@role_required("operator")
@require_GET
def code_wait(request: FleetRequest, pk: int) -> HttpResponse:
    """How far the machine with this code is: 204 while the page already shows it.

    A machine that arrives also changes the counts, and the heading, the picture and the steps of
    the set-up.
    """
    code = get_object_or_404(EnrolmentCode.objects.select_related("host"), pk=pk)
    waiting = _waiting(code)
    if wants_fragment(request):
        if request.GET.get("shown") == waiting.state:
            return HttpResponse(status=204)
        in_setup = "setup" in request.GET
        if in_setup and waiting.state == "connected":
            moved_on = _setup_page(request, _progress(), template="onboarding/_moved_on.html")
            response = reswap(retarget(moved_on, "#setup"), "outerHTML")
        else:
            shown = {"waiting": waiting, "in_setup": in_setup, "counts": True}
            response = render(request, "onboarding/_waiting.html", shown)
        patch_vary_headers(response, ["HX-Request"])
        return response
    shown = {**_new_host_context(NewHostForm()), "waiting": waiting}
    return render(request, "hosts/host_new.html", shown)


def join_command(token: NewToken, *, name: str) -> str:
    """The line to paste on the machine; the code travels by environment, never by argument."""
    named = f" --name {quote(name)}" if name else ""
    return (
        f"FLEET_ENROLMENT_CODE={token.text} \\\n"
        f"  fleet-agent join --server {settings.FLEET_BASE_URL}{named}"
    )


def _waiting(code: EnrolmentCode) -> Waiting:
    now = timezone.now()
    host = code.host
    if host is not None:
        heard = host.state_at(now) not in (HostState.ENROLLING, HostState.RETIRED)
        return Waiting(code, "connected" if heard else "enrolled", host, about(host))
    if code.revoked_at is not None:
        return Waiting(code, "revoked", None, "")
    return Waiting(code, "expired" if code.expires_at <= now else "waiting", None, "")


def _progress() -> Progress:
    return Progress(
        scope=Scope.objects.select_related("credential").order_by("created_at").first(),
        host=Host.objects.in_service()
        .filter(last_seen_at__isnull=False)
        .order_by("enrolled_at")
        .first(),
        runner=Runner.objects.select_related("host").order_by("created_at").first(),
    )


def _setup_page(
    request: FleetRequest,
    progress: Progress,
    *,
    connect_form: ConnectForm | None = None,
    host_form: NewHostForm | None = None,
    refused: CredentialRefused | None = None,
    extra: Context | None = None,
    template: str = "onboarding/setup.html",
    status: int = 200,
) -> HttpResponse:
    step = progress.step
    context = {
        **_new_host_context(host_form or NewHostForm()),
        "progress": progress,
        "step": step,
        "steps": STEPS,
        "title": _TITLES[step - 1] if step <= STEPS else "Your fleet is ready.",
        "connect_form": connect_form,
        "refused": refused,
        "host_about": about(progress.host) if progress.host else "",
        "heartbeat_seconds": _beat(),
        **(extra or {}),
    }
    return render(request, template, context, status=status)


def _new_host_context(form: NewHostForm) -> dict[str, object]:
    sites = Host.objects.exclude(site="").order_by("site").values_list("site", flat=True)
    return {
        "now": timezone.now(),
        "form": form,
        "sites": sites.distinct()[:SITES_SUGGESTED],
        "minutes": settings.FLEET_ENROLMENT_MINUTES,
    }


def _beat() -> int:
    seconds: int = settings.FLEET_HEARTBEAT_SECONDS
    return seconds

"""What views share: the typed request, the answer to an action, and the answer to a poll.

Nothing here knows a model of the fleet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Concatenate, Final, ParamSpec

from django.contrib import messages
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils.cache import patch_vary_headers
from django_htmx.http import reswap, retarget, trigger_client_event
from django_htmx.middleware import HtmxDetails

from runners.audit import Actor
from runners.errors import FleetError
from runners.models import Event

P = ParamSpec("P")
DIALOG_SLOT: Final = "#dialog"
Context = Mapping[str, object]
VERSION_HEADER: Final = "X-Fleet-Version"


class FleetRequest(HttpRequest):
    """A request past the guards: somebody signed in, and htmx's headers parsed."""

    user: User
    htmx: HtmxDetails


def actor(request: FleetRequest) -> Actor:
    """Who acts, for the event that the action leaves behind."""
    return Actor(Event.ActorKind.USER, request.user.get_username(), request.user.pk)


def wants_fragment(request: FleetRequest) -> bool:
    """Whether htmx asked for a part of the page."""
    return bool(request.htmx) and not request.htmx.boosted


def page(
    request: FleetRequest,
    template: str,
    fragment: str,
    context: Context,
    *,
    status: int = 200,
) -> HttpResponse:
    """Render the whole page, or only its fragment when htmx asks; caches keep the two apart."""
    chosen = fragment if wants_fragment(request) else template
    response = render(request, chosen, context, status=status)
    patch_vary_headers(response, ["HX-Request"])
    return response


def respond(
    request: FleetRequest,
    fragment: str,
    redirect_to: str,
    context: Callable[[], Context],
    *,
    said: str,
    undo_url: str = "",
) -> HttpResponse:
    """Answer an action that succeeded: 302 for a plain form, fresh fragment and toast for htmx.

    `context` is called after the action, so that the fragment never shows what was loaded before
    it. `said` is the toast; `undo_url` puts an Undo button beside it, a POST to that address.
    """
    messages.success(request, said, extra_tags=undo_url)
    if not wants_fragment(request):
        return redirect(redirect_to)
    return _fragment_with_toasts(request, fragment, context(), status=200)


def refuse(
    request: FleetRequest,
    fragment: str,
    redirect_to: str,
    context: Callable[[], Context],
    error: FleetError,
) -> HttpResponse:
    """Answer an action the fleet refused, 409: a page that says why, or fragment and toast."""
    if not wants_fragment(request):
        return render(
            request,
            "refused.html",
            {"message": error.user_message, "back_url": redirect_to},
            status=409,
        )
    messages.error(request, error.user_message)
    return _fragment_with_toasts(request, fragment, context(), status=409)


def _fragment_with_toasts(
    request: FleetRequest, fragment: str, context: Context, *, status: int
) -> HttpResponse:
    body = render_to_string(fragment, dict(context), request=request)
    toasts = render_to_string("components/_toasts.html", {"out_of_band": True}, request=request)
    # After a table row the HTML parser drops forms, unless a template keeps them apart
    response = HttpResponse(f"{body}<template>{toasts}</template>", status=status)
    # What else on the page depends on the change asks for itself at once
    trigger_client_event(response, "fleet:changed", after="settle")
    patch_vary_headers(response, ["HX-Request"])
    return response


@dataclass(frozen=True, slots=True)
class Confirm:
    """A question before an action: the title asks, the text says the consequence.

    `action` is the address the form posts to, `cancel_url` where a page without script goes back;
    `target` is what htmx swaps with the answer, "" to leave the page instead.
    """

    title: str
    text: str
    button: str
    action: str
    cancel_url: str
    target: str = ""
    danger: bool = False


def ask(request: FleetRequest, confirm: Confirm, form: Form | None) -> HttpResponse:
    """Ask: in a dialog for htmx, on a page without it; 422 when the form was filled in wrong."""
    context = {"confirm": confirm, "form": form}
    wrong = form is not None and form.is_bound and not form.is_valid()
    response = page(
        request,
        "confirm_page.html",
        "components/dialog.html",
        context,
        status=422 if wrong else 200,
    )
    if wants_fragment(request):
        # Whatever the asking form meant to swap, a question belongs in the dialog's slot
        return reswap(retarget(response, DIALOG_SLOT), "innerHTML")
    return response


def version_of(*facts: object) -> str:
    """Return a short digest of whatever a live element shows, for `data-version` and `polled`."""
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def polled(
    version: Callable[Concatenate[HttpRequest, P], str],
) -> Callable[
    [Callable[Concatenate[HttpRequest, P], HttpResponseBase]],
    Callable[Concatenate[HttpRequest, P], HttpResponseBase],
]:
    """Answer 204 when the browser already shows `version(request, ...)`; outermost decorator.

    Comes before the user is loaded, so that an unchanged page costs two queries: the session and
    the version. All a 204 tells is "nothing changed", and only to a session somebody signed in to.
    """

    def decorate(
        view: Callable[Concatenate[HttpRequest, P], HttpResponseBase],
    ) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
        @wraps(view)
        def answered(
            request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs
        ) -> HttpResponseBase:
            shown = request.headers.get(VERSION_HEADER)
            if (
                shown
                and request.method == "GET"
                and SESSION_KEY in request.session
                and shown == version(request, *args, **kwargs)
            ):
                return HttpResponse(status=204)
            return view(request, *args, **kwargs)

        return answered

    return decorate

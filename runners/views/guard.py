"""The guard before every page and action: signed in, and with a role that may.

Knows requests and roles, never the fleet; what a role may see of an object is the view's job.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar, cast

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import resolve_url
from django.utils.log import log_response
from django.views.defaults import permission_denied
from django_htmx.http import HttpResponseClientRedirect

from runners.access import Role, may, role_of

P = ParamSpec("P")
# What a view asks for may be narrower than what Django hands in: FleetRequest, past this guard.
R = TypeVar("R", bound=HttpRequest)
View = Callable[Concatenate[R, P], HttpResponseBase]


def role_required(needed: str) -> Callable[[View[R, P]], View[HttpRequest, P]]:
    """Guard a view: strangers go to the sign-in page, people without the role get the 403 page."""
    role = Role(needed)

    def guard(view: View[R, P]) -> View[HttpRequest, P]:
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return _to_sign_in(request)
            if not may(request.user, role):
                return _refuse(request, role)
            return view(cast(R, request), *args, **kwargs)

        return guarded

    return guard


def _refuse(request: HttpRequest, needed: Role) -> HttpResponse:
    """Show the 403 page; logged here, in one line, because Django adds a traceback to its own."""
    response = permission_denied(request, PermissionDenied())
    held = role_of(request.user)
    log_response(
        "Refused: %s, %s, asked for %s %s, which needs the role %s.",
        request.user.get_username(),
        f"role {held.value}" if held is not None else "without a role",
        request.method or "",
        request.path,
        needed.value,
        response=response,
        request=request,
    )
    return response


def _to_sign_in(request: HttpRequest) -> HttpResponse:
    """A fragment must not become the sign-in page, so htmx is told to leave for it."""
    htmx = getattr(request, "htmx", None)
    if htmx:
        back = htmx.current_url_abs_path or resolve_url("/")
        return HttpResponseClientRedirect(redirect_to_login(back).url)
    return redirect_to_login(request.get_full_path())

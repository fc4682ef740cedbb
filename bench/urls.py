"""The product's routes and the baseline: a bare view doing one UPDATE, same middleware."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from runners import wiring
from runners.models import Host


@csrf_exempt
def bare(request: HttpRequest) -> JsonResponse:
    """One UPDATE of one row by its key, found by nothing but the number in the request."""
    Host.objects.filter(pk=int(request.GET["host"])).update(last_seen_at=wiring.now())
    return JsonResponse({"ok": True})


urlpatterns = [
    path("bench/bare", bare),
    path("", include("fleetui.urls")),
]

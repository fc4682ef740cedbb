"""The metrics, for a Prometheus server: from this machine, or with the token of the settings."""

from __future__ import annotations

import hmac
from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

import fleetui
from runners.metrics import Collector

HINT = (
    "From another machine, or through a proxy, metrics need a token: set FLEET_METRICS_TOKEN and "
    "send it as 'Authorization: Bearer ...'.\n"
)
# A proxy on this machine speaks for others, and says so in one of these.
FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_X_FORWARDED_PROTO")


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Every family of `runners.metrics` in the text format."""
    if not _may_read(request):
        answer = HttpResponse(HINT, status=401, content_type="text/plain; charset=utf-8")
        answer["WWW-Authenticate"] = 'Bearer realm="metrics"'
        return answer
    registry = CollectorRegistry()
    registry.register(Collector(now=timezone.now(), version=fleetui.__version__))
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _may_read(request: HttpRequest) -> bool:
    token = settings.FLEET_METRICS_TOKEN
    scheme, _, told = request.headers.get("Authorization", "").partition(" ")
    if token and scheme.lower() == "bearer":
        return hmac.compare_digest(told.strip().encode(), token.encode())
    return _from_this_machine(request)


def _from_this_machine(request: HttpRequest) -> bool:
    if any(name in request.META for name in FORWARDED):
        return False
    try:
        return ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False

"""System checks: mistakes of configuration that are worth a line before they cost a day."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register


@register(Tags.compatibility)
def variables_are_known(
    app_configs: Sequence[AppConfig] | None, **kwargs: object
) -> list[CheckMessage]:
    return [
        Warning(line, hint="`manage.py settings` lists every variable.", id="runners.W001")
        for line in settings.FLEET_ENVIRONMENT.unknown()
    ]


@register(Tags.security)
def public_address_fits_the_bound_one(
    app_configs: Sequence[AppConfig] | None, **kwargs: object
) -> list[CheckMessage]:
    if is_loopback(settings.FLEET_BIND):
        return []
    if not is_loopback(urlsplit(settings.FLEET_BASE_URL).hostname or ""):
        return []
    return [
        Warning(
            f"FLEET_BIND={settings.FLEET_BIND} opens the dashboard to other machines, but "
            f"FLEET_BASE_URL={settings.FLEET_BASE_URL} is an address only this machine reaches.",
            hint="Set FLEET_BASE_URL to the address that browsers and agents use.",
            id="runners.W002",
        )
    ]


@register(Tags.security, deploy=True)
def other_machines_are_served_over_https(
    app_configs: Sequence[AppConfig] | None, **kwargs: object
) -> list[CheckMessage]:
    if settings.FLEET_HTTPS or is_loopback(settings.FLEET_BIND):
        return []
    return [
        Warning(
            f"FLEET_BIND={settings.FLEET_BIND} serves sign-ins and agent tokens over plain HTTP.",
            hint="Put a reverse proxy with TLS in front and set FLEET_BASE_URL to its https "
            "address.",
            id="runners.W003",
        )
    ]


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False

"""What commands that start servers ask first: whether their ports can be had, or one clear line."""

from __future__ import annotations

from django.conf import settings
from django.core.management.base import CommandError

from fleetui.env import CONFIGURATION_EXIT_CODE
from runners import ports
from runners.management.cli import ExitCode


def require_web_port() -> None:
    """Return when FLEET_BIND and PORT can be listened on.

    Raises CommandError: 1 for a taken port, which may be free later, and 78 for an address this
    machine does not have, so that no supervisor tries it for ever.
    """
    require_port(settings.PORT, "PORT", address=settings.FLEET_BIND)


def require_port(port: int, port_name: str, *, address: str = "127.0.0.1") -> None:
    """The same for any port; `port_name` is the setting that says it."""
    try:
        ports.require_free(address, port, port_name=port_name, address_name="FLEET_BIND")
    except ports.PortTaken as error:
        raise CommandError(error.user_message, returncode=ExitCode.REFUSED) from error
    except ports.NoSuchAddress as error:
        raise CommandError(error.user_message, returncode=CONFIGURATION_EXIT_CODE) from error

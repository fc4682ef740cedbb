"""Whether the dashboard can listen where it is told to, asked before anything is started.

Says it in one line that names the setting. Knows nothing of Django.
"""

from __future__ import annotations

import errno
import socket
from contextlib import closing

from runners.errors import FleetError


class PortTaken(FleetError):
    """Somebody listens there already, or the port is not ours to take: another one may do."""


class NoSuchAddress(FleetError):
    """This machine has no such address, now or when tried again."""


def require_free(address: str, port: int, *, port_name: str, address_name: str) -> None:
    """Return when a server could listen on `address` and `port` now.

    Raises PortTaken or NoSuchAddress, whose words name the setting: `port_name` or `address_name`.
    """
    for family, place in _places(address, port, address_name):
        with closing(socket.socket(family)) as probe:
            # As gunicorn does: what only lingers from an earlier run is no hindrance.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(place)
                probe.listen(1)
            except OSError as error:
                raise _refusal(error, address, port, port_name, address_name) from error


def _places(address: str, port: int, address_name: str) -> list[tuple[int, tuple[str, int]]]:
    try:
        found = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )
    except (OSError, UnicodeError) as error:
        raise NoSuchAddress(
            f"{address_name}: {address!r} is neither an address nor a name of this machine."
        ) from error
    family, _, _, _, place = found[0]
    return [(family, (str(place[0]), port))]


def _refusal(
    error: OSError, address: str, port: int, port_name: str, address_name: str
) -> FleetError:
    if error.errno == errno.EADDRINUSE:
        return PortTaken(f"Port {port} is taken: set {port_name} to another one.")
    if error.errno == errno.EACCES:
        return PortTaken(
            f"Port {port} is for programs of the administrator: set {port_name} to one above 1023."
        )
    return NoSuchAddress(f"{address_name}: this machine has no address {address!r} to listen on.")

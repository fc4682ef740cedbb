"""Firewall rules for what jobs may reach: everything refused but what is named, as nftables text.

The rules concern the slots' users only, so that the host's own traffic goes on. Names are resolved
when the rules are made; make them again now and then, as addresses change. The text is read by
``nft -f``: loaded twice it replaces itself.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from .errors import AgentError

TABLE = "fleet_agent"
# Where clouds tell a machine its own credentials.
METADATA = ("169.254.169.254", "169.254.170.2", "100.100.100.200", "fd00:ec2::254")
HTTPS = 443
DNS = 53
# What GitHub's runner needs at least (docs: Self-hosted runners reference, communication).
GITHUB = (
    "github.com",
    "api.github.com",
    "codeload.github.com",
    "objects.githubusercontent.com",
    "release-assets.githubusercontent.com",
    "results-receiver.actions.githubusercontent.com",
    "pipelines.actions.githubusercontent.com",
    "ghcr.io",
)
PLAIN_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")


@dataclass(frozen=True)
class Destination:
    """A host, as name, address or network, and the port that may be reached there."""

    host: str
    port: int = HTTPS


def parse_destination(text: str) -> Destination:
    """Read ``host``, ``host:port``, ``[v6]:port``, a network or an address of a web server."""
    try:
        if "://" in text:
            parts = urlsplit(text)
            default = HTTPS if parts.scheme == "https" else 80
            host, port = parts.hostname or "", parts.port or default
        elif is_network(text):
            host, port = text, HTTPS
        else:
            parts = urlsplit(f"//{text}")
            host, port = parts.hostname or "", parts.port or HTTPS
    except ValueError:
        host, port = "", 0
    if not (is_network(host) or PLAIN_NAME.fullmatch(host)):
        raise AgentError(f"{text!r} is no host, network or address such as proxy.example.org:3128")
    return Destination(host, port)


def is_network(text: str) -> bool:
    """Return whether this is an address or a network in numbers."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def addresses_of(name: str) -> list[str]:
    """Return the addresses of a name; raises AgentError."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError as err:
        raise AgentError(f"{name} has no address: check the name and this host's DNS") from err
    return sorted({str(entry[4][0]).partition("%")[0] for entry in found})


def egress_rules(
    uids: tuple[int, int],
    allowed: Iterable[Destination],
    resolvers: Sequence[str],
    resolve: Callable[[str], list[str]] = addresses_of,
) -> str:
    """Return the rules for the users from the first to the last id, both included."""
    names = [
        f"    {family(resolver)} daddr {resolver} meta l4proto {{ tcp, udp }} th dport {DNS} accept"
        for resolver in dict.fromkeys(resolvers)
    ]
    lines = []
    for destination in dict.fromkeys(allowed):
        numbers = [destination.host] if is_network(destination.host) else resolve(destination.host)
        lines.append(f"    # {destination.host}")
        lines += [
            f"    {family(number)} daddr {number} tcp dport {destination.port} accept"
            for number in numbers
        ]
    refused = [f"    {family(number)} daddr {number} reject" for number in METADATA]
    first, last = uids
    return "\n".join(
        [
            f"# What the users {first}-{last}, as whom jobs run, may reach. Load with: nft -f FILE",
            f"table inet {TABLE}",
            f"delete table inet {TABLE}",
            f"table inet {TABLE} {{",
            "  chain jobs {",
            '    oifname "lo" accept',
            "    ct state established,related accept",
            # First, as some clouds resolve names at the very address they tell credentials at.
            *names,
            *refused,
            *lines,
            "    reject",
            "  }",
            "  chain output {",
            "    type filter hook output priority filter; policy accept;",
            f"    meta skuid {first}-{last} jump jobs",
            "  }",
            "}",
            "",
        ]
    )


def family(number: str) -> str:
    """Return nftables' word for the protocol of an address or network."""
    return "ip6" if ipaddress.ip_network(number, strict=False).version == 6 else "ip"


def resolvers_of(text: str) -> list[str]:
    """Return the name servers of a ``resolv.conf`` that are not on this machine."""
    found = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) > 1 and fields[0] == "nameserver" and is_network(fields[1]):
            address = fields[1].partition("%")[0]
            if not ipaddress.ip_address(address).is_loopback:
                found.append(address)
    return found

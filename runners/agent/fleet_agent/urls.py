"""Which addresses the agent talks to: HTTPS anywhere, plain HTTP on this machine only."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from .errors import AgentError


class UnsafeUrl(AgentError):
    """The address would send or fetch things in the clear, or is no address at all."""


def require_safe_url(url: str, what: str) -> str:
    """Return ``url`` if it is HTTPS, or HTTP to a loopback address; raise UnsafeUrl otherwise."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host:
        raise UnsafeUrl(f"{what} must look like https://fleet.example.org")
    if parts.username or parts.password:
        raise UnsafeUrl(f"{what} must not hold a user name or password")
    if parts.scheme == "http" and not is_loopback(host):
        raise UnsafeUrl(f"{what} uses plain HTTP to {host}: use https://")
    return url


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this very machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

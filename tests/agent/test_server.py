"""The HTTP client: what it trusts, what it refuses, and what it calls an error."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet_agent.errors import AgentError
from fleet_agent.server import (
    ProtocolTooOld,
    Refused,
    Retired,
    Server,
    ServerUnavailable,
    Unauthorised,
)
from fleet_agent.urls import UnsafeUrl, require_safe_url

from tests.agent.dashboard import TOKEN, Dashboard


def beat(dashboard: Dashboard, token: str = TOKEN) -> Server:
    """A client that has sent one heartbeat."""
    server = Server(dashboard.url, token)
    server.heartbeat({"wanted_version": None, "journal": [], "slots": []})
    return server


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Refused),
        (401, Unauthorised),
        (409, Refused),
        (410, Retired),
        (426, ProtocolTooOld),
        (429, ServerUnavailable),
        (500, ServerUnavailable),
        (503, ServerUnavailable),
    ],
)
def test_refusal_becomes_its_own_error(
    dashboard: Dashboard, status: int, kind: type[AgentError]
) -> None:
    dashboard.answers["heartbeat"] = (status, {"errors": ["Because."]})
    with pytest.raises(kind, match="Because"):
        beat(dashboard)


def test_401_of_something_in_between_is_no_verdict(dashboard: Dashboard) -> None:
    dashboard.answers["heartbeat"] = (401, {"ok": None, "errors": "a proxy's page"})
    with pytest.raises(ServerUnavailable):
        beat(dashboard)


def test_wait_the_server_asks_for_is_kept(dashboard: Dashboard) -> None:
    dashboard.answers["heartbeat"] = (503, {"errors": ["Later."], "retry_after_seconds": 7})
    with pytest.raises(ServerUnavailable) as caught:
        beat(dashboard)
    assert caught.value.retry_after_seconds == 7


def test_server_that_is_not_there_is_unavailable() -> None:
    with Dashboard() as dashboard:
        server = Server(dashboard.url, TOKEN)
    with pytest.raises(ServerUnavailable, match="cannot be reached"):
        server.jit_config(12)


def test_token_is_not_overridden_by_a_netrc_file(
    dashboard: Dashboard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password something\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    beat(dashboard)
    assert dashboard.tokens_seen == [TOKEN]


def test_token_is_in_no_representation_or_error(dashboard: Dashboard) -> None:
    server = Server(dashboard.url, TOKEN)
    dashboard.answers["heartbeat"] = (400, {"errors": [f"bad token {TOKEN}"]})
    with pytest.raises(Refused) as caught:
        beat(dashboard)
    assert TOKEN not in repr(server) + str(caught.value)


@pytest.mark.parametrize("ahead_seconds", [0.0, 3600.0, -3600.0])
def test_clock_skew_is_measured(dashboard: Dashboard, ahead_seconds: float) -> None:
    dashboard.clock_ahead_seconds = -ahead_seconds
    skew = beat(dashboard).clock_skew_seconds
    assert skew is not None
    assert abs(skew - ahead_seconds) < 60


def test_missing_certificate_file_is_named() -> None:
    with pytest.raises(AgentError, match="does not exist"):
        Server("https://fleet.example.org", ca_file="/nowhere/ca.pem")


def test_downloads_from_the_server_itself_use_its_certificates(tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text("")
    server = Server("https://fleet.example.org", ca_file=str(ca_file))
    assert server.verify_for("https://fleet.example.org/packages/x") == str(ca_file)
    assert server.verify_for("https://github.com/x") is True
    assert server.verify_for("https://fleet.example.org.evil.example/x") is True


@pytest.mark.parametrize(
    "url",
    ["https://fleet.example.org", "http://127.0.0.1:8000", "http://localhost", "http://[::1]:1"],
)
def test_safe_address_is_taken(url: str) -> None:
    assert require_safe_url(url, "it") == url


@pytest.mark.parametrize(
    "url",
    [
        "http://fleet.example.org",
        "http://10.0.0.1",
        "http://localhost.example.org",
        "ftp://fleet.example.org",
        "fleet.example.org",
        "https://",
        "https://user:secret@fleet.example.org",
        "file:///etc/passwd",
        "",
    ],
)
def test_unsafe_address_is_refused_without_repeating_secrets(url: str) -> None:
    with pytest.raises(UnsafeUrl) as caught:
        require_safe_url(url, "the server's address")
    assert "secret" not in str(caught.value)

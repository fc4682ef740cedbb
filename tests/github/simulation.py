"""Steering the simulator from the client's tests."""

from __future__ import annotations

from typing import Any

import requests

from runners.github.auth import AppAuth, TokenAuth
from runners.simulator import Simulator


def steer(sim: Simulator, method: str, path: str, body: dict[str, Any]) -> None:
    """Use the simulator's control API."""
    requests.request(method, f"{sim.url}/_sim/{path}", json=body, timeout=10).raise_for_status()


def add_runners(sim: Simulator, count: int) -> None:
    """Register runners with organization acme."""
    steer(sim, "POST", "runners", {"scope": "orgs/acme", "count": count, "prefix": "box"})


def app(sim: Simulator, **wishes: Any) -> AppAuth:
    """A GitHub App installed on acme; keys are those of `POST /_sim/apps`."""
    made: dict[str, Any] = sim.add_app({"account": "acme", **wishes})
    return AppAuth(made["client_id"], made["private_key"], made["installation_id"])


def token(sim: Simulator, kind: str, **rights: Any) -> TokenAuth:
    """A token; keys are those of `POST /_sim/tokens`."""
    return TokenAuth(sim.mint_token({"kind": kind, **rights}))

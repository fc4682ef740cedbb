"""The status file: what the running agent says of itself to whoever is on the host."""

from __future__ import annotations

import json
from typing import TypedDict

from .config import StateDir, write_whole
from .wire import SlotReport

STATES = ("starting", "connected", "retrying", "unauthorised", "too old", "retired", "stopped")


class Status(TypedDict):
    """``state`` is one of STATES; ``last_heartbeat_at`` the last one the server took."""

    state: str
    agent_version: str
    server_url: str
    host_name: str
    pid: int
    at: str
    last_heartbeat_at: str | None
    last_error: str
    slots: list[SlotReport]


def write_status(state_dir: StateDir, status: Status) -> None:
    """Replace the status file; without the disk space for it the old one stays."""
    try:
        write_whole(state_dir.status_file, json.dumps(status, indent=2) + "\n", durable=False)
    except OSError:
        return


def read_status(state_dir: StateDir) -> dict[str, object]:
    """Return the last status and whether its agent runs now (``running``)."""
    try:
        status = json.loads(state_dir.status_file.read_text("utf-8"))
    except (OSError, ValueError):
        status = {}
    if not isinstance(status, dict):
        status = {}
    return {**status, "running": state_dir.is_locked()}

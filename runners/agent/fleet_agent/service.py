"""A systemd unit for the agent.

``KillMode=process``: systemd signals the agent only. With ``mixed`` or the default it would kill
what is left in the unit's control group once the agent is gone, and those are the runners, which
are to go on and be adopted by the next start.
"""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from pathlib import Path

from .config import write_whole
from .errors import AgentError

UNIT_NAME = "fleet-agent.service"
UNIT_DIRECTORY = Path("/etc/systemd/system")

UNIT = """\
[Unit]
Description=Fleetui host agent
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
User={user}
ExecStart={python} -m fleet_agent run --state-dir {state_dir}
Restart=always
RestartSec=5
# Retired hosts end with 0 and stay down.
RestartPreventExitStatus=0
# Runners outlive the agent and are adopted by its next start.
KillMode=process
KillSignal=SIGTERM
TimeoutStopSec=30
# A job that runs out of memory must not take the agent and its other runners along.
OOMPolicy=continue
OOMScoreAdjust=-100
Delegate=yes
UMask=0077

[Install]
WantedBy=multi-user.target
"""


def unit_text(state_dir: Path, user: str | None) -> str:
    """Return the unit file for an agent with this state directory."""
    return UNIT.format(
        user=user or getpass.getuser(),
        python=sys.executable,
        state_dir=quote(str(state_dir.absolute())),
    )


def quote(path: str) -> str:
    """Return a path as one systemd argument; refuse what no path should hold."""
    if any(ord(character) < 32 for character in path):
        raise AgentError("the state directory's name holds control characters")
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if " " in escaped else escaped


def install_unit(text: str) -> str:
    """Write the unit, enable and start it; returns what was done. Raises AgentError."""
    if os.geteuid() != 0:
        raise AgentError("installing a system unit needs root: run it with sudo")
    if not Path("/run/systemd/system").is_dir():
        raise AgentError(
            "this machine is not run by systemd: start `fleet-agent run` from its own supervisor"
        )
    path = UNIT_DIRECTORY / UNIT_NAME
    write_whole(path, text)
    path.chmod(0o644)
    for command in (["daemon-reload"], ["enable", "--now", UNIT_NAME]):
        done = subprocess.run(["systemctl", *command], capture_output=True, text=True)
        if done.returncode != 0:
            raise AgentError(f"systemctl {command[0]} failed: {done.stderr.strip()[:200]}")
    return f"installed {path} and started it"

"""The systemd unit: what it must say, by systemd's own judgement where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from fleet_agent.backoff import Backoff
from fleet_agent.errors import AgentError
from fleet_agent.service import install_unit, unit_text


def test_unit_leaves_runners_to_the_next_start() -> None:
    lines = unit_text(Path("/var/lib/fleet-agent"), "ci").splitlines()
    assert "KillMode=process" in lines
    assert "User=ci" in lines
    assert any(line.endswith("run --state-dir /var/lib/fleet-agent") for line in lines)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing")
@pytest.mark.parametrize("folder", ["/var/lib/fleet-agent", "/srv/fleet agent/100%"])
def test_unit_is_sound_to_systemd(tmp_path: Path, folder: str) -> None:
    unit = tmp_path / "fleet-agent.service"
    unit.write_text(unit_text(Path(folder), "root"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "fleet-agent.service" not in done.stderr


def test_state_directory_with_control_characters_is_refused() -> None:
    with pytest.raises(AgentError, match="control characters"):
        unit_text(Path("/srv/a\nExecStartPre=/bin/evil"), "ci")


@pytest.mark.skipif(Path("/run/systemd/system").is_dir(), reason="this machine runs systemd")
def test_installing_where_systemd_does_not_run_says_what_to_do() -> None:
    with pytest.raises(AgentError, match="root" if os.geteuid() else "supervisor"):
        install_unit("[Unit]\n")


def test_waits_double_to_their_limit_and_start_over() -> None:
    backoff = Backoff(1.0, 60.0, jitter=False)
    assert [backoff.next_seconds() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    backoff.reset()
    assert backoff.next_seconds() == 1


def test_jitter_stays_between_half_and_the_whole() -> None:
    waits = [Backoff(10.0, 60.0).next_seconds() for _ in range(200)]
    assert min(waits) >= 5
    assert max(waits) <= 10
    assert len(set(waits)) > 100

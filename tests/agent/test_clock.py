"""The host's clock jumps by an hour: every wait goes by the time that passed, not by the clock."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from fleet_agent import __file__ as agent_package

from tests.agent.dashboard import Dashboard
from tests.agent.machine import AGENT_FOLDER, Machine
from tests.agent.patience import until

# Where the clock may be read, and what for; everything else that waits or compares must not.
READS_THE_CLOCK = {
    "wire.py": "times that are told",
    "keeper.py": "times that are told",
    "server.py": "how far this clock is off",
    "crew.py": "the age of packages, whose files carry the clock's times",
}
CLOCK = {("time", "time"), ("datetime", "now"), ("datetime", "utcnow"), ("time", "gmtime")}
# Read by every Python that starts with this folder on its path.
JUMPING_CLOCK = """
import datetime, pathlib, time
real_time, real_datetime = time.time, datetime.datetime

def offset():
    try:
        return float(pathlib.Path({path!r}).read_text() or 0)
    except OSError:
        return 0.0

class Jumping(real_datetime):
    @classmethod
    def now(cls, tz=None):
        return real_datetime.now(tz) + datetime.timedelta(seconds=offset())

time.time = lambda: real_time() + offset()
datetime.datetime = Jumping
"""


def test_clock_is_read_only_to_be_told() -> None:
    found = set()
    for path in Path(agent_package).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
                continue
            if (node.value.id, node.attr) in CLOCK:
                found.add(path.name)
    assert found == set(READS_THE_CLOCK)


@pytest.mark.parametrize("jump_seconds", [3600, -3600])
def test_jump_of_the_clock_moves_nothing_but_the_times_told(
    fleet: Dashboard, machine: Machine, tmp_path: Path, jump_seconds: int
) -> None:
    offset = tmp_path / "offset"
    (tmp_path / "sitecustomize.py").write_text(JUMPING_CLOCK.format(path=str(offset)))
    machine.environment["PYTHONPATH"] = f"{tmp_path}:{AGENT_FOLDER}"
    machine.join(fleet)
    fleet.want(12)
    until(lambda: fleet.phase(12) == "listening", "listening")
    before = fleet.slot(12)
    at = fleet.heartbeats[-1]["at"]
    offset.write_text(str(jump_seconds))
    until(lambda: abs(hours(fleet.heartbeats[-1]["at"]) - hours(at)) in (1, 23), "the new time")
    heard = len(fleet.heartbeats)
    until(lambda: len(fleet.heartbeats) > heard + 3, "heartbeats at their usual pace")
    until(lambda: abs(abs(told_skew(fleet)) - 3600) < 60, "the jump told")
    after = fleet.slot(12)
    same = ("pid", "phase", "process_started_at", "exit_code")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    fleet.want(12, wanted="stop")
    until(lambda: fleet.phase(12) == "gone", "gone")


def told_skew(fleet: Dashboard) -> float:
    """Return the last skew of a clock that was told."""
    facts = [body["facts"] for body in list(fleet.heartbeats) if "facts" in body]
    return float(facts[-1]["clock_skew_seconds"] or 0)


def hours(at: str) -> int:
    """Return the hour of a time as it was told."""
    return int(at[11:13])

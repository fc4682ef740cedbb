"""The short answer to a heartbeat that said nothing new: the agent keeps the set it holds."""

from __future__ import annotations

from tests.agent.dashboard import Dashboard
from tests.agent.machine import Machine
from tests.agent.patience import until
from tests.agent.shapes import example


def test_null_wanted_set_keeps_every_runner(fleet: Dashboard, machine: Machine) -> None:
    machine.join(fleet)
    fleet.want(12)
    until(lambda: fleet.phase(12) == "listening", "the runner")
    short = example("heartbeat.unchanged.response.json") | {
        "version": fleet.version,
        "next_seconds": 0.3,
    }
    fleet.answers["/api/agent/heartbeat"] = (200, short)
    before = len(fleet.heartbeats)
    until(lambda: len(fleet.heartbeats) > before + 2, "heartbeats with short answers")
    assert fleet.phase(12) == "listening"
    assert fleet.heartbeats[-1]["wanted_version"] == fleet.version
    fleet.answers.clear()
    fleet.want(12, wanted="stop")
    until(lambda: fleet.phase(12) in ("stopping", "gone"), "the stop after the short answers")

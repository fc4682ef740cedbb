"""The short answer to a heartbeat that said nothing new: the agent keeps the set it holds."""

from __future__ import annotations

from runners.simulator import Simulator
from tests.agent.dashboard import Dashboard
from tests.agent.machine import Machine
from tests.agent.patience import until


def test_null_wanted_set_keeps_every_runner(fleet: Dashboard, machine: Machine) -> None:
    fleet.short_answers = True
    machine.join(fleet)
    fleet.want(12)
    until(lambda: fleet.phase(12) == "listening", "the runner")
    before = len(fleet.heartbeats)
    until(lambda: len(fleet.heartbeats) > before + 3, "heartbeats with short answers")
    assert fleet.phase(12) == "listening"
    assert fleet.heartbeats[-1]["wanted_version"] == fleet.version
    fleet.want(12, wanted="stop")
    until(lambda: fleet.phase(12) == "gone", "the stop after the short answers")


def test_ended_runner_is_forgotten_under_short_answers_too(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    fleet.short_answers = True
    machine.join(fleet)
    fleet.want(12)
    until(lambda: fleet.phase(12) == "listening", "the runner")
    fleet.unwant(12)
    until(lambda: fleet.heartbeats[-1]["wanted_version"] == fleet.version, "the empty set")
    github.queue_job(labels=("runner-12",))
    until(lambda: "exited" in fleet.kinds(12), "the end of the runner")
    until(lambda: fleet.slot(12) == {}, "the runner to be forgotten")

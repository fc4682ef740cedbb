"""Runners through the agent, on real processes: one job, stop, force, flood, re-adoption."""

from __future__ import annotations

from runners.simulator import Simulator
from tests.agent.dashboard import Dashboard
from tests.agent.machine import Machine
from tests.agent.patience import until


def test_jit_runner_takes_one_job_and_is_wiped(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    machine.join(fleet)
    fleet.want(12)
    until(lambda: fleet.phase(12) == "listening", "listening")
    job = github.queue_job(labels=("runner-12",), steps=("echo hello from the job",))
    until(lambda: fleet.phase(12) == "exited", "the end of the runner")
    assert job.conclusion == "success"
    assert fleet.slot(12)["exit_code"] == 0
    assert {"job-started", "job-completed", "exited"} <= set(fleet.kinds(12))
    until(lambda: not (machine.slot_path(12) / "runner").exists(), "the wipe")
    assert "Listening for Jobs" in fleet.logs[12]

"""Persistent runners: configured once through the environment, restarted with back-off, wiped."""

from __future__ import annotations

import os
import signal

from fleet_agent.slot_directory import SlotDirectory

from runners.simulator import Simulator
from tests.agent.dashboard import Dashboard
from tests.agent.machine import Machine
from tests.agent.patience import until


def listening(fleet: Dashboard, machine: Machine) -> None:
    """Bring up an agent and one persistent runner."""
    machine.join(fleet)
    fleet.want(12, mode="persistent")
    until(lambda: fleet.phase(12) == "listening", "listening")


def test_persistent_runner_is_registered_and_takes_several_jobs(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    listening(fleet, machine)
    jobs = [github.queue_job(labels=("self-hosted", "runner-12")) for _ in range(3)]
    until(lambda: all(job.conclusion == "success" for job in jobs), "three jobs")
    until(lambda: fleet.kinds(12).count("job-completed") == 3, "three ends told")
    assert fleet.phase(12) in ("listening", "busy")


def test_persistent_runner_carries_the_labels_asked_for(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    listening(fleet, machine)
    runner = next(r for r in github.world.store.runners.values() if r.name == "forge-0012")
    labels = {label.name.lower() for label in runner.labels}
    assert labels == {"self-hosted", "linux", "x64", "runner-12"}


def test_registration_token_is_in_no_argument_or_file(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    listening(fleet, machine)
    [token] = fleet.secrets
    files = [path for path in machine.state.rglob("*") if path.is_file()]
    assert not [path for path in files if token.encode() in path.read_bytes()]
    assert token not in machine.log.read_text()


def test_crashed_persistent_runner_restarts_with_its_configuration(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    listening(fleet, machine)
    first = fleet.slot(12)["pid"]
    os.kill(first, signal.SIGKILL)
    until(lambda: "exited" in fleet.kinds(12), "the crash to be told")
    # Not until it listens: GitHub keeps the dead one's session for a while.
    until(lambda: fleet.slot(12)["pid"] not in (None, first), "another process")
    assert fleet.requests.count("runners/12/registration") == 1


def test_stopped_persistent_runner_leaves_no_credential(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    listening(fleet, machine)
    files = SlotDirectory(machine.slot_path(12)).files
    assert (files / ".credentials").exists()
    fleet.want(12, wanted="stop")
    until(lambda: fleet.phase(12) == "gone", "gone")
    assert not files.exists()
    assert not (machine.slot_path(12) / "runner").exists()


def test_configured_runner_survives_a_restart_of_the_agent_while_it_is_down(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    listening(fleet, machine)
    first = fleet.slot(12)["pid"]
    machine.kill()
    for pid in machine.marked_processes():
        os.kill(pid, signal.SIGKILL)
    machine.start()
    until(lambda: "exited" in fleet.kinds(12), "the end to be told")
    until(lambda: fleet.slot(12)["pid"] not in (None, first), "another process")
    assert fleet.requests.count("runners/12/registration") == 1


def test_refused_registration_is_told_in_config_shs_words(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    registration = {
        "ok": True,
        "url": f"{github.url}/acme",
        "token": "AEXPIREDEXPIREDEXPIREDEXPIRED",
        "expires_at": "2026-11-23T20:05:00.000000Z",
        "name": "forge-0012",
        "labels": ["self-hosted"],
        "runner_group": "Default",
        "ephemeral": False,
        "work_folder": "_work",
    }
    fleet.answers["runners/12/registration"] = (200, registration)
    machine.join(fleet)
    fleet.want(12, mode="persistent")
    until(lambda: fleet.phase(12) == "failed", "the failure")
    assert "config.sh ended with" in fleet.slot(12)["reason"]
    assert "AEXPIRED" not in str(fleet.heartbeats)
    until(lambda: not (machine.slot_path(12) / "runner").exists(), "the wipe")


def test_deprecated_version_is_named_and_not_restarted(
    github: Simulator, fleet: Dashboard, machine: Machine
) -> None:
    listening(fleet, machine)
    github.queue_job(labels=("runner-12",), misbehave="deprecated")
    until(lambda: fleet.phase(12) == "exited", "the end of the runner")
    assert fleet.slot(12)["exit_code"] == 7
    assert "version deprecated" in fleet.slot(12)["reason"]
    heard = len(fleet.heartbeats)
    until(lambda: len(fleet.heartbeats) > heard + 8, "more heartbeats")
    assert fleet.phases(12)[-1] == "exited"

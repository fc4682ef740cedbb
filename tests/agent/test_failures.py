"""Runners that cannot be started: what is tried again, what is told, and that nothing is left."""

from __future__ import annotations

import pytest

from tests.agent.dashboard import Dashboard
from tests.agent.machine import Machine
from tests.agent.patience import until


@pytest.mark.parametrize("status", [404, 409])
def test_refused_jit_config_fails_in_the_servers_words(
    dashboard: Dashboard, machine: Machine, status: int
) -> None:
    dashboard.answers["runners/12/jit-config"] = (status, {"errors": ["Not wanted any more."]})
    machine.join(dashboard)
    dashboard.want(12)
    until(lambda: dashboard.phase(12) == "failed", "the failure")
    assert dashboard.slot(12)["reason"] == "Not wanted any more."
    assert "failed" in dashboard.kinds(12)
    until(lambda: not (machine.slot_path(12) / "runner").exists(), "the wipe")


@pytest.mark.parametrize("status", [502, 503])
def test_github_being_away_is_waited_for(fleet: Dashboard, machine: Machine, status: int) -> None:
    answer = {"errors": ["GitHub is away."], "retry_after_seconds": 1}
    fleet.answers["runners/12/jit-config"] = (status, answer)
    machine.join(fleet)
    fleet.want(12)
    until(lambda: fleet.slot(12).get("reason") == "GitHub is away.", "the reason")
    assert fleet.phase(12) == "registering"
    del fleet.answers["runners/12/jit-config"]
    until(lambda: fleet.phase(12) == "listening", "listening")
    assert fleet.slot(12)["reason"] == ""


def test_download_that_fails_is_told_and_tried_again(fleet: Dashboard, machine: Machine) -> None:
    machine.join(fleet)
    package = fleet.package()
    [(path, content)] = fleet.files.items()
    fleet.files.clear()
    fleet.want(12, package=package)
    until(lambda: "404" in fleet.slot(12).get("reason", ""), "the reason")
    assert fleet.phase(12) == "fetching"
    fleet.files[path] = content
    until(lambda: fleet.phase(12) == "listening", "listening")


def test_package_with_another_digest_fails(dashboard: Dashboard, machine: Machine) -> None:
    machine.join(dashboard)
    dashboard.want(12, package=dashboard.package() | {"sha256": "0" * 64})
    until(lambda: dashboard.phase(12) == "failed", "the failure")
    assert "SHA-256 differs" in dashboard.slot(12)["reason"]
    assert list((machine.state / "packages").iterdir()) == []


def test_package_for_another_machine_fails(dashboard: Dashboard, machine: Machine) -> None:
    machine.join(dashboard)
    dashboard.want(12, package=dashboard.package() | {"architecture": "s390x"})
    until(lambda: dashboard.phase(12) == "failed", "the failure")
    assert "the package is for linux s390x" in dashboard.slot(12)["reason"]


def test_no_package_fails(dashboard: Dashboard, machine: Machine) -> None:
    machine.join(dashboard)
    dashboard.want(12, package=None)
    until(lambda: dashboard.phase(12) == "failed", "the failure")
    assert "named no runner package" in dashboard.slot(12)["reason"]


@pytest.mark.parametrize("folder", ["/etc", "../other", "bin", "", "a/../../b"])
def test_work_folder_outside_the_slot_fails(
    dashboard: Dashboard, machine: Machine, folder: str
) -> None:
    machine.join(dashboard)
    dashboard.want(12, work_folder=folder)
    until(lambda: dashboard.phase(12) == "failed", "the failure")
    assert "work folder" in dashboard.slot(12)["reason"]


def test_failed_runner_told_to_stop_is_gone(dashboard: Dashboard, machine: Machine) -> None:
    machine.join(dashboard)
    dashboard.want(12, package=None)
    until(lambda: dashboard.phase(12) == "failed", "the failure")
    dashboard.want(12, wanted="stop")
    until(lambda: dashboard.phase(12) == "gone", "gone")
    dashboard.unwant(12)
    until(lambda: not machine.slot_path(12).exists(), "the slot's directory to go")


def test_stop_while_github_is_away_is_obeyed(fleet: Dashboard, machine: Machine) -> None:
    fleet.answers["runners/12/jit-config"] = (502, {"errors": ["GitHub is away."]})
    machine.join(fleet)
    fleet.want(12)
    until(lambda: fleet.phase(12) == "registering", "registering")
    fleet.want(12, wanted="stop")
    until(lambda: fleet.phase(12) == "gone", "gone")
    assert fleet.github_ids == {}


def test_stopped_runner_wanted_again_is_made_anew(fleet: Dashboard, machine: Machine) -> None:
    machine.join(fleet)
    fleet.want(12)
    until(lambda: fleet.phase(12) == "listening", "listening")
    fleet.want(12, wanted="stop")
    until(lambda: fleet.phase(12) == "gone", "gone")
    fleet.want(12, wanted="run", name="forge-again")
    until(lambda: fleet.phase(12) == "listening", "listening again")

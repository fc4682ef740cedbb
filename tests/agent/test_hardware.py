"""What looks after the machine beside the loop: it tells what it saw last, and never breaks it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from fleet_agent import hardware
from fleet_agent.gpu import Survey
from fleet_agent.hardware import Hardware
from fleet_agent.preflight import Places
from fleet_agent.server import Server
from fleet_agent.verdict import Check, Verdict, check

from tests.agent.gpu_machines import WITH_GPU, make_sysfs
from tests.agent.test_gpu import FakePrograms


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hardware:
    """A cloud machine with two L4, of which the dashboard can not be reached."""
    monkeypatch.setattr(hardware, "find_emulations", list)
    sysfs = make_sysfs(tmp_path / "sys", WITH_GPU[2].devices)
    found = Hardware(Server("http://127.0.0.1:9"), tmp_path, Places(tmp_path, sysfs_root=sysfs))
    found.surveyor.programs = FakePrograms(WITH_GPU[2].programs)
    return found


def test_what_was_seen_goes_into_every_heartbeat(machine: Hardware) -> None:
    machine.latency.measure = lambda url: 42.0
    machine.latency.watch("https://github.com")
    machine.look(0.0)
    told = machine.measured()
    assert [one["id"] for one in told["gpus"]] == ["GPU-1", "GPU-2"]
    assert told["github"]["p95_ms"] == 42.0
    keys = [one["key"] for one in machine.checks]
    assert {"cpus", "network", "clock", "github", "cuda.driver"} <= set(keys)


def test_machine_without_anything_to_measure_tells_nothing_more(machine: Hardware) -> None:
    machine.survey = Survey([], [], "none")
    assert machine.measured() == {}


def test_checks_are_made_again_after_a_while_only(
    machine: Hardware, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []

    def count(*_: object) -> list[Check]:
        counted.append(1)
        return [check("x", Verdict.GOOD, "fine")]

    monkeypatch.setattr(hardware, "all_checks", count)
    for now in (0.0, 60.0, 599.0, 600.0):
        machine.look(now)
    assert len(counted) == 2


def test_costly_measures_wait_for_the_second_look_and_a_break_ends_nothing(
    machine: Hardware, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    stopping = threading.Event()

    def look(now: float) -> None:
        done.append("look")
        if done.count("look") == 1:
            raise RuntimeError("a broken driver")
        if done.count("look") == 3:
            stopping.set()

    monkeypatch.setattr(hardware, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(machine, "look", look)
    monkeypatch.setattr(machine, "measure", lambda: done.append("measure"))
    machine.watch(stopping)
    assert done == ["look", "measure", "look", "look"]


def test_network_that_can_not_be_measured_is_unknown(machine: Hardware) -> None:
    machine.measure()
    assert machine.mbps is None
    machine.look(0.0)
    [network] = [one for one in machine.checks if one["key"] == "network"]
    assert network["verdict"] == "unknown"

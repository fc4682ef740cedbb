"""svc.sh: installing the runner as a systemd unit, with a systemctl that only remembers."""

import os
from pathlib import Path

import pytest

from tests.simulator.runner_package.conftest import Runner, Start
from tests.simulator.runner_package.protocol_server import (
    REGISTRATION_TOKEN,
    REMOVE_TOKEN,
    ProtocolServer,
)

UNIT = "actions.runner.acme-widgets.one.service"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="svc.sh needs root, as the official one")


class Service:
    """A configured runner and its svc.sh."""

    def __init__(self, start: Start, server: ProtocolServer, folder: Path) -> None:
        self._start = start
        self.units = folder / "units"
        self.calls = folder / "calls"
        programs = folder / "programs"
        for new in (self.units, programs):
            new.mkdir()
        systemctl = programs / "systemctl"
        systemctl.write_text(f'#!/bin/sh\necho "$*" >> {self.calls}\n', "utf-8")
        systemctl.chmod(0o755)
        self._environment = {
            "PATH": f"{programs}:/usr/bin:/bin",
            "STANDIN_UNIT_FOLDER": str(self.units),
        }
        words = ["--unattended", "--url", f"{server.url}/acme/widgets", "--name", "one"]
        assert self.run("./config.sh", *words, "--token", REGISTRATION_TOKEN) == 0

    def run(self, *words: str) -> int:
        runner: Runner = self._start(*words, jit=False, **self._environment)
        return runner.wait()


@pytest.fixture
def service(start: Start, server: ProtocolServer, tmp_path: Path) -> Service:
    return Service(start, server, tmp_path)


def test_install_writes_the_unit_and_names_it_in_the_root(service: Service, root: Path) -> None:
    assert service.run("./svc.sh", "install") == 0
    assert (root / ".service").read_text("utf-8").strip() == UNIT
    unit = (service.units / UNIT).read_text("utf-8").splitlines()
    assert f"ExecStart={root}/runsvc.sh" in unit
    assert {"KillMode=process", "KillSignal=SIGTERM", "TimeoutStopSec=5min"} <= set(unit)
    assert os.access(root / "runsvc.sh", os.X_OK)


def test_start_and_stop_go_to_systemd(service: Service) -> None:
    for command in ("install", "start", "stop"):
        service.run("./svc.sh", command)
    calls = service.calls.read_text("utf-8").splitlines()
    assert f"start {UNIT}" in calls
    assert f"stop {UNIT}" in calls


def test_removal_is_refused_until_the_service_is_uninstalled(service: Service, root: Path) -> None:
    service.run("./svc.sh", "install")
    assert service.run("./config.sh", "remove", "--token", REMOVE_TOKEN) == 1
    service.run("./svc.sh", "uninstall")
    assert not (root / ".service").exists()
    assert list(service.units.iterdir()) == []
    assert service.run("./config.sh", "remove", "--token", REMOVE_TOKEN) == 0

"""The systemd unit against what the processes need to end well."""

import configparser
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands

from fleetui.env import CONFIGURATION_EXIT_CODE

UNIT = Path(settings.BASE_DIR) / "deploy" / "fleetui@.service"


@pytest.fixture
def service() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT, encoding="utf-8")
    return parser["Service"]


def test_only_the_main_process_is_asked_to_end(service):
    assert service["KillMode"] == "mixed"


def test_systemd_waits_longer_than_the_process_does(service):
    assert int(service["TimeoutStopSec"]) > settings.FLEET_STOP_SECONDS + 5


def test_wrong_setting_is_not_tried_again(service):
    assert int(service["RestartPreventExitStatus"]) == CONFIGURATION_EXIT_CODE


@pytest.mark.parametrize("process", ["web", "worker", "loop"])
def test_unit_starts_a_command_that_exists(service, process):
    command = service["ExecStart"].replace("%i", process).split()[-1]

    assert get_commands()[command] == "runners"

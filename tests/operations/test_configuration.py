"""Bad settings as an operator meets them: at the end of a real command."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fleetui.env import CONFIGURATION_EXIT_CODE
from tests.installation import ROOT, Installation


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("FLEET_HEARTBEAT_SECONDS", "30 # quiet", "has a comment after its value; remove it"),
        ("FLEET_HEARTBEAT_SECONDS", "soon", "'soon' is not a whole number"),
        ("PORT", "80000", "80000 is not between 1 and 65535"),
        ("FLEET_LOG_LEVEL", "LOUD", "'LOUD' is not one of DEBUG, INFO, WARNING, ERROR"),
        ("FLEET_SECRET_KEY", "short", "key 1 is shorter than 32 characters"),
        ("DATABASE_URL", "mysql://h/n", "must start with sqlite:// or postgres://"),
        (
            "FLEET_LATE_AFTER_SECONDS",
            "20",
            "20 must be more than FLEET_HEARTBEAT_SECONDS (30), or every host is late",
        ),
        (
            "FLEET_OFFLINE_AFTER_SECONDS",
            "60",
            "60 must be more than FLEET_LATE_AFTER_SECONDS (60)",
        ),
        (
            "FLEET_WORKER_SILENT_SECONDS",
            "10",
            "10 must be more than FLEET_CANARY_SECONDS (10)",
        ),
    ],
)
def test_bad_value_ends_a_command_with_one_line(installation: Installation, name, value, problem):
    done = installation.manage("check", **{name: value})

    assert done.returncode == CONFIGURATION_EXIT_CODE
    assert done.stderr == f"{name}: {problem}\n"
    assert done.stdout == ""


@pytest.mark.parametrize("command", ["settings", "migrate", "fleet_web", "fleet_up", "nonsense"])
def test_bad_value_ends_every_command(installation: Installation, command):
    done = installation.manage(command, PORT="none")

    assert done.returncode == CONFIGURATION_EXIT_CODE
    assert done.stderr == "PORT: 'none' is not a whole number\n"


def test_bad_value_ends_gunicorn_started_by_hand(installation: Installation):
    done = subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", "python:fleetui.gunicorn", "fleetui.wsgi"],
        cwd=ROOT,
        env=installation.environment({"PORT": "none"}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == CONFIGURATION_EXIT_CODE
    assert done.stderr == "PORT: 'none' is not a whole number\n"


def test_unknown_variable_warns_with_the_nearest_name(installation: Installation):
    done = installation.manage("check", FLEET_HARTBEAT_SECONDS="5")

    assert done.returncode == 0
    assert (
        "FLEET_HARTBEAT_SECONDS is not a setting; did you mean FLEET_HEARTBEAT_SECONDS?"
        in done.stderr
    )


def test_settings_are_printed_without_secrets(installation: Installation):
    key = "this-key-must-never-be-printed-anywhere"

    done = installation.manage("settings", FLEET_SECRET_KEY=key, FLEET_WORKERS="7")

    assert key not in done.stdout
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["FLEET_WORKERS", "7", "environment", "1", "to", "64", "processes"] in lines
    assert ["FLEET_SECRET_KEY", "********", "environment", "secret"] in lines


def test_settings_are_printed_for_programs(installation: Installation):
    key = "this-key-must-never-be-printed-anywhere"

    done = installation.manage("settings", "--json", FLEET_SECRET_KEY=key)

    settings = {each["name"]: each for each in json.loads(done.stdout)}
    assert key not in done.stdout
    assert settings["FLEET_HEARTBEAT_SECONDS"]["value"] == 30
    assert settings["FLEET_HEARTBEAT_SECONDS"]["unit"] == "seconds"
    assert settings["FLEET_SECRET_KEY"]["secret"] is True


def test_data_lies_beside_the_program_wherever_a_command_is_typed(
    installation: Installation, tmp_path: Path
):
    variables = installation.environment({"FLEET_SECRET_KEY": "x" * 32})
    del variables["DATA_DIR"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    done = subprocess.run(
        [sys.executable, ROOT / "manage.py", "settings", "--json"],
        cwd=elsewhere,
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    settings = {each["name"]: each["value"] for each in json.loads(done.stdout)}
    assert settings["DATA_DIR"] == str(ROOT / "data")
    assert list(elsewhere.iterdir()) == []

"""The commands as real processes against one database: exit codes, streams, what is documented."""

import argparse
import json
import re
from importlib import import_module
from pathlib import Path

import pytest
from django.core.management import BaseCommand, get_commands, load_command_class

from fleetui.env import CONFIGURATION_EXIT_CODE
from runners.management.cli import ExitCode

# What runs until it is stopped, is called by what does, or speaks to a shell.
NOT_FOR_PROGRAMS = {
    "completion",
    "demo",
    "fleet_loop",
    "fleet_up",
    "fleet_web",
    "fleet_worker",
    "setup_schedules",
}
COMMANDS = sorted(name for name, app in get_commands().items() if app == "runners")
GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "commands.md"
TOKEN = "ghp_" + "kX9w" * 9


class Plain(BaseCommand):
    """A command with no arguments but Django's own."""


def options(parser):
    """What a command or verb takes, and each of its verbs."""
    found = {option for action in parser._actions for option in action.option_strings}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found.update(*map(options, action.choices.values()))
    return found


def options_of(name):
    """The command's own long options, and those of its verbs."""
    command = load_command_class("runners", name)
    own = options(command.create_parser("manage.py", name))
    own -= options(Plain().create_parser("manage.py", "plain"))
    return {option for option in own if option.startswith("--")}


@pytest.mark.parametrize("name", COMMANDS)
def test_command_and_each_of_its_options_is_in_the_guide(name):
    guide = GUIDE.read_text("utf-8")
    sections = re.findall(rf"^### [^\n]*`{name}\b.*?(?=^### |^## |\Z)", guide, re.M | re.S)

    assert sections, f"docs/guide/commands.md has no section for {name}"
    told = set(re.findall(r"--[a-z-]+", "".join(sections)))
    assert options_of(name) - told == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_docstring_of_a_command_tells_its_exit_codes(name):
    module = load_command_class("runners", name).__module__

    assert "Exit codes: 0" in (import_module(module).__doc__ or "")


@pytest.mark.parametrize("name", sorted({*COMMANDS} - NOT_FOR_PROGRAMS))
def test_command_can_speak_json_and_its_docstring_tells_its_shape(name):
    module = load_command_class("runners", name).__module__

    assert "--json" in options_of(name)
    assert "JSON: " in (import_module(module).__doc__ or "")


def test_exit_codes_of_the_guide_are_those_of_the_code():
    rows = re.findall(r"^\| (\d+) \| (.+?) \|$", GUIDE.read_text("utf-8"), re.M)

    assert [int(code) for code, _ in rows] == [*ExitCode, CONFIGURATION_EXIT_CODE]


@pytest.mark.e2e
def test_commands_of_separate_processes_build_on_each_other(installation):
    manage = installation.manage
    early = manage("fleet_status")
    assert (early.returncode, "manage.py migrate" in early.stderr) == (ExitCode.DATABASE, True)
    assert manage("migrate", "--verbosity", "0").returncode == 0

    wrong = manage("drain")
    assert (wrong.returncode, "usage:" in wrong.stderr) == (ExitCode.USAGE, True)
    leaked = manage("add_credential", "acme", TOKEN)
    assert (leaked.returncode, TOKEN in leaked.stderr) == (ExitCode.USAGE, False)

    secret = installation.data_dir / "token"
    secret.write_text(TOKEN)
    stored = manage("add_credential", "acme", "--secret-file", str(secret), "--json")
    assert json.loads(stored.stdout)["credential"] == "acme"
    assert manage("add_scope", "https://github.com/acme", "--credential", "acme").returncode == 0
    checked = manage("fleet_status", "--check", "--json")
    assert json.loads(checked.stdout)["scopes"][0]["scope"] == "acme"
    assert (checked.returncode, "fleet_worker" in checked.stderr) == (ExitCode.REFUSED, True)

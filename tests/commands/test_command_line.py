"""The commands as real processes against one database: exit codes, streams, what is documented."""

import json
import re
from importlib import import_module
from pathlib import Path

import pytest
from django.core.management import BaseCommand, load_command_class

from runners.management.cli import ExitCode

COMMANDS = [
    "add_credential",
    "add_scope",
    "cordon",
    "create_fleet_user",
    "deregister",
    "drain",
    "drain_host",
    "fleet_status",
    "issue_host_token",
    "provision",
    "reconcile",
    "remove_credential",
    "remove_scope",
    "retire_host",
    "rotate_secrets",
    "runner_group",
    "uncordon",
    "webhook_secret",
]
GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "commands.md"
TOKEN = "ghp_" + "kX9w" * 9


class Plain(BaseCommand):
    """A command with no arguments but Django's own."""


def options(command):
    parser = command.create_parser("manage.py", "command")
    return {option for action in parser._actions for option in action.option_strings}


def options_of(name):
    """The command's own long options."""
    own = options(load_command_class("runners", name)) - options(Plain())
    return {option for option in own if option.startswith("--")}


@pytest.mark.parametrize("name", COMMANDS)
def test_command_and_each_of_its_options_is_in_the_guide(name):
    guide = GUIDE.read_text("utf-8")
    section = re.search(rf"^### `{name}\b.*?(?=^### |^## |\Z)", guide, re.M | re.S)

    assert section, f"docs/guide/commands.md has no section for {name}"
    missing = {option for option in options_of(name) if f"`{option}" not in section[0]}
    assert missing == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_command_can_speak_json_and_its_docstring_tells_its_exit_codes(name):
    module = load_command_class("runners", name).__module__
    documented = import_module(module).__doc__ or ""

    assert "--json" in options_of(name)
    assert "Exit codes: 0" in documented
    assert "JSON: " in documented


def test_exit_codes_of_the_guide_are_those_of_the_code():
    rows = re.findall(r"^\| (\d) \| (.+?) \|$", GUIDE.read_text("utf-8"), re.M)

    assert [int(code) for code, _ in rows] == list(ExitCode)


@pytest.mark.e2e
def test_commands_of_separate_processes_build_on_each_other(installation):
    manage = installation.manage
    assert manage("fleet_status").returncode == ExitCode.DATABASE
    assert "manage.py migrate" in manage("fleet_status").stderr
    assert manage("migrate", "--verbosity", "0").returncode == 0

    wrong = manage("drain")
    assert (wrong.returncode, "usage:" in wrong.stderr) == (ExitCode.USAGE, True)
    missing = manage("drain", "nobody")
    assert (missing.returncode, missing.stdout) == (ExitCode.NOT_FOUND, "")
    assert missing.stderr.startswith("CommandError: There is no runner 'nobody'.")
    refused = manage("provision", "--label", "x")
    assert (refused.returncode, "Traceback" in refused.stderr) == (ExitCode.REFUSED, False)
    leaked = manage("add_credential", "acme", TOKEN)
    assert (leaked.returncode, TOKEN in leaked.stderr) == (ExitCode.USAGE, False)

    secret = installation.data_dir / "token"
    secret.write_text(TOKEN)
    stored = manage("add_credential", "acme", "--secret-file", str(secret), "--json")
    assert json.loads(stored.stdout)["credential"] == "acme"
    assert manage("add_scope", "https://github.com/acme", "--credential", "acme").returncode == 0
    assert json.loads(manage("fleet_status", "--json").stdout)["scopes"][0]["scope"] == "acme"
    checked = manage("fleet_status", "--check")
    assert (checked.returncode, "fleet_worker" in checked.stderr) == (ExitCode.REFUSED, True)
    assert "fle_" in manage("issue_host_token").stdout

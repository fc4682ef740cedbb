"""What the commands share: exit codes from errors, who acts, what JSON can hold."""

import io

import pytest
from django.core.management import BaseCommand, CommandError
from django.db import OperationalError, ProgrammingError, connection

from runners.errors import FleetError, NoCapacity
from runners.github.errors import GitHubUnavailable
from runners.management import cli
from runners.management.cli import ExitCode
from tests.factories import NOW


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (FleetError("Not now."), ExitCode.REFUSED, "Not now."),
        (NoCapacity("No room."), ExitCode.REFUSED, "No room."),
        (GitHubUnavailable("GitHub answered 502."), ExitCode.GITHUB, "GitHub answered 502."),
        (OperationalError("connection refused\n"), ExitCode.DATABASE, "connection refused. Is"),
        (ProgrammingError("no such table"), ExitCode.DATABASE, "manage.py migrate"),
    ],
)
def test_error_ends_in_one_line_and_its_exit_code(error, code, words):
    with pytest.raises(CommandError) as ended, cli.exit_codes():
        raise error

    assert (ended.value.returncode, words in str(ended.value)) == (code, True)
    assert "\n" not in str(ended.value)


@pytest.mark.django_db
@pytest.mark.parametrize("command", ["setup_schedules", "fleet_worker"])
def test_start_without_a_database_ends_in_one_line(manage, monkeypatch, command):
    def refuse(*args: object) -> None:
        raise OperationalError("connection refused\n\tIs the server running there?")

    monkeypatch.setattr(connection, "cursor", refuse)

    ended = manage(command)

    assert ended.code == ExitCode.DATABASE
    assert "refused Is the server running there?. Is it running" in ended.error


def test_bug_stays_a_bug():
    with pytest.raises(ZeroDivisionError), cli.exit_codes():
        _ = 1 / 0


@pytest.mark.parametrize("error", [KeyError("uid not found"), OSError("No username")])
def test_person_without_a_name_acts_under_the_number(error, monkeypatch):
    def nobody():
        raise error

    monkeypatch.setattr("getpass.getuser", nobody)

    assert cli.actor().name.startswith("uid ")


def test_json_holds_moments_and_refuses_what_has_no_form():
    out = io.StringIO()
    command = BaseCommand(stdout=out)

    cli.say(command, True, {"at": NOW}, [])

    assert NOW.isoformat() in out.getvalue()
    with pytest.raises(TypeError, match="object has no JSON form"):
        cli.say(command, True, {"at": object()}, [])

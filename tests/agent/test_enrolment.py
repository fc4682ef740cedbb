"""Enrolling a host: the one-time code goes in, the token stays in one file, nothing else leaks."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.agent.dashboard import CODE, TOKEN, Dashboard
from tests.agent.machine import Machine
from tests.agent.patience import until
from tests.agent.shapes import differences, example


def test_enrolment_is_shaped_as_the_contract_says(dashboard: Dashboard, machine: Machine) -> None:
    machine.enrol(dashboard, "--site", "eu-central", "--slots", "4")
    sent, model = dashboard.enrolments[0], example("enrol.request.json")
    assert differences(sent, model) == []
    assert (sent["name"], sent["site"], sent["slots"]) == ("forge-01", "eu-central", 4)


def test_token_lies_in_one_file_that_only_its_owner_reads(
    dashboard: Dashboard, machine: Machine
) -> None:
    machine.enrol(dashboard)
    holders = [p for p in machine.state.rglob("*") if p.is_file() and TOKEN in p.read_text()]
    assert [path.name for path in holders] == ["token"]
    assert stat.S_IMODE(holders[0].stat().st_mode) == 0o600
    assert stat.S_IMODE(machine.state.stat().st_mode) == 0o700


def test_code_is_read_from_a_file(dashboard: Dashboard, machine: Machine, tmp_path: Path) -> None:
    code_file = tmp_path / "code"
    code_file.write_text(CODE + "\n")
    done = machine.command(
        *("enrol", "--server", dashboard.url, "--state-dir", str(machine.state)),
        *("--code-file", str(code_file)),
    )
    assert done.returncode == 0, done.stderr
    assert len(dashboard.enrolments) == 1


def test_code_is_read_from_a_pipe(dashboard: Dashboard, machine: Machine) -> None:
    done = machine.command(
        *("enrol", "--server", dashboard.url, "--state-dir", str(machine.state)), stdin=CODE + "\n"
    )
    assert done.returncode == 0, done.stderr
    assert len(dashboard.enrolments) == 1


@pytest.mark.parametrize("argument", [CODE, f"--code={CODE}", TOKEN])
def test_secret_on_the_command_line_is_refused_and_not_repeated(
    machine: Machine, argument: str
) -> None:
    done = machine.command("enrol", "--server", "https://fleet.example.org", argument)
    assert done.returncode == 2
    assert "FLEET_ENROLMENT_CODE" in done.stderr
    assert CODE not in done.stderr + done.stdout
    assert TOKEN not in done.stderr + done.stdout


def test_plain_http_to_another_machine_is_refused(machine: Machine) -> None:
    done = machine.command(
        *("enrol", "--server", "http://fleet.example.org", "--state-dir", str(machine.state)),
        code=CODE,
    )
    assert done.returncode == 1
    assert "use https://" in done.stderr


def test_used_code_is_answered_in_the_servers_words(dashboard: Dashboard, machine: Machine) -> None:
    dashboard.answers["enrol"] = (410, {"errors": ["This code was already used."]})
    done = machine.command(
        *("enrol", "--server", dashboard.url, "--state-dir", str(machine.state)), code=CODE
    )
    assert done.returncode == 1
    assert "This code was already used." in done.stderr
    assert not (machine.state / "token").exists()


def test_enrolled_state_directory_is_not_enrolled_again(
    dashboard: Dashboard, machine: Machine
) -> None:
    machine.enrol(dashboard)
    done = machine.command(
        *("enrol", "--server", dashboard.url, "--state-dir", str(machine.state)), code=CODE
    )
    assert done.returncode == 1
    assert "enrolled already" in done.stderr
    assert len(dashboard.enrolments) == 1


def test_redirect_is_not_followed_with_the_code(dashboard: Dashboard, machine: Machine) -> None:
    dashboard.answers["enrol"] = (302, {"errors": []})
    done = machine.command(
        *("enrol", "--server", dashboard.url, "--state-dir", str(machine.state)), code=CODE
    )
    assert done.returncode == 1
    assert "redirects" in done.stderr


def test_joining_enrols_once_and_keeps_no_code_in_its_environment(
    dashboard: Dashboard, machine: Machine
) -> None:
    agent = machine.start_join(dashboard)
    until(lambda: dashboard.heartbeats, "the first heartbeat")
    environment = Path(f"/proc/{agent.pid}/environ").read_bytes()
    assert CODE.encode() not in environment
    assert TOKEN.encode() not in environment


def test_joining_again_runs_with_the_old_enrolment(dashboard: Dashboard, machine: Machine) -> None:
    machine.start_join(dashboard)
    until(lambda: dashboard.heartbeats, "the first heartbeat")
    machine.terminate()
    heard = len(dashboard.heartbeats)
    machine.start_join(dashboard)
    until(lambda: len(dashboard.heartbeats) > heard, "a heartbeat of the second agent")
    assert len(dashboard.enrolments) == 1


def test_second_agent_on_one_state_directory_is_refused(
    dashboard: Dashboard, machine: Machine
) -> None:
    machine.join(dashboard)
    done = machine.command("run", "--state-dir", str(machine.state))
    assert done.returncode == 1
    assert "another agent is running" in done.stderr


def test_running_without_an_enrolment_says_what_to_do(machine: Machine) -> None:
    done = machine.command("run", "--state-dir", str(machine.state))
    assert done.returncode == 1
    assert "fleet-agent enrol" in done.stderr

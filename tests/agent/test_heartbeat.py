"""What the agent says to the server, and how it takes the answers."""

from __future__ import annotations

import json
import os
from contextlib import suppress

import pytest

from tests.agent.dashboard import TOKEN, Dashboard
from tests.agent.machine import Machine
from tests.agent.patience import until
from tests.agent.shapes import differences, example


def test_first_heartbeat_is_shaped_as_the_contract_says(
    dashboard: Dashboard, machine: Machine
) -> None:
    machine.join(dashboard)
    sent, model = dashboard.heartbeats[0], example("heartbeat.first.request.json")
    assert differences(sent, model) == []
    assert sent["wanted_version"] is None
    assert sent["journal"][0]["kind"] == "agent-started"


def test_facts_are_told_with_the_clock_once_it_was_compared_and_again_when_asked_for(
    dashboard: Dashboard, machine: Machine
) -> None:
    machine.join(dashboard)
    until(lambda: len(dashboard.heartbeats) > 3, "more heartbeats")
    first, second, *rest = dashboard.heartbeats
    assert first["facts"]["clock_skew_seconds"] is None
    assert abs(second["facts"]["clock_skew_seconds"]) < 60
    assert all("facts" not in body for body in rest)
    dashboard.want_facts = True
    until(lambda: "facts" in dashboard.heartbeats[-1], "facts again")


def test_heartbeat_names_the_version_it_last_applied(
    dashboard: Dashboard, machine: Machine
) -> None:
    machine.join(dashboard)
    dashboard.version = 41
    until(lambda: dashboard.heartbeats[-1]["wanted_version"] == 41, "version 41")


def test_journal_is_sent_until_it_is_acknowledged(dashboard: Dashboard, machine: Machine) -> None:
    machine.join(dashboard)
    until(lambda: len(dashboard.heartbeats) > 1, "a second heartbeat")
    assert dashboard.heartbeats[-1]["journal"] == []
    assert list(dashboard.journal) == [1]


def test_rotated_token_is_stored_and_used(dashboard: Dashboard, machine: Machine) -> None:
    machine.join(dashboard)
    dashboard.new_token = "fla_TESTTOKEN002_" + "n" * 43
    until(lambda: dashboard.tokens_seen[-1] == dashboard.new_token, "the new token")
    assert (machine.state / "token").read_text().strip() == dashboard.new_token


def test_refused_token_is_told_in_the_status(dashboard: Dashboard, machine: Machine) -> None:
    machine.join(dashboard)
    dashboard.token = "fla_SOMEOTHER001_" + "o" * 43

    def state() -> str:
        done = machine.command("status", "--json", "--state-dir", str(machine.state))
        assert done.returncode in (0, 4)
        return str(json.loads(done.stdout)["state"])

    until(lambda: state() == "unauthorised", "the refusal")
    assert TOKEN not in machine.log.read_text()


def test_status_tells_a_running_agent_from_a_stopped_one(
    dashboard: Dashboard, machine: Machine
) -> None:
    machine.join(dashboard)
    status = ("status", "--state-dir", str(machine.state))
    until(lambda: machine.command(*status).returncode == 0, "a connected agent")
    machine.terminate()
    done = machine.command(*status)
    assert done.returncode == 3
    assert "not running" in done.stdout


def test_terminated_agent_reports_before_it_ends(dashboard: Dashboard, machine: Machine) -> None:
    dashboard.next_seconds = 60
    machine.join(dashboard)
    assert machine.terminate() == 0
    assert dashboard.kinds()[-1] == "agent-stopping"


def test_retired_host_ends_with_success(dashboard: Dashboard, machine: Machine) -> None:
    agent = machine.join(dashboard)
    dashboard.answers["heartbeat"] = (410, {"errors": ["This host was retired."]})
    assert agent.wait(timeout=30) == 0


def test_outage_is_survived_and_told_afterwards(dashboard: Dashboard, machine: Machine) -> None:
    machine.join(dashboard)
    dashboard.down = True
    status = ("status", "--json", "--state-dir", str(machine.state))
    until(lambda: '"retrying"' in machine.command(*status).stdout, "the loss to be noticed")
    dashboard.down = False
    heard = len(dashboard.heartbeats)
    until(lambda: len(dashboard.heartbeats) > heard, "a heartbeat after the outage")


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"ok": True, "wanted": "nothing"}),
        (200, {"ok": True}),
        (500, {"errors": ["Broken."]}),
        (502, {}),
    ],
)
def test_unusable_answer_changes_nothing_and_is_tried_again(
    dashboard: Dashboard, machine: Machine, answer: tuple[int, dict[str, object]]
) -> None:
    machine.join(dashboard)
    dashboard.answers["heartbeat"] = answer
    asked = len(dashboard.requests)
    until(lambda: len(dashboard.requests) > asked + 1, "another try")
    del dashboard.answers["heartbeat"]
    heard = len(dashboard.heartbeats)
    until(lambda: len(dashboard.heartbeats) > heard, "a heartbeat that is taken")


def test_posing_agent_says_so(dashboard: Dashboard, machine: Machine) -> None:
    pose = machine.state.parent / "pose.json"
    pose.write_text(json.dumps({"hostname": "pi-07", "architecture": "arm64", "cpu_count": 4}))
    machine.enrol(dashboard, "--pose", str(pose))
    facts = dashboard.enrolments[0]["facts"]
    assert (facts["hostname"], facts["architecture"]) == ("pi-07", "arm64")
    assert facts["posing"] is True


def test_agent_listens_on_no_port(dashboard: Dashboard, machine: Machine) -> None:
    agent = machine.join(dashboard)
    inodes = set()
    for name in os.listdir(f"/proc/{agent.pid}/fd"):
        with suppress(FileNotFoundError):  # closed since it was listed
            inodes.add(os.readlink(f"/proc/{agent.pid}/fd/{name}"))
    listening = []
    for table in ("tcp", "tcp6"):
        with open(f"/proc/{agent.pid}/net/{table}", encoding="ascii") as file:
            rows = [line.split() for line in file.readlines()[1:]]
        listening += [f"socket:[{row[9]}]" for row in rows if row[3] == "0A"]
    assert inodes.isdisjoint(listening)

"""Hosts from the command line: enrol, cordon, drain, retire."""

from datetime import timedelta

import pytest

from runners import enrolment, tokens
from runners.host_facts import Facts
from runners.models import EnrolmentCode, Event, Host, Runner
from tests.factories import NOW, HostFactory, RunnerFactory

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("command", "traits", "cordoned"),
    [("cordon", {}, True), ("uncordon", {"cordoned_for_work": True}, False)],
)
def test_cordon_and_uncordon_change_once(command, traits, cordoned, manage):
    host = HostFactory(**traits)

    first = manage(command, host.name, "--reason", "Disk", "--json")
    again = manage(command, host.name)

    assert first.data == {"host": host.name, "changed": True}
    assert (again.code, "already" in again.out or "was not" in again.out) == (0, True)
    assert Host.objects.get().cordoned == cordoned
    assert Event.objects.get().reason == "Disk"


def test_draining_a_host_names_the_runners_that_leave(manage):
    host = HostFactory()
    runner = RunnerFactory(host=host)
    RunnerFactory(host=host, slot=2, draining=True)

    done = manage("drain_host", host.name, "--deadline-minutes", "60", "--json")
    again = manage("drain_host", host.name)

    assert done.data == {"host": host.name, "draining": [runner.name]}
    assert (again.code, again.out.strip()) == (0, f"{host.name} is cordoned")
    assert Host.objects.get().cordoned
    row = Runner.objects.get(pk=runner.pk)
    assert row.drain_deadline_at == NOW + timedelta(minutes=60)


def test_retired_host_stays_retired(manage):
    host = HostFactory()

    first = manage("retire_host", host.name, "--reason", "Sold", "--json")
    again = manage("retire_host", host.name, "--json")

    assert (first.data["changed"], again.data["changed"], again.code) == (True, False, 0)
    assert Host.objects.get().retired_at == NOW


def test_host_with_a_job_is_not_retired(manage):
    runner = RunnerFactory(busy=True)

    done = manage("retire_host", runner.host.name)

    assert (done.code, "Drain" in done.error) == (1, True)


@pytest.mark.parametrize("command", ["cordon", "uncordon", "drain_host", "retire_host"])
def test_host_that_is_not_there_is_exit_code_three(command, manage):
    done = manage(command, "nowhere")

    assert (done.code, "'nowhere'" in done.error) == (3, True)


def test_issued_token_enrols_one_host_with_what_was_asked(manage):
    done = manage("issue_host_token", "--site", "eu", "--slots", "3", "--minutes", "5", "--json")

    said = done.data
    assert said["expires_at"] == (NOW + timedelta(minutes=5)).isoformat()
    enrolled = enrolment.enrol(
        said["code"],
        name="forge-01",
        facts=Facts(),
        agent_version="0.1.0",
        site="",
        slots=None,
        now=NOW,
    )
    assert (enrolled.host.site, enrolled.host.slots) == ("eu", 3)


def test_printed_command_keeps_the_code_out_of_the_arguments(manage, settings):
    settings.FLEET_BASE_URL = "https://fleet.example.com"

    done = manage("issue_host_token")

    (line,) = (line.strip() for line in done.out.splitlines() if "fleet-agent" in line)
    assignment, _, arguments = line.partition(" ")
    code = assignment.removeprefix("FLEET_ENROLMENT_CODE=")
    assert tokens.prefix_of(code, "fle") == EnrolmentCode.objects.get().prefix
    assert arguments == "fleet-agent join --server https://fleet.example.com"


def test_issued_token_is_recorded_without_its_text(manage):
    code = manage("issue_host_token", "--json").data["code"]

    event = Event.objects.get()
    assert (event.action, event.actor_kind) == ("enrolment.issue", "command")
    assert code not in f"{Event.objects.values_list()}{EnrolmentCode.objects.values_list()}"


@pytest.mark.parametrize("option", [("--slots", "0"), ("--slots", "257"), ("--minutes", "0")])
def test_numbers_out_of_range_are_refused(option, manage):
    done = manage("issue_host_token", *option)

    assert (done.code, "whole number" in done.error) == (1, True)
    assert not EnrolmentCode.objects.exists()

"""Quiesce and maintenance from the command line."""

from __future__ import annotations

import pytest

from runners import maintenance
from runners.models import Host, Maintenance
from tests.factories import NOW, HostFactory, MaintenanceHostFactory

pytestmark = pytest.mark.django_db


def test_quiesce_and_resume_change_once(manage):
    first = manage("quiesce", "--reason", "Moving", "--json")
    again = manage("quiesce", "--reason", "Moving")
    opened = manage("resume", "--json")

    assert first.data == {"quiesced": True, "changed": True}
    assert (again.code, "already" in again.out) == (0, True)
    assert opened.data == {"quiesced": False, "changed": True}


def test_a_quiesced_fleet_is_told_by_status_and_refuses_to_provision(manage):
    HostFactory()
    manage("quiesce", "--reason", "Moving")

    said = manage("fleet_status", "--json")

    assert "Moving" in said.data["quiesced"]
    assert "quiesced since" in manage("fleet_status").out


def test_a_round_is_started_over_named_hosts_and_told(manage):
    host = HostFactory()

    begun = manage(
        "maintenance", "start", host.name, "--reason", "Kernel", "--act", "reboot", "--json"
    )

    assert (begun.data["state"], begun.data["act"], begun.data["percent_out"]) == (
        "running",
        "reboot",
        25,
    )
    assert [row["host"] for row in begun.data["hosts"]] == [host.name]


def test_a_round_takes_a_site_or_all(manage):
    HostFactory(site="eu")
    HostFactory(site="us")

    site = manage("maintenance", "start", "--site", "eu", "--reason", "x", "--json").data
    every = manage("maintenance", "start", "--all", "--reason", "x", "--json").data

    assert (len(site["hosts"]), len(every["hosts"])) == (1, 2)


def test_done_gives_a_host_back(manage):
    turn = MaintenanceHostFactory()
    for _ in range(2):
        maintenance.advance_all(now=NOW)

    done = manage("maintenance", "done", str(turn.maintenance_id), turn.host.name, "--json")

    assert (done.data["state"], done.data["hosts"][0]["step"]) == ("done", "done")
    assert not Host.objects.get().cordoned


def test_done_too_early_is_refused(manage):
    turn = MaintenanceHostFactory()

    said = manage("maintenance", "done", str(turn.maintenance_id), turn.host.name)

    assert said.code == 1
    assert "not being worked on yet" in said.error


@pytest.mark.parametrize(("verb", "state"), [("pause", "paused"), ("stop", "stopped")])
def test_a_round_is_paused_and_stopped_once(manage, verb, state):
    number = str(MaintenanceHostFactory().maintenance_id)

    first = manage("maintenance", verb, number, "--json")
    again = manage("maintenance", verb, number, "--json")

    assert (first.data["state"], first.data["changed"]) == (state, True)
    assert (again.code, again.data["changed"]) == (0, False)


def test_status_and_list_change_nothing(manage):
    number = str(MaintenanceHostFactory().maintenance_id)

    assert manage("maintenance", "status", number, "--json").data["changed"] is False
    assert [row["id"] for row in manage("maintenance", "list", "--json").data["rounds"]] == [
        int(number)
    ]
    assert Maintenance.objects.get().state == "running"


def test_an_unknown_round_is_not_found(manage):
    assert manage("maintenance", "status", "999").code == 3


def test_a_round_without_hosts_is_refused(manage):
    said = manage("maintenance", "start", "--reason", "x")

    assert (said.code, "at least one host" in said.error) == (1, True)

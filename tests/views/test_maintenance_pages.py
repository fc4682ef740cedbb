"""Maintenance and quiesce in the browser: start with a preview, follow, act, and hold the fleet."""

from __future__ import annotations

import pytest
from django.urls import reverse

from runners import fleet, maintenance
from runners.models import Event, Fleet, Host, Maintenance
from tests.factories import (
    NOW,
    HostFactory,
    MaintenanceFactory,
    MaintenanceHostFactory,
)
from tests.views.conftest import HTMX
from tests.views.dom import parse

pytestmark = pytest.mark.django_db
NEW = reverse("maintenance-new")
RULES = {
    "reason": "Kernel",
    "act": "confirm",
    "minutes": "30",
    "percent_out": "50",
    "drain_minutes": "",
}


def url_of(verb, pk):
    return reverse(f"maintenance-{verb}", args=[pk])


def working(**facts):
    """A host that is being worked on."""
    host = HostFactory(cordoned_at=NOW, cordoned_reason="Maintenance")
    return MaintenanceHostFactory(host=host, step="acting", **facts)


# Rounds


def test_a_round_is_started_over_the_ticked_hosts(operator):
    host, _ = HostFactory(), HostFactory()

    response = operator.post(NEW, {**RULES, "hosts": [host.pk]})

    work = Maintenance.objects.get()
    assert response["Location"] == url_of("detail", work.pk)
    assert [turn.host for turn in work.hosts.all()] == [host]
    assert (work.percent_out, work.drain_minutes) == (50, None)


def test_the_hosts_of_the_lists_filters_come_ticked(operator):
    here, there = HostFactory(site="eu"), HostFactory(site="us")

    page = parse(operator.get(f"{NEW}?q=eu").content)

    assert page.one("input", name="hosts", value=str(here.pk)).has("checked")
    assert not page.one("input", name="hosts", value=str(there.pk)).has("checked")


@pytest.mark.parametrize("extra", ["", "&ids=x&ids=999999"])
def test_the_hosts_of_the_address_come_ticked_and_no_others(operator, extra):
    chosen, other, gone = HostFactory(), HostFactory(), HostFactory(retired=True)

    page = parse(operator.get(f"{NEW}?ids={chosen.pk}&ids={gone.pk}{extra}").content)

    ticked = [box["value"] for box in page.all("input", name="hosts") if box.has("checked")]
    assert ticked == [str(chosen.pk)]
    assert page.one("input", name="hosts", value=str(other.pk))


def test_a_preview_tells_the_waves_and_starts_nothing(operator):
    hosts = [HostFactory() for _ in range(4)]
    ticked = [host.pk for host in hosts]

    page = parse(operator.post(NEW, {**RULES, "hosts": ticked, "preview": "yes"}).content)

    waves = [item.text for item in page.by_id("forecast").one("ol").all("li")]
    assert waves == [f"{hosts[0].name}, {hosts[1].name}", f"{hosts[2].name}, {hosts[3].name}"]
    assert not Maintenance.objects.exists()


@pytest.mark.parametrize("missing", ["hosts", "reason"])
def test_a_round_without_hosts_or_reason_is_asked_again(operator, missing):
    asked = {**RULES, "hosts": [HostFactory().pk]}
    del asked[missing]

    assert operator.post(NEW, asked).status_code == 422
    assert not Maintenance.objects.exists()


def test_the_page_shows_each_host_and_why_it_waits(viewer):
    turn = MaintenanceHostFactory(note="Waits: enough of x64 is out")

    page = parse(viewer.get(url_of("detail", turn.maintenance_id)).content)

    row = page.by_id(f"turn-{turn.host_id}")
    assert row.one(class_="status").text == "Waiting for its turn"
    assert "enough of x64" in row.text
    assert not row.all("button")


def test_an_unchanged_round_is_204_in_two_queries(viewer, django_assert_num_queries):
    url = url_of("detail", MaintenanceHostFactory().maintenance_id)
    version = parse(viewer.get(url, headers=HTMX).content).by_id("maintenance")["data-version"]

    with django_assert_num_queries(2):
        response = viewer.get(url, headers={**HTMX, "X-Fleet-Version": version})

    assert response.status_code == 204


def test_done_gives_the_host_back(operator):
    turn = working()

    operator.post(url_of("done", turn.pk))

    turn.refresh_from_db()
    assert turn.step == "done"
    assert not Host.objects.get().cordoned


def test_done_too_early_is_refused_with_the_reason(operator):
    turn = MaintenanceHostFactory()

    response = operator.post(url_of("done", turn.pk))

    assert response.status_code == 409
    assert "not being worked on yet" in parse(response.content).one("main").text


def test_skip_leaves_a_host_out(operator):
    turn = MaintenanceHostFactory()

    page = parse(operator.post(url_of("skip", turn.pk), headers=HTMX).content)

    assert page.by_id(f"turn-{turn.host_id}").one(class_="status").text == "Skipped"


def test_pause_and_resume(operator):
    work = MaintenanceHostFactory().maintenance

    operator.post(url_of("pause", work.pk))
    paused = Maintenance.objects.get().state
    operator.post(url_of("resume", work.pk))

    assert (paused, Maintenance.objects.get().state) == ("paused", "running")


def test_a_stop_asks_first(operator):
    turn = working()

    asked = operator.get(url_of("stop", turn.maintenance_id))
    before = Maintenance.objects.get().state
    operator.post(url_of("stop", turn.maintenance_id))

    assert parse(asked.content).one("h1").text == f"Stop maintenance {turn.maintenance_id}?"
    assert (before, Maintenance.objects.get().state) == ("running", "stopped")
    assert not Host.objects.get().cordoned


@pytest.mark.parametrize("count", [3, 30])
def test_a_round_costs_the_same_however_many_hosts(viewer, django_assert_num_queries, count):
    work = MaintenanceFactory()
    MaintenanceHostFactory.create_batch(count, maintenance=work)

    with django_assert_num_queries(8):
        viewer.get(url_of("detail", work.pk))


@pytest.mark.parametrize("count", [3, 30])
def test_the_list_costs_the_same_however_many_rounds(viewer, django_assert_num_queries, count):
    MaintenanceHostFactory.create_batch(count)

    with django_assert_num_queries(7):
        viewer.get(reverse("maintenance-list"))


# Quiesce


def test_quiesce_asks_for_a_reason(operator):
    assert operator.get(reverse("fleet-quiesce")).status_code == 200
    assert operator.post(reverse("fleet-quiesce")).status_code == 422
    assert fleet.quiesced() == ""


def test_every_page_says_that_the_fleet_is_quiesced_and_why(operator):
    operator.post(reverse("fleet-quiesce"), {"reason": "Moving the database"})

    for name in ("overview", "job-list", "maintenance-list"):
        notice = parse(operator.get(reverse(name)).content).by_id("quiesced")
        assert "Moving the database" in notice.text
        assert notice.one("form")["action"] == reverse("fleet-resume")


def test_a_viewer_sees_it_and_cannot_end_it(viewer, operator):
    operator.post(reverse("fleet-quiesce"), {"reason": "Moving"})

    notice = parse(viewer.get(reverse("overview")).content).by_id("quiesced")

    assert not notice.all("form")
    assert viewer.post(reverse("fleet-resume")).status_code == 403


def test_resume_opens_the_fleet(operator):
    operator.post(reverse("fleet-quiesce"), {"reason": "Moving"})

    operator.post(reverse("fleet-resume"))

    assert Fleet.objects.get().quiesced_at is None
    assert set(Event.objects.values_list("action", flat=True)) >= {"fleet.quiesce", "fleet.resume"}
    assert not parse(operator.get(reverse("overview")).content).all(id="quiesced")


def test_the_pages_frame_costs_no_query_more_when_quiesced(operator, django_assert_num_queries):
    MaintenanceHostFactory()
    url = reverse("maintenance-list")
    fleet.quiesce(by=maintenance.BY, reason="Moving", now=NOW)

    with django_assert_num_queries(7):
        operator.get(url)

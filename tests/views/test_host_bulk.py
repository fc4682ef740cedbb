"""Several hosts at once: ticked in the list, asked about where jobs are touched, told apart."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse

from runners.models import Event, Host, Runner
from tests.factories import NOW, HostFactory, RunnerFactory
from tests.views.conftest import HTMX
from tests.views.dom import parse

pytestmark = pytest.mark.django_db
BULK = reverse("host-bulk")
LIST = reverse("host-list")


def ticked(action, *hosts, **more):
    return {"action": action, "ids": [host.pk for host in hosts], **more}


def said(response):
    page = parse(response.content)
    return [toast.one("b").text for toast in page.by_id("messages").all("div")]


def cordoned():
    return set(Host.objects.filter(cordoned_at__isnull=False))


def test_the_list_has_a_box_for_each_host_and_works_without_script(operator):
    host = HostFactory()

    page = parse(operator.get(f"{LIST}?q=forge").content)

    bar = page.by_id("bulk")
    box = page.by_id(f"tick-host-{host.pk}")
    assert (box["form"], box["name"], box["value"]) == ("bulk", "ids", str(host.pk))
    assert (bar["method"], bar["action"]) == ("post", f"{BULK}?q=forge")
    assert [button["value"] for button in bar.all("button", name="action")] == [
        "cordon",
        "uncordon",
        "drain",
        "round",
    ]


def test_a_viewer_finds_nothing_to_tick(viewer):
    HostFactory()

    page = parse(viewer.get(LIST).content)

    assert page.one("main").all("input", type="checkbox") == []
    assert page.all("form", id="bulk") == []


def test_the_ticked_hosts_are_cordoned_and_the_others_left(operator):
    chosen = HostFactory.create_batch(2)
    HostFactory()

    response = operator.post(f"{BULK}?q=forge", ticked("cordon", *chosen))

    assert cordoned() == set(chosen)
    assert response["Location"] == f"{LIST}?q=forge"


def test_each_row_that_changed_nothing_is_named(operator):
    fresh = HostFactory()
    before = HostFactory(name="forge-b", cordoned_for_work=True)
    gone = HostFactory(name="forge-c", retired=True)

    response = operator.post(BULK, ticked("cordon", fresh, before, gone), follow=True)

    assert cordoned() == {fresh, before}
    assert said(response) == [
        "2 hosts take no new runners. forge-b was cordoned already. forge-c is retired."
    ]


def test_the_ticked_hosts_are_uncordoned(operator):
    hosts = HostFactory.create_batch(2, cordoned_for_work=True)

    operator.post(BULK, ticked("uncordon", *hosts))

    assert cordoned() == set()
    assert Event.objects.filter(action="host.uncordon").count() == 2


def test_a_drain_asks_first_with_what_it_comes_to(operator):
    hosts = HostFactory.create_batch(2)
    RunnerFactory(host=hosts[0], busy=True, labels=["gpu", "x64"])
    RunnerFactory(host=hosts[1], busy=True, labels=["x64"])
    RunnerFactory(labels=["x64"])

    response = operator.post(BULK, ticked("drain", *hosts))

    page = parse(response.content)
    assert page.one("h1").text == "Drain 2 hosts?"
    words = page.one("main").text
    assert "They have 2 runners. 2 of them run jobs, which go on." in words
    assert "No runner is left for gpu." in words
    kept = page.one("main").all("input", type="hidden", name="ids")
    assert {int(field["value"]) for field in kept} == {host.pk for host in hosts}
    assert cordoned() == set()


def test_a_confirmed_drain_tells_each_host_its_runners(operator):
    first, second = HostFactory(name="forge-a"), HostFactory(name="forge-b")
    runner = RunnerFactory(host=first)
    answer = {"confirmed": "yes", "reason": "Kernel", "deadline_minutes": "60"}

    response = operator.post(BULK, ticked("drain", first, second, **answer), follow=True)

    assert cordoned() == {first, second}
    runner.refresh_from_db()
    assert (runner.state, runner.state_reason) == ("draining", "Kernel")
    assert runner.drain_deadline_at == NOW + timedelta(hours=1)
    assert said(response) == ["2 hosts are cordoned. forge-a: 1 runner leaves."]


def test_a_drain_without_a_reason_is_asked_again_and_keeps_the_ticks(operator):
    host = HostFactory()

    response = operator.post(BULK, ticked("drain", host, confirmed="yes", reason=""), headers=HTMX)

    dialog = parse(response.content).one("dialog")
    assert response.status_code == 422
    assert dialog.one("input", name="ids")["value"] == str(host.pk)
    assert not Runner.objects.filter(state="draining").exists()
    assert cordoned() == set()


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_a_round_begins_with_the_ticked_hosts(operator, headers):
    hosts = HostFactory.create_batch(2)

    response = operator.post(BULK, ticked("round", *hosts), headers=headers)

    url = response["HX-Redirect" if headers else "Location"]
    assert url == f"{reverse('maintenance-new')}?ids={hosts[0].pk}&ids={hosts[1].pk}"
    assert not Event.objects.exists()


@pytest.mark.parametrize("data", [{}, {"action": "drain"}, {"action": "melt", "ids": ["1"]}])
def test_nothing_ticked_is_said(operator, data):
    response = operator.post(BULK, data)

    assert response.status_code == 409
    assert "Tick at least one host" in parse(response.content).one("main").text


def test_the_list_comes_back_with_the_filters_in_force(operator):
    here, there = HostFactory(site="eu"), HostFactory(site="us")
    headers = {**HTMX, "HX-Current-URL": f"http://testserver{LIST}?site=eu"}

    response = operator.post(BULK, ticked("cordon", here, there), headers=headers)

    links = parse(response.content).by_id("hosts").all("a", class_="rowlink")
    assert [link.text for link in links] == [here.name]


@pytest.mark.parametrize("count", [2, 12])
def test_a_long_answer_names_five_rows_and_counts_the_rest(operator, count):
    hosts = HostFactory.create_batch(count, cordoned_for_work=True)

    words = said(operator.post(BULK, ticked("cordon", *hosts), follow=True))[0]

    assert words.count("cordoned already") == min(count, 5)
    assert ("And 7 more." in words) == (count == 12)

"""The hosts list: rows, groups, filters, order, polls and what it costs."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse

from runners.models import Host, Sample
from tests.factories import (
    NOW,
    EnrolmentCodeFactory,
    HostFactory,
    RunnerFactory,
    ScopeFactory,
)
from tests.views.conftest import HTMX
from tests.views.dom import parse

pytestmark = pytest.mark.django_db
URL = reverse("host-list")


def listed(client, query=""):
    page = parse(client.get(f"{URL}?{query}").content)
    return [link.text for link in page.all("a", class_="rowlink")]


def sample(host, *, ago):
    Sample.objects.create(
        host=host,
        at=NOW - timedelta(seconds=ago),
        cpu_percent=1,
        memory_used_bytes=1,
        disk_used_bytes=1,
    )


def test_a_row_says_what_the_machine_is_and_how_it_does(viewer):
    host = HostFactory(name="kiln-01", gpu=True, posing=True)
    RunnerFactory(host=host, slot=2, busy=True)

    row = parse(viewer.get(URL).content).by_id(f"host-{host.pk}")

    assert row.one("td", data_c="title").text == "kiln-01 posing x64 · 8 cores · 34.4 GB · 1 GPU"
    assert row.one("td", data_c="status").text == "Online"
    assert len(row.one("td", data_c="meta").all(class_="slot")) + len(row.all("a")) >= 4
    assert "25%" in row.text
    assert "0.1.0" in row.text


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "Online"),
        ({"offline": True}, "Offline"),
        ({"late": True}, "Late"),
        ({"cordoned_for_work": True}, "Cordoned Disk replacement"),
        ({"enrolling": True}, "Enrolling"),
    ],
)
def test_every_state_has_its_word(viewer, facts, words):
    host = HostFactory(**facts)

    row = parse(viewer.get(URL).content).by_id(f"host-{host.pk}")

    assert row.one("td", data_c="status").text == words


def test_a_cordoned_host_with_runners_on_their_way_out_is_draining(viewer):
    host = HostFactory(cordoned_for_work=True)
    RunnerFactory(host=host, slot=1, draining=True)
    RunnerFactory(host=host, slot=2, removing=True)

    row = parse(viewer.get(URL).content).by_id(f"host-{host.pk}")

    assert row.one("td", data_c="status").text == "Draining 2 runners left"


def test_what_a_silent_host_said_last_is_not_shown_as_its_load(viewer):
    host = HostFactory(offline=True, cpu_percent=77)

    page = parse(viewer.get(URL).content)

    assert "77%" not in page.by_id(f"host-{host.pk}").text
    assert f"{host.name} has been silent since" in page.by_id("hosts").text


def test_many_silent_hosts_make_one_notice(viewer):
    for number in range(5):
        HostFactory(name=f"reed-{number}", offline=True)

    notices = parse(viewer.get(URL).content).all(class_="callout", data_state="critical")

    assert [notice.one("b").text for notice in notices] == [
        "5 hosts are silent: reed-0, reed-1, reed-2 and 2 more."
    ]


def test_hosts_are_grouped_by_site_with_their_work(viewer):
    mine = HostFactory(name="a-1", site="eu", slots=4)
    HostFactory(name="b-1", site="us", slots=2)
    RunnerFactory(host=mine, slot=1, busy=True)

    heads = parse(viewer.get(URL).content).all("th", scope="rowgroup")

    assert [" ".join(head.text.split()) for head in heads] == [
        "eu 1 of 4 slots working",
        "us 0 of 2 slots working",
    ]


def test_another_order_has_no_groups(viewer):
    HostFactory(site="eu", cpu_percent=10, name="calm")
    HostFactory(site="us", cpu_percent=90, name="hot")

    page = parse(viewer.get(f"{URL}?sort=-cpu").content)

    assert listed(viewer, "sort=-cpu") == ["hot", "calm"]
    assert page.all("th", scope="rowgroup") == []
    assert page.one("th", aria_sort="descending").text == "CPU"


def test_unknown_load_comes_last_in_either_order(viewer):
    HostFactory(name="unknown", memory_used_bytes=None)
    HostFactory(name="known")

    assert listed(viewer, "sort=memory") == ["known", "unknown"]
    assert listed(viewer, "sort=-memory") == ["known", "unknown"]


@pytest.mark.parametrize(
    "query",
    ["q=needle", "q=needle-site", "q=riscv64", "q=9.9", "site=needle-site", "state=cordoned"],
)
def test_a_filter_keeps_only_what_it_names(viewer, query):
    HostFactory(name="other")
    HostFactory(
        name="needle",
        site="needle-site",
        architecture="riscv64",
        agent_version="9.9.1",
        cordoned_for_work=True,
    )

    assert listed(viewer, query) == ["needle"]


@pytest.mark.parametrize("query", ["state=nonsense", "sort=nonsense", "page=99"])
def test_a_parameter_that_means_nothing_is_ignored(viewer, query):
    HostFactory(name="shown")

    assert listed(viewer, query) == ["shown"]


def test_chips_count_the_states_and_keep_the_other_filters(viewer):
    HostFactory(site="eu")
    HostFactory(site="eu", offline=True)
    HostFactory(site="us", offline=True)

    chips = parse(viewer.get(f"{URL}?site=eu&state=offline").content).all("a", class_="chip")

    assert [chip.text for chip in chips] == ["All 2", "Offline 1", "Online 1"]
    assert chips[0]["href"] == f"{URL}?site=eu"
    assert chips[1].has("aria-current")


def test_retired_hosts_are_kept_apart(viewer):
    HostFactory(name="gone", retired=True)
    HostFactory(name="here")

    assert listed(viewer) == ["here"]
    assert listed(viewer, "state=retired") == ["gone"]


# Heartbeats


def test_heartbeats_on_time_make_a_whole_strip(viewer):
    host = HostFactory()
    for minute in range(21):
        sample(host, ago=62 * minute)

    row = parse(viewer.get(URL).content).by_id(f"host-{host.pk}")

    assert row.one(role="img")["aria-label"] == "All of the last 20 heartbeat periods on time"


def test_the_first_heartbeat_is_on_time_so_far(viewer):
    host = HostFactory(enrolled_at=NOW - timedelta(seconds=20))
    sample(host, ago=5)

    row = parse(viewer.get(URL).content).by_id(f"host-{host.pk}")

    assert row.one(role="img")["aria-label"] == "On time so far"


def test_a_gap_shows_as_missed(viewer):
    host = HostFactory()
    for minute in range(21):
        if minute not in (5, 6, 7):
            sample(host, ago=60 * minute + 5)

    strip = parse(viewer.get(URL).content).by_id(f"host-{host.pk}").one(role="img")

    assert strip["aria-label"] == "2 of the last 20 heartbeat periods missed"
    assert len(strip.all("i", class_="is-miss")) == 2


def test_a_strip_begins_with_the_host(viewer):
    host = HostFactory(enrolled_at=NOW - timedelta(minutes=3))
    for minute in range(3):
        sample(host, ago=60 * minute + 5)

    strip = parse(viewer.get(URL).content).by_id(f"host-{host.pk}").one(role="img")

    assert len(strip.all("i")) == 3


# Enrolment codes


def test_open_codes_are_listed_for_those_who_may_revoke_them(operator, viewer):
    code = EnrolmentCodeFactory(site="eu-central")
    EnrolmentCodeFactory(used_at=NOW)
    EnrolmentCodeFactory(expires_at=NOW - timedelta(seconds=1))

    mine = parse(operator.get(URL).content).by_id("hosts")
    theirs = parse(viewer.get(URL).content).by_id("hosts")

    assert mine.all("form", action=reverse("code-revoke", args=[code.pk]))
    assert mine.text.count("fle_") == 1
    assert "fle_" not in theirs.text


# Roles, emptiness


def test_a_viewer_sees_no_action(viewer):
    HostFactory()

    page = parse(viewer.get(URL).content)

    assert page.by_id("hosts").all("form") == []
    assert page.one("main").all("a", href=reverse("host-new")) == []


def test_an_operator_finds_every_verb_in_the_menu(operator):
    host = HostFactory()

    menu = parse(operator.get(URL).content).by_id(f"host-{host.pk}").one("details")

    assert [action.text for action in [*menu.all("a"), *menu.all("button")]] == [
        "Provision here…",
        "Drain…",
        "Change slots…",
        "Rotate agent token…",
        "Retire…",
        "Cordon",
    ]


def test_what_the_state_forbids_stays_with_its_reason(operator):
    host = HostFactory()
    RunnerFactory(host=host, busy=True)

    menu = parse(operator.get(URL).content).by_id(f"host-{host.pk}").one("details")

    assert menu.one(role="note").text == "Retire A job may be running here. Drain it first."
    assert menu.all("a", href=reverse("host-retire", args=[host.name])) == []


def test_an_empty_fleet_offers_the_one_step(operator):
    page = parse(operator.get(URL).content)

    assert "No hosts yet" in page.by_id("hosts").text
    assert page.by_id("hosts").one("a", href=reverse("host-new")).text == "Add host"


def test_no_match_offers_to_clear_the_filters(viewer):
    HostFactory()

    assert "No host matches" in parse(viewer.get(f"{URL}?q=zzz").content).by_id("hosts").text


# Polls and cost


def test_a_fragment_is_the_table_alone(viewer):
    response = viewer.get(URL, headers=HTMX)

    assert [child.attributes["id"] for child in elements(response)] == ["hosts"]
    assert "HX-Request" in response["Vary"]


def test_an_unchanged_poll_is_204_in_two_queries(viewer, django_assert_num_queries):
    HostFactory()
    version = parse(viewer.get(URL).content).by_id("hosts")["data-version"]

    with django_assert_num_queries(2):
        response = viewer.get(URL, headers={**HTMX, "X-Fleet-Version": version})

    assert response.status_code == 204


def test_a_poll_after_a_change_brings_the_table(viewer):
    host = HostFactory()
    version = parse(viewer.get(URL).content).by_id("hosts")["data-version"]
    Host.objects.filter(pk=host.pk).update(late_after=NOW, offline_after=NOW)

    response = viewer.get(URL, headers={**HTMX, "X-Fleet-Version": version})

    assert response.status_code == 200


@pytest.mark.parametrize("count", [3, 25])
def test_rows_cost_no_queries(operator, django_assert_num_queries, count):
    scope = ScopeFactory()
    for number in range(count):
        host = HostFactory(site=f"site-{number}")
        RunnerFactory(host=host, scope=scope, slot=1)
        sample(host, ago=5)
    operator.get(URL)

    with django_assert_num_queries(15):
        operator.get(URL)


def elements(response):
    return [child for child in parse(response.content).children if not isinstance(child, str)]

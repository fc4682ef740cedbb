"""Provisioning: the form, its preview and what comes of it, in a dialog and without script."""

from __future__ import annotations

import pytest
from django.urls import reverse

from runners.models import Event, Host, Runner
from tests.factories import HostFactory, PoolFactory, RunnerFactory, ScopeFactory
from tests.views.conftest import HTMX
from tests.views.dom import parse

pytestmark = pytest.mark.django_db
URL = reverse("runner-provision")
PREVIEW = reverse("runner-preview")


def order(register_with, /, **wishes):
    return {
        "scope": register_with.pk,
        "labels": "self-hosted, linux, x64",
        "count": "1",
        "lifetime": "ephemeral",
        **wishes,
    }


def callouts(page):
    return " ".join(callout.text for callout in page.all(class_="callout"))


# What comes of it


def test_an_order_makes_runners_and_goes_to_the_list(operator):
    HostFactory(slots=2)
    scope = ScopeFactory()

    response = operator.post(URL, order(scope, count="2"))

    runners = Runner.objects.all()
    assert response["Location"] == reverse("runner-list")
    assert [runner.ephemeral for runner in runners] == [True, True]
    assert {label.name for label in runners[0].labels.all()} == {"self-hosted", "linux", "x64"}


def test_a_single_runner_leads_to_its_page(operator):
    HostFactory()

    response = operator.post(URL, order(ScopeFactory()))

    assert response["Location"] == Runner.objects.get().get_absolute_url()


def test_from_a_dialog_the_page_is_left_too(operator):
    HostFactory()

    response = operator.post(URL, order(ScopeFactory(), count="1"), headers=HTMX)

    assert response["HX-Redirect"] == Runner.objects.get().get_absolute_url()


def test_the_event_names_who_asked_and_why(operator):
    HostFactory()

    operator.post(URL, order(ScopeFactory(), reason="Release week"))

    event = Event.objects.get(action="runner.provision")
    assert (event.actor_kind, event.reason) == ("user", "Release week")


def test_everything_asked_for_is_taken_over(operator):
    HostFactory(name="other")
    host = HostFactory(name="mine", architecture="arm64")
    wishes = {
        "labels": "self-hosted, arm64, release",
        "lifetime": "persistent",
        "host": host.pk,
        "name_pattern": "rel-{host}-{random}",
        "runner_group_id": "7",
        "runner_group_name": "Release",
    }

    operator.post(URL, order(ScopeFactory(), **wishes))

    runner = Runner.objects.get()
    assert runner.host == host
    assert runner.name.startswith("rel-mine-")
    assert not runner.ephemeral
    assert (runner.runner_group_id, runner.runner_group_name) == (7, "Release")


def test_a_pool_says_what_its_runners_are_and_labels_are_added(operator):
    HostFactory()
    pool = PoolFactory(name="linux-x64", labels=["self-hosted", "linux"])

    operator.post(
        URL, {"pool": "linux-x64", "labels": "extra", "count": "1", "lifetime": "persistent"}
    )

    runner = Runner.objects.get()
    assert (runner.pool, runner.scope, runner.ephemeral) == (pool, pool.scope, True)
    assert {label.name for label in runner.labels.all()} == {"self-hosted", "linux", "extra"}


# What is refused


@pytest.mark.parametrize(
    ("wishes", "where", "words"),
    [
        ({"scope": ""}, "id_scope_error", "Choose where the runners register."),
        ({"scope": "999"}, "id_scope_error", "That scope is gone. Choose another."),
        ({"labels": " , "}, "id_labels_error", "Give at least one label, such as self-hosted."),
        ({"count": ""}, "id_count_error", "Say how many, such as 1."),
        ({"count": "0"}, "id_count_error", "greater than or equal to 1"),
        ({"count": "101"}, "id_count_error", "less than or equal to 100"),
        ({"host": "999"}, "id_host_error", "That host is gone. Choose another."),
        (
            {"runner_group_id": "7"},
            "id_runner_group_name_error",
            "Give the group's name beside its ID.",
        ),
    ],
)
def test_a_mistake_is_said_beside_its_field_and_all_else_is_kept(operator, wishes, where, words):
    HostFactory()
    entered = order(ScopeFactory(), name_pattern="kept-{random}", **wishes)

    response = operator.post(URL, entered)

    page = parse(response.content)
    assert response.status_code == 422
    assert words in page.by_id(where).text
    assert page.by_id("id_name_pattern")["value"] == "kept-{random}"
    assert Runner.objects.count() == 0


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"labels": "x" * 300}, "at most 256 characters"),
        ({"name_pattern": "no blanks {random}"}, "Runner names are letters, digits"),
    ],
)
def test_what_the_domain_refuses_is_said_with_the_form(operator, wishes, words):
    HostFactory()

    response = operator.post(URL, order(ScopeFactory(), **wishes))

    assert response.status_code == 422
    assert words in callouts(parse(response.content))


def test_a_pool_gets_no_more_than_its_maximum_by_hand_either(operator):
    HostFactory()
    PoolFactory(name="linux", max_runners=1)

    response = operator.post(URL, {"pool": "linux", "count": "2", "lifetime": "ephemeral"})

    assert (response.status_code, Runner.objects.count()) == (422, 0)
    assert "linux has 0 of the 1 runners it may have now" in callouts(parse(response.content))


def test_no_room_is_a_conflict_that_keeps_the_form(operator):
    host = HostFactory(name="full", slots=1)
    RunnerFactory(host=host)

    response = operator.post(URL, order(ScopeFactory(), labels="self-hosted, kept"))

    page = parse(response.content)
    assert response.status_code == 409
    assert "too few free slots" in callouts(page)
    assert page.by_id("id_labels")["value"] == "self-hosted, kept"
    assert "There is no room for this." in page.by_id("placement").text


def test_a_mistake_in_the_dialog_stays_in_the_dialog(operator):
    HostFactory()

    response = operator.post(URL, order(ScopeFactory(), count="0"), headers=HTMX)

    assert response.status_code == 422
    assert (response["HX-Retarget"], response["HX-Reswap"]) == ("#dialog", "innerHTML")
    assert parse(response.content).by_id("provision").name == "dialog"


# The form


def test_the_dialog_is_the_page_without_its_frame(operator):
    HostFactory()

    dialog = parse(operator.get(URL, headers=HTMX).content)

    assert dialog.by_id("provision").one("h2", id="provision-title").text == "Provision runners"
    assert dialog.all("nav") == []


def test_the_form_begins_with_the_usual(operator):
    HostFactory(architecture="arm64")
    scope = ScopeFactory()

    page = parse(operator.get(URL).content)

    assert page.by_id("id_labels")["value"] == "self-hosted, linux, arm64"
    assert page.by_id("id_scope").one("option", value=str(scope.pk)).has("selected")
    assert page.one("input", name="lifetime", value="ephemeral").has("checked")


def test_architectures_that_differ_leave_the_label_open(operator):
    HostFactory(architecture="arm64")
    HostFactory(architecture="x64")

    assert parse(operator.get(URL).content).by_id("id_labels")["value"] == "self-hosted, linux"


def test_a_host_in_the_address_is_chosen(operator):
    HostFactory(architecture="x64")
    host = HostFactory(architecture="arm64")

    page = parse(operator.get(f"{URL}?host={host.pk}").content)

    assert page.by_id("id_host").one("option", value=str(host.pk)).has("selected")
    assert page.by_id("id_labels")["value"] == "self-hosted, linux, arm64"


@pytest.mark.parametrize("query", ["host=nonsense", "host=999999", "pool=gone", "count=many"])
def test_an_address_that_means_nothing_still_opens_the_form(operator, query):
    HostFactory()
    ScopeFactory()

    assert operator.get(f"{URL}?{query}").status_code == 200


def test_pools_show_the_room_they_have(operator):
    RunnerFactory(host=HostFactory(slots=3))
    HostFactory(slots=5, cordoned_for_work=True)
    PoolFactory(name="linux-x64", labels=["linux", "x64"])
    PoolFactory(name="linux-gpu", labels=["linux"], needs_gpu=True)

    tiles = parse(operator.get(URL).content).one(class_="options").all("label")

    assert [tile.text for tile in tiles] == [
        "linux-gpu no slot free",
        "linux-x64 2 slots free",
        "Custom Choose scope and labels",
    ]


def test_an_empty_fleet_says_what_is_missing(operator):
    page = parse(operator.get(URL).content)

    assert "GitHub is not connected yet." in callouts(page)
    assert "There is no host yet." in callouts(page)


# The preview


def test_the_preview_shows_where_the_runners_would_land(operator):
    host = HostFactory(name="forge-01", slots=3)
    RunnerFactory(host=host, slot=1)

    page = parse(operator.get(PREVIEW, order(ScopeFactory(slug="acme"), count="2")).content)

    windows = page.by_id("placement").all(class_="slot")
    assert [window["data-state"] for window in windows] == ["idle", "ghost", "ghost"]
    assert "acme (organization)" in page.text


def test_the_preview_says_why_there_is_no_room(operator):
    HostFactory(name="forge-01", cordoned_for_work=True)

    page = parse(operator.get(PREVIEW, order(ScopeFactory())).content)

    assert "forge-01 (cordoned: Disk replacement)" in callouts(page)


def test_the_preview_takes_no_slot(operator):
    HostFactory()
    version = Host.objects.get().wanted_version

    operator.get(PREVIEW, order(ScopeFactory()))

    assert Runner.objects.count() == 0
    assert Host.objects.get().wanted_version == version
    assert Event.objects.count() == 0


def test_the_preview_of_a_persistent_runner_names_the_exception(operator):
    HostFactory()

    page = parse(operator.get(PREVIEW, order(ScopeFactory(), lifetime="persistent")).content)

    assert "Until stopped is the exception." in callouts(page)


@pytest.mark.parametrize("wishes", [{"scope": ""}, {"labels": "x" * 300}, {"count": "x"}])
def test_a_preview_of_too_little_asks_for_more(operator, wishes):
    HostFactory()

    page = parse(operator.get(PREVIEW, order(ScopeFactory(), **wishes)).content)

    assert "Fill in the form" in page.by_id("placement").text


def test_without_script_a_button_previews_and_changes_nothing(operator):
    HostFactory(name="forge-01")

    response = operator.post(URL, order(ScopeFactory(), labels="mine", preview="1"))

    page = parse(response.content)
    assert response.status_code == 200
    assert "forge-01" in page.by_id("placement").text
    assert page.by_id("id_labels")["value"] == "mine"
    assert Runner.objects.count() == 0


@pytest.mark.parametrize("count", [3, 30])
def test_the_form_costs_the_same_however_big_the_fleet(operator, django_assert_num_queries, count):
    scope = ScopeFactory()
    for number in range(count):
        RunnerFactory(host=HostFactory(), scope=scope)
        PoolFactory(scope=scope, name=f"pool-{number}")

    with django_assert_num_queries(20):
        operator.get(URL)

"""Polls that cost next to nothing, and the frame around every page."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from runners import audit
from runners.audit import Actor
from runners.models import Host, Runner, RunnerLog
from tests.factories import (
    NOW,
    CredentialFactory,
    HostFactory,
    JobFactory,
    RunnerFactory,
)
from tests.views.conftest import HTMX
from tests.views.dom import parse

pytestmark = pytest.mark.django_db
FLEET_PAGES = ("overview", "runner-list")


def poll(client, url, version):
    return client.get(url, headers={**HTMX, "X-Fleet-Version": version})


def version_on(client, url):
    page = parse(client.get(url).content)
    return next(
        element["data-version"] for element in page.all("div") if element.has("data-version")
    )


@pytest.mark.parametrize("name", [*FLEET_PAGES, "runner-detail"])
def test_an_unchanged_page_is_204_for_two_queries(viewer, django_assert_num_queries, name):
    runner = RunnerFactory(busy=True)
    url = runner.get_absolute_url() if name == "runner-detail" else reverse(name)
    version = version_on(viewer, url)

    with django_assert_num_queries(2):
        response = poll(viewer, url, version)

    assert (response.status_code, response.content) == (204, b"")


CHANGES = {
    "a transition": lambda: audit.record(
        Runner.objects.get(), "runner.draining", by=Actor.system("x"), at=NOW
    ),
    "a phase": lambda: Runner.objects.update(phase="busy", observed_at=NOW),
    "online at GitHub": lambda: Runner.objects.update(github_status="offline"),
    "busy at GitHub": lambda: Runner.objects.update(github_busy=True),
    "a host's silence": lambda: Host.objects.update(offline_after=NOW, late_after=NOW),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", [*FLEET_PAGES, "runner-detail"])
def test_what_a_page_shows_changes_its_version(viewer, name, change):
    runner = RunnerFactory()
    url = runner.get_absolute_url() if name == "runner-detail" else reverse(name)
    version = version_on(viewer, url)

    CHANGES[change]()

    assert poll(viewer, url, version).status_code == 200


@pytest.mark.parametrize("name", FLEET_PAGES)
def test_a_new_job_changes_the_fleets_version(viewer, name):
    RunnerFactory()
    version = version_on(viewer, reverse(name))

    JobFactory()

    assert poll(viewer, reverse(name), version).status_code == 200


@pytest.mark.parametrize("name", FLEET_PAGES)
def test_a_late_host_changes_the_fleets_version(viewer, name):
    HostFactory()
    version = version_on(viewer, reverse(name))

    Host.objects.update(late_after=NOW)

    assert poll(viewer, reverse(name), version).status_code == 200


def test_the_jobs_of_the_past_do_not_change_the_fleets_version(viewer):
    RunnerFactory()
    version = version_on(viewer, reverse("overview"))

    JobFactory(done=True, seen_at=NOW + timedelta(seconds=1))

    assert poll(viewer, reverse("overview"), version).status_code == 204


def test_new_log_lines_change_the_runners_version(viewer):
    runner = RunnerFactory()
    version = version_on(viewer, runner.get_absolute_url())

    RunnerLog.objects.create(runner=runner, text="Listening", offset=9, updated_at=NOW)

    assert poll(viewer, runner.get_absolute_url(), version).status_code == 200


def test_another_runners_events_leave_the_runners_version(viewer):
    runner = RunnerFactory()
    version = version_on(viewer, runner.get_absolute_url())

    audit.record(RunnerFactory(), "runner.draining", by=Actor.system("x"), at=NOW)

    assert poll(viewer, runner.get_absolute_url(), version).status_code == 204


def test_a_stranger_is_not_told_that_nothing_changed(viewer):
    version = version_on(viewer, reverse("overview"))

    response = poll(Client(), reverse("overview"), version)

    assert "HX-Redirect" in response


def test_somebody_switched_off_is_not_told_that_nothing_changed(viewer):
    RunnerFactory()
    version = version_on(viewer, reverse("overview"))

    User.objects.update(is_active=False)

    assert "HX-Redirect" in poll(viewer, reverse("overview"), version)


def test_the_navigation_marks_where_one_is_and_counts(viewer):
    RunnerFactory.create_batch(2)
    RunnerFactory(removed=True)

    page = parse(viewer.get(reverse("runner-list")).content)

    current = page.one("nav", aria_label="Main").one("a", aria_current="page")
    assert current.text == "Runners 2"


def test_a_runners_page_belongs_to_the_runners(viewer):
    page = parse(viewer.get(RunnerFactory().get_absolute_url()).content)

    current = page.one("nav", aria_label="Main").one("a", aria_current="page")
    assert current["href"] == reverse("runner-list")


def test_the_tightest_api_budget_is_shown(viewer):
    CredentialFactory(name="roomy", budget_limit=5000, budget_remaining=4000)
    CredentialFactory(name="tight", budget_limit=15000, budget_remaining=3118)
    CredentialFactory(name="unused")

    page = parse(viewer.get(reverse("overview")).content)

    budget = page.one("div", class_="quota")
    assert budget["title"] == "Requests left in this hour for tight"
    assert budget.text == "GitHub API 3,118 left of 15,000"


def test_only_auditors_and_admins_are_led_to_the_records(sign_in):
    for role, found in (("viewer", 0), ("operator", 0), ("auditor", 2), ("admin", 2)):
        page = parse(sign_in(role).get(reverse("overview")).content)
        assert len(page.all("a", href=reverse("admin:index"))) == found, role


@pytest.mark.parametrize("name", FLEET_PAGES)
def test_a_page_has_one_h1_a_skip_link_a_title_and_named_landmarks(viewer, name):
    RunnerFactory()

    page = parse(viewer.get(reverse(name)).content)

    assert len(page.all("h1")) == 1
    assert page.one("a", class_="skip")["href"] == f"#{page.one('main')['id']}"
    assert page.one("title").text.endswith(" · Fleetui")
    assert all(nav.has("aria-label") for nav in page.all("nav"))


@pytest.mark.parametrize("name", FLEET_PAGES)
def test_ids_are_unique_and_everything_that_points_at_one_finds_it(operator, name):
    RunnerFactory.create_batch(2)

    page = parse(operator.get(reverse(name)).content)

    ids = [element["id"] for element in page.all() if element.has("id")]
    assert len(ids) == len(set(ids))
    for attribute in ("for", "aria-labelledby", "aria-describedby", "form"):
        for element in page.all():
            if element.has(attribute):
                assert element[attribute] in ids, (attribute, element[attribute])


@pytest.mark.parametrize("name", FLEET_PAGES)
def test_every_control_has_a_name(operator, name):
    RunnerFactory.create_batch(2)

    page = parse(operator.get(reverse(name)).content)

    labelled = {label["for"] for label in page.all("label") if label.has("for")}
    for element in [*page.all("button"), *page.all("a"), *page.all("summary")]:
        assert element.text or element.has("aria-label"), element.attributes
    for element in [*page.all("input"), *page.all("select")]:
        hidden = element.attributes.get("type") == "hidden" or "role" in element.attributes
        assert hidden or element.has("aria-label") or element.attributes.get("id") in labelled


def test_pages_carry_no_code_of_their_own(operator):
    RunnerFactory(persistent=True)

    page = parse(operator.get(reverse("runner-list")).content)

    assert all(script.has("src") and not script.text for script in page.all("script"))
    assert page.all("style") == []
    for element in page.all():
        assert not [name for name in element.attributes if name.startswith(("on", "hx-on"))]
        assert not element.has("style")


def test_the_policy_allows_only_what_we_serve(viewer):
    policy = viewer.get(reverse("overview"))["Content-Security-Policy"]

    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


def test_htmx_is_told_to_evaluate_nothing_and_what_to_swap(viewer):
    import json

    page = parse(viewer.get(reverse("overview")).content)

    config = json.loads(page.one("meta", name="htmx-config")["content"])
    assert config["allowEval"] is False
    swapped = [rule["code"] for rule in config["responseHandling"] if rule["swap"]]
    assert swapped == ["2..", "409", "422"]

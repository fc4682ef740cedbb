"""What bites next, in the browser: ordered by when, told with what to do, unknown said so."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse

from runners.states import GitHubStatus
from tests.factories import (
    NOW,
    CredentialFactory,
    HostFactory,
    RunnerFactory,
    RunnerPackageFactory,
    ScopeFactory,
)
from tests.views.conftest import HTMX
from tests.views.dom import parse

pytestmark = pytest.mark.django_db
URL = reverse("countdown-list")


def offline(hours=1, **facts):
    return RunnerFactory(
        github_status=GitHubStatus.OFFLINE,
        github_offline_since=NOW - timedelta(hours=hours),
        **facts,
    )


def behind(scope=None, **facts):
    scope = scope or ScopeFactory()
    return RunnerFactory(scope=scope, runner_version="2.300.0", **facts)


def lines(client, **query):
    """The cells of each line."""
    page = parse(client.get(URL, query).content)
    return [
        [cell.text for cell in row.all("td")]
        for row in page.all("tr")
        if row.attributes.get("id", "").startswith("countdown-")
    ]


def test_an_offline_runner_says_when_github_removes_it_and_what_to_do(viewer):
    runner = offline(host__name="forge-01")

    (cells,) = lines(viewer)

    assert cells[0] == "in 23 h 24 Nov 2026, 11:00"
    assert cells[1] == f"{runner.name} forge-01 · {runner.scope.slug}"
    assert cells[2] == "GitHub removes the registration."
    assert "Bring it back online" in cells[3]


def test_an_older_version_says_until_when_it_gets_jobs(viewer):
    runner = behind()
    RunnerPackageFactory(scope=runner.scope, version_since=NOW - timedelta(days=1))

    (cells,) = lines(viewer)

    assert cells[0] == "in 29 d 22 Dec 2026, 12:00"
    assert "stops giving it jobs" in cells[2]


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("", ["b", "a", "c"]),
        ("at", ["b", "a", "c"]),
        ("-at", ["a", "b", "c"]),
        ("name", ["a", "b", "c"]),
        ("-name", ["c", "b", "a"]),
        ("what", ["b", "a", "c"]),
        ("nonsense", ["b", "a", "c"]),
    ],
)
def test_lines_are_in_the_order_asked_for_and_the_unknown_last(viewer, sort, order):
    offline(hours=1, name="a")
    offline(hours=2, name="b")
    RunnerPackageFactory(scope=behind(name="c").scope, version_since=None)

    assert [cells[1][0] for cells in lines(viewer, sort=sort)] == order


def test_runner_and_host_say_what_runs_out_next(viewer):
    host = HostFactory(name="forge-01")
    first = offline(hours=9, host=host, slot=1)
    later = offline(hours=1, host=host, slot=2)

    shown = parse(viewer.get(later.get_absolute_url()).content).text
    assert "Removal by GitHub in 23 h" in shown
    shown = parse(viewer.get(host.get_absolute_url()).content).text
    assert f"Next to run out Removal by GitHub for {first.name} in 15 h" in shown


def test_a_release_of_unknown_age_is_called_unknown(viewer):
    RunnerPackageFactory(scope=behind().scope, version_since=None)

    assert lines(viewer)[0][0] == "Unknown"


def test_a_drain_says_its_deadline(viewer):
    RunnerFactory(draining=True, drain_deadline_at=NOW + timedelta(minutes=10))

    assert lines(viewer)[0][0].startswith("in 10 min")


def test_a_credential_says_its_end_and_where_to_replace_it(viewer):
    CredentialFactory(name="acme-token", expires_at=NOW + timedelta(days=2, hours=1))

    page = parse(viewer.get(URL).content)

    assert page.one("a", class_="rowlink mono")["href"] == reverse("settings")
    assert page.by_id("countdown-1").one("span", class_="status")["data-state"] == "critical"


def test_the_nearest_comes_first_and_the_unknown_last(viewer):
    far = behind()
    RunnerPackageFactory(scope=far.scope, version_since=None)
    near, later = offline(hours=20), offline(hours=2)

    assert [cells[1].split()[0] for cells in lines(viewer)] == [near.name, later.name, far.name]


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"github_status": "offline", "github_offline_since": NOW - timedelta(seconds=89)},
        {"starting": True, "github_offline_since": NOW - timedelta(hours=1)},
        {"removed": True, "github_offline_since": NOW - timedelta(hours=1)},
        {"github_status": "online", "github_offline_since": NOW - timedelta(hours=1)},
        {
            "failed": True,
            "github_status": "offline",
            "github_offline_since": NOW - timedelta(hours=1),
            "github_deleted_at": NOW,
        },
        {"drain_deadline_at": NOW},
    ],
)
def test_what_does_not_run_out_is_not_listed(viewer, facts):
    RunnerFactory(**facts)

    assert lines(viewer) == []
    assert "Nothing runs out" in parse(viewer.get(URL).content).by_id("countdowns").text


def test_what_runs_out_together_is_one_line(viewer):
    host, scope = HostFactory(), ScopeFactory()
    for slot in (1, 2, 3):
        offline(host=host, scope=scope, slot=slot)

    (cells,) = lines(viewer)

    assert "and 2 more" in cells[1]


def test_runners_of_two_hosts_are_two_lines(viewer):
    scope = ScopeFactory()
    offline(scope=scope)
    offline(scope=scope)

    assert len(lines(viewer)) == 2


def test_one_line_a_host_has_its_earliest(viewer):
    host, scope = HostFactory(name="forge-01"), ScopeFactory()
    offline(hours=2, host=host, scope=scope)
    first = offline(hours=20, host=host, scope=scope, slot=2)

    (cells,) = lines(viewer, per="host")

    assert cells[0].startswith("in 4 h")
    assert cells[1] == f"forge-01 and 1 more first {first.name}"


def test_kinds_narrow_and_nonsense_does_not(viewer):
    offline()
    CredentialFactory(expires_at=NOW)

    assert len(lines(viewer, kind="credential")) == 1
    assert len(lines(viewer, kind="nonsense")) == len(lines(viewer)) == 2
    assert "Nothing of this kind" in parse(viewer.get(URL, {"kind": "drain"}).content).text


def test_what_github_cannot_be_asked_is_said(viewer):
    scope = ScopeFactory(slug="acme", github_unknown_since=NOW - timedelta(minutes=5))
    offline(scope=scope)

    page = parse(viewer.get(URL).content)

    assert "GitHub unknown for acme" in page.by_id(f"unknown-{scope.pk}").text
    assert "As known before 11:55:00" in lines(viewer)[0][2]


def test_an_unchanged_page_is_204_in_two_queries(viewer, django_assert_num_queries):
    offline()
    version = parse(viewer.get(URL).content).by_id("countdowns")["data-version"]

    with django_assert_num_queries(2):
        response = viewer.get(URL, headers={**HTMX, "X-Fleet-Version": version})

    assert response.status_code == 204


@pytest.mark.parametrize("count", [3, 300])
def test_the_page_costs_the_same_however_many_runners(viewer, django_assert_num_queries, count):
    scope = ScopeFactory()
    RunnerPackageFactory(scope=scope, version_since=NOW)
    hosts = HostFactory.create_batch(3)
    for number in range(count):
        behind(scope=scope, host=hosts[number % 3], slot=None)
        offline(hours=2 + number, scope=scope, host=hosts[number % 3], slot=None)

    with django_assert_num_queries(11):
        viewer.get(URL)

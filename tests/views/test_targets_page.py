"""The targets, in the browser: what was kept, what was not and why, and what is promised."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse

from runners.histograms import Histogram
from runners.models import (
    AnnouncedWindow,
    Event,
    JobDay,
    LabelTarget,
    Outage,
    PoolTarget,
)
from tests.factories import NOW, JobFactory, PoolFactory
from tests.views.conftest import HTMX
from tests.views.dom import parse

pytestmark = pytest.mark.django_db
URL = reverse("report-targets")


@pytest.fixture
def pool():
    """Watched since the beginning of the month: 155 business hours of 1 to 23 November, 12:00."""
    pool = PoolFactory(name="linux-x64")
    since = datetime(2026, 11, 1, tzinfo=UTC)
    PoolTarget.objects.create(pool=pool, watched_since=since, watched_at=NOW)
    return pool


def down(pool, minutes, **facts):
    return Outage.objects.create(
        **{
            "pool": pool,
            "cause": "host-lost",
            "words": "No slot is free; 1 matching host is silent.",
            "began_at": datetime(2026, 11, 16, 9, tzinfo=UTC),
            "ended_at": datetime(2026, 11, 16, 9, tzinfo=UTC) + timedelta(minutes=minutes),
            **facts,
        }
    )


def day(kind="labels", key="linux", **facts):
    return JobDay.objects.create(kind=kind, key=key, day=NOW.date(), **{"jobs": 1, **facts})


def page_of(client, **query):
    return parse(client.get(URL, query).content)


def test_a_pool_that_kept_its_promise_says_what_is_left(viewer, pool):
    down(pool, 20)

    cells = [cell.text for cell in page_of(viewer).by_id("pool-linux-x64").all("td")]

    assert cells[0] == "linux-x64 Mon to Fri 08:00 to 18:00 UTC"
    assert cells[1:4] == ["99.78%", "99.5%", "On track"]
    assert cells[4:6] == ["26m 12s of 46m 12s", "20m 00s"]


@pytest.mark.parametrize(
    ("minutes", "word"), [(0, "On track"), (40, "Budget nearly used"), (47, "Missed")]
)
def test_the_state_follows_the_budget(viewer, pool, minutes, word):
    down(pool, minutes)

    assert page_of(viewer).by_id("pool-linux-x64").all("td")[3].text == word


def test_what_counted_is_listed_with_its_cause_and_share(viewer, pool):
    down(pool, 20)
    sunday = datetime(2026, 11, 15, 9, tzinfo=UTC)
    down(pool, 0, began_at=sunday, ended_at=sunday + timedelta(hours=3))

    rows = page_of(viewer).by_id("outages").all("tr")[1:]

    assert len(rows) == 1
    assert "Host lost" in rows[0].text
    assert rows[0].text.endswith("linux-x64 20m 00s 43%")


def test_an_outage_that_goes_on_says_so(viewer, pool):
    down(pool, 0, began_at=NOW - timedelta(minutes=10), ended_at=None)

    assert "goes on" in page_of(viewer).by_id("outages").text


def test_a_new_pool_has_nothing_to_count_yet(viewer):
    PoolFactory(name="new")

    assert "Nothing to count yet" in page_of(viewer).by_id("pool-new").text


def test_starts_show_their_burn_and_why_they_were_late(viewer):
    day(started=100, late=10, late_causes={"cold-start": 10})
    for _ in range(2):
        JobFactory(status="in_progress", label_set="linux", started_at=NOW)

    cells = [cell.text for cell in page_of(viewer).by_id("queue-1").all("td")]

    assert cells[1:4] == ["90.0% 10 of 100 late", "95% within 1m 00s", "Missed"]
    assert cells[5:] == ["0.0×", "0.0×", "10 Cold start of its runner"]  # noqa: RUF001


@pytest.mark.parametrize(("minutes", "word"), [(14, "Kept"), (16, "Missed")])
def test_builds_are_measured_against_a_quarter_of_an_hour(viewer, minutes, word):
    day("build", "acme/web/CI · arm64", total=Histogram.of([minutes * 60]).stored())

    assert page_of(viewer).text.count(word) == 1


@pytest.mark.parametrize(
    ("month", "first"),
    [("", "Nov 2026"), ("2026-10", "Oct 2026"), ("2027-01", "Nov 2026"), ("x", "Nov 2026")],
)
def test_a_month_is_chosen(viewer, month, first):
    page = page_of(viewer, month=month)

    assert page.by_id("targets").one("a", aria_current="true").text == first


def test_a_month_before_anybody_watched_counts_nothing(viewer, pool):
    assert "Nothing to count yet" in page_of(viewer, month="2026-10").by_id("pool-linux-x64").text


PROMISE = {
    "availability_percent": "99.9",
    "zone": "Europe/Berlin",
    "days": ["0", "1"],
    "opens": "07:00",
    "closes": "19:00",
}


def test_an_admin_changes_what_a_pool_promises(sign_in, pool):
    url = reverse("report-target-pool", args=[pool.name])

    response = sign_in("admin").post(url, PROMISE)

    assert response.status_code == 302
    target = PoolTarget.objects.get()
    assert (target.zone, target.days, float(target.availability_percent)) == (
        "Europe/Berlin",
        [0, 1],
        99.9,
    )
    assert Event.objects.get().action == "pool.target"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"zone": "Europe/Bonn"}, "No such time zone"),
        ({"days": []}, "required"),
        ({"availability_percent": "101"}, "100"),
        ({"opens": "noon"}, "valid time"),
    ],
)
def test_a_promise_that_makes_no_sense_is_refused_beside_its_field(sign_in, pool, change, words):
    url = reverse("report-target-pool", args=[pool.name])

    response = sign_in("admin").post(url, {**PROMISE, **change})

    assert response.status_code == 422
    assert words in parse(response.content).text
    assert not Event.objects.exists()


def test_an_admin_gives_a_label_set_its_own_target(sign_in):
    sign_in("admin").post(
        reverse("report-target-labels"),
        {"label_set": "X64, linux", "percent": "99", "seconds": "30"},
    )

    row = LabelTarget.objects.get()
    assert (row.label_set, float(row.percent), row.seconds) == ("linux,x64", 99, 30)


def test_no_label_is_no_label_set(sign_in):
    response = sign_in("admin").post(
        reverse("report-target-labels"), {"label_set": " , ", "percent": "99", "seconds": "30"}
    )

    assert "Name at least one label." in parse(response.content).text


def announce(client, begins="2026-11-24 20:00", ends="2026-11-24 22:00", pool=""):
    return client.post(
        reverse("report-window-new"),
        {"pool": pool, "begins_at": begins, "ends_at": ends, "reason": "Switch"},
    )


def test_an_operator_announces_maintenance_and_calls_it_off(operator, pool):
    announce(operator, pool=pool.name)
    window = AnnouncedWindow.objects.get()
    assert window.begins_at == datetime(2026, 11, 24, 20, tzinfo=UTC)
    assert "Switch linux-x64" in page_of(operator).by_id(f"window-{window.pk}").text

    operator.post(reverse("report-window-call-off", args=[window.pk]))

    assert not AnnouncedWindow.objects.exists()


@pytest.mark.parametrize(
    ("begins", "ends", "words"),
    [
        ("2026-11-23 11:00", "2026-11-24 22:00", "announced before it begins"),
        ("2026-11-24 22:00", "2026-11-24 20:00", "must end after it begins"),
        ("tomorrow", "2026-11-24 20:00", "valid date"),
    ],
)
def test_maintenance_that_cannot_be_announced_says_why(operator, begins, ends, words):
    assert words in parse(announce(operator, begins, ends).content).text
    assert not AnnouncedWindow.objects.exists()


def test_what_has_begun_is_not_called_off(operator):
    window = AnnouncedWindow.objects.create(
        begins_at=NOW,
        ends_at=NOW + timedelta(hours=1),
        reason="Switch",
        announced_at=NOW,
        announced_by="ada",
    )

    response = operator.post(reverse("report-window-call-off", args=[window.pk]))

    assert response.status_code == 409


@pytest.mark.parametrize(
    ("name", "args", "role"),
    [
        ("report-target-pool", ["linux-x64"], "operator"),
        ("report-target-labels", [], "operator"),
        ("report-window-new", [], "viewer"),
    ],
)
def test_what_a_role_may_not_change_is_refused(sign_in, pool, name, args, role):
    assert sign_in(role).get(reverse(name, args=args)).status_code == 403


def test_an_unchanged_page_is_204_in_two_queries(viewer, pool, django_assert_num_queries):
    version = page_of(viewer).by_id("targets")["data-version"]

    with django_assert_num_queries(2):
        response = viewer.get(URL, headers={**HTMX, "X-Fleet-Version": version})

    assert response.status_code == 204


@pytest.mark.parametrize("count", [3, 30])
def test_the_page_costs_the_same_however_many_pools(viewer, django_assert_num_queries, count):
    for number in range(count):
        pool = PoolFactory(name=f"pool-{number}")
        PoolTarget.objects.create(pool=pool, watched_since=NOW - timedelta(days=20), watched_at=NOW)
        down(pool, 5)
        day(key=f"label-{number}", started=1, late=1, late_causes={"github": 1})
        day("build", f"build-{number}", total=Histogram.of([60]).stored())

    with django_assert_num_queries(20):
        viewer.get(URL)

"""The history of jobs, in the browser: by subject, with percentiles, trends and a file of it."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest
from django.urls import reverse

from runners import history
from runners.histograms import Histogram
from runners.models import JobDay
from tests.factories import NOW, JobFactory, PoolFactory, RunnerFactory
from tests.views.conftest import HTMX
from tests.views.dom import parse

pytestmark = pytest.mark.django_db
URL = reverse("report-history")
Kind = JobDay.Kind


def day(kind=Kind.LABELS, key="linux", ago=0, **facts):
    return JobDay.objects.create(
        kind=kind, key=key, day=(NOW - timedelta(days=ago)).date(), **{"jobs": 1, **facts}
    )


def lines(client, **query):
    page = parse(client.get(URL, query).content)
    return [
        [cell.text for cell in row.all("td")]
        for row in page.all("tr")
        if row.attributes.get("id", "").startswith("subject-")
    ]


def test_a_subject_shows_its_sums_and_percentiles(viewer):
    for ago in (0, 1):
        day(
            ago=ago,
            jobs=100,
            succeeded=90,
            failed=10,
            failed_product=7,
            started=100,
            late=5,
            run_seconds=3600,
            queue=Histogram.of([10] * 47 + [100] * 3).stored(),
            run=Histogram.of([300] * 50).stored(),
        )

    (cells,) = lines(viewer)

    assert cells[:5] == ["linux", "2h 00m 0%", "200 jobs", "20 10% · 14 product", "10 of 200"]
    assert cells[5] == "10s · 1m 41s · 1m 41s"


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("", ["a", "b"]),
        ("-jobs", ["b", "a"]),
        ("-failed", ["b", "a"]),
        ("-late", ["a", "b"]),
        ("nonsense", ["a", "b"]),
    ],
)
def test_heavy_hitters_come_first(viewer, sort, order):
    day(key="a", jobs=1, run_seconds=100, late=1)
    day(key="b", jobs=2, run_seconds=50, failed=1)

    assert [cells[0] for cells in lines(viewer, sort=sort)] == order


@pytest.mark.parametrize(("days", "count"), [("1", 1), ("7", 2), ("", 3), ("90", 3), ("x", 3)])
def test_a_period_is_chosen(viewer, days, count):
    for ago in (0, 5, 20):
        day(key=f"after-{ago}", ago=ago)

    assert len(lines(viewer, days=days)) == count


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in (Kind.FLEET, Kind.SHARE)])
def test_every_kind_of_subject_can_be_asked_for(viewer, kind):
    day(kind=kind, key="one")

    assert [cells[0] for cells in lines(viewer, by=kind)] == ["one"]


def test_a_week_that_is_slower_is_flagged(viewer):
    day(ago=10, total=Histogram.of([100] * 20).stored())
    day(ago=1, total=Histogram.of([200] * 20).stored())

    assert lines(viewer)[0][-1].endswith("% slower")


def test_few_jobs_have_no_trend(viewer):
    day(ago=10, total=Histogram.of([100]).stored())

    assert lines(viewer)[0][-1] == "too few"


def test_the_oldest_waiting_job_is_told_for_all_and_for_its_labels(viewer):
    JobFactory(queued_at=NOW - timedelta(minutes=7))
    day(key="linux,self-hosted,x64")

    page = parse(viewer.get(URL).content)

    assert "Oldest waiting 7 min" in page.by_id("history-fleet").text
    assert "oldest waiting 7 min" in page.by_id("subject-1").text


def test_no_jobs_is_said(viewer):
    assert "No finished jobs" in parse(viewer.get(URL).content).by_id("history").text


def test_figures_of_real_jobs_reach_the_page(viewer):
    runner = RunnerFactory(pool=PoolFactory(name="linux-x64"))
    JobFactory(done=True, runner=runner)
    policy = history.Policy(timedelta(days=30), timedelta(days=99), queue_seconds=60)
    history.keep(policy=policy, now=NOW)

    assert lines(viewer, by="pool")[0][:3] == ["linux-x64", "35s 100%", "1 jobs"]


def test_the_file_has_every_subject_and_figure(viewer):
    day(key="=cmd", jobs=3, run_seconds=90.5, run=Histogram.of([30] * 3).stored())

    response = viewer.get(URL, {"format": "csv"})

    (row,) = csv.DictReader(io.StringIO(response.getvalue().decode()))
    assert row["subject"] == "'=cmd"
    assert (row["jobs"], row["run_seconds"], row["queue_p95_seconds"]) == ("3", "90.5", "")
    assert float(row["run_p50_seconds"]) == pytest.approx(30, rel=0.05)


def test_an_unchanged_page_is_204_in_two_queries(viewer, django_assert_num_queries):
    day()
    version = parse(viewer.get(URL).content).by_id("history")["data-version"]

    with django_assert_num_queries(2):
        response = viewer.get(URL, headers={**HTMX, "X-Fleet-Version": version})

    assert response.status_code == 204


@pytest.mark.parametrize("count", [3, 30])
def test_the_page_costs_the_same_however_many_days(viewer, django_assert_num_queries, count):
    for number in range(count):
        for ago in range(3):
            day(key=f"label-{number}", ago=ago)

    with django_assert_num_queries(13):
        viewer.get(URL)

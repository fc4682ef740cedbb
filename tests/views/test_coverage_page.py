"""Label coverage: what jobs ask for beside what serves it, the weak points first."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse

from runners.coverage import Asked, Cover, Server, covered
from runners.models import JobDay
from tests.factories import NOW, HostFactory, JobFactory, PoolFactory, RunnerFactory, ScopeFactory
from tests.looks import look
from tests.views.conftest import HTMX
from tests.views.dom import parse

URL = reverse("label-coverage")
HOSTS = frozenset({"forge-01", "forge-02"})


def server(labels, hosts=HOSTS, open_hosts=None, held="", pool="linux-x64"):
    there = frozenset(hosts)
    return Server(
        pool, frozenset(labels), there, there if open_hosts is None else frozenset(open_hosts), held
    )


def cover(labels, *servers):
    return covered([Asked(tuple(labels), 1, 0, None)], servers).rows[0].cover


@pytest.mark.parametrize(
    ("labels", "servers", "found"),
    [
        (["gpu"], [], Cover.NONE),
        (["ubuntu-latest"], [], Cover.NOT_OURS),
        (["linux", "gpu"], [server(["linux"]), server(["gpu"])], Cover.NONE),
        (["linux"], [server(["linux"], hosts=[])], Cover.NO_HOST),
        (["linux"], [server(["linux"], open_hosts=[])], Cover.ALL_CLOSED),
        (["linux"], [server(["linux"], held="paused")], Cover.HELD),
        (["linux"], [server(["linux"], held="paused"), server(["linux", "x64"])], Cover.GOOD),
        (["linux"], [server(["linux"], hosts=["forge-01"])], Cover.ONE_HOST),
        (
            ["linux"],
            [server(["linux"], hosts=["forge-01"]), server(["linux"], hosts=["forge-02"])],
            Cover.GOOD,
        ),
        (["linux"], [server(["linux"], open_hosts=["forge-01"])], Cover.ONE_OPEN),
        (["linux"], [server(["linux", "x64"])], Cover.GOOD),
    ],
)
def test_how_well_labels_are_served(labels, servers, found):
    assert cover(labels, *servers) == found


def test_the_worst_served_come_first_then_the_most_asked():
    asked = [
        Asked(("good",), 9, 0, None),
        Asked(("single",), 1, 0, None),
        Asked(("none-a",), 1, 0, None),
        Asked(("none-b",), 0, 5, None),
    ]
    there = [server(["good"]), server(["single"], hosts=["forge-01"])]

    rows = covered(asked, there).rows

    assert [row.asked.labels[0] for row in rows] == ["none-b", "none-a", "single", "good"]


def test_labels_nobody_asked_for_are_named_with_their_pools():
    found = covered(
        [Asked(("linux",), 1, 0, None)],
        [server(["linux", "old"]), server(["linux", "old"], pool="b"), server(["lone"], pool="")],
    )

    assert found.unused == (("old", ("b", "linux-x64")),)


def asked(labels, jobs=1, days_ago=0):
    day = NOW.date() - timedelta(days=days_ago)
    JobDay.objects.create(kind=JobDay.Kind.LABELS, key=",".join(labels), day=day, jobs=jobs)


def rows(client, **query):
    page = parse(client.get(URL, query).content).by_id("coverage")
    return {
        row["data-labels"]: [cell.text for cell in row.all("td")]
        for row in page.all("tr")
        if row.has("data-labels")
    }


@pytest.mark.django_db
class TestPage:
    def test_days_add_up_and_waiting_jobs_count_beside_them(self, viewer):
        scope = ScopeFactory()
        HostFactory(name="forge-01")
        HostFactory(name="forge-02", cordoned_for_work=True)
        PoolFactory(name="linux-x64", scope=scope, labels=["linux", "x64"])
        asked(["linux"], 5)
        asked(["linux"], 7, days_ago=29)
        asked(["linux"], 100, days_ago=30)
        JobFactory(scope=scope, labels=["Linux"])
        look()

        cells = rows(viewer)["linux"]

        assert cells[1].startswith("One host left")
        assert cells[2] == "linux-x64 1 host"
        assert cells[3] == "forge-01; forge-02 closed"
        assert cells[4:] == ["12 1 waiting", "23 Nov"]

    def test_a_label_nothing_serves_says_what_helps(self, viewer):
        asked(["cuda-13"])

        assert rows(viewer)["cuda-13"][1].startswith("Nothing serves it Make a pool")

    def test_runners_without_a_pool_serve_from_their_host(self, viewer):
        RunnerFactory(labels=["solo"], host=HostFactory(name="forge-07"))
        asked(["solo"])

        cells = rows(viewer)["solo"]

        assert cells[1].startswith("Single point of failure")
        assert cells[2:4] == ["runners without a pool 1 host", "forge-07"]

    def test_filters_live_in_the_address(self, viewer):
        asked(["cuda-13"])
        asked(["ubuntu-latest"])

        assert list(rows(viewer, cover="none")) == ["cuda-13"]
        assert list(rows(viewer, q="UBUNTU")) == ["ubuntu-latest"]
        assert list(rows(viewer, q="nobody")) == []

    def test_never_used_labels_are_listed(self, viewer):
        PoolFactory(name="linux-x64", labels=["old"])

        page = parse(viewer.get(URL).content)

        assert page.by_id("unused").one("dl").text == "old linux-x64"
        assert "No job asked for anything yet" in page.by_id("coverage").text

    @pytest.mark.parametrize(
        ("role", "status"), [("viewer", 200), ("auditor", 200), ("admin", 200), ("", 403)]
    )
    def test_who_reads_it(self, sign_in, role, status):
        assert sign_in(role).get(URL).status_code == status

    def test_an_unchanged_poll_is_204(self, viewer):
        version = parse(viewer.get(URL).content).by_id("coverage")["data-version"]

        response = viewer.get(URL, headers={**HTMX, "X-Fleet-Version": version})

        assert response.status_code == 204

    @pytest.mark.parametrize("count", [3, 30])
    def test_it_costs_the_same_however_many(self, viewer, django_assert_num_queries, count):
        scope = ScopeFactory()
        for number in range(count):
            asked([f"label-{number}"])
            HostFactory()
            PoolFactory(scope=scope, labels=[f"label-{number}"])
            RunnerFactory(scope=scope, labels=[f"lone-{number}"])

        with django_assert_num_queries(18):
            viewer.get(URL)

"""The decision log: what each look of the scaler did, for which pool, and why."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse

from runners import pools
from runners.audit import Actor
from runners.models import Decision
from runners.pool_picture import Rules
from tests.factories import NOW, HostFactory, JobFactory, PoolFactory, ScopeFactory
from tests.views.conftest import HTMX
from tests.views.dom import parse

pytestmark = pytest.mark.django_db
URL = reverse("decision-list")


def scale(seconds=0):
    now = NOW + timedelta(seconds=seconds)
    return pools.scale(Rules(), now=now, by=Actor.system("pools"))


def log(client, **query):
    return parse(client.get(URL, query).content).by_id("decisions")


def looks(page):
    """Of each look: its heading, and the cells of each pool's line."""
    found = []
    for body in page.all("tbody"):
        lines = [[cell.text for cell in row.all("td")] for row in body.all("tr")[1:]]
        found.append((body.one("th").text, lines))
    return found


def line(name="linux-x64", start=0, stop=0, short=0, why="2 of 2 ready."):
    return {
        "pool_id": 1,
        "name": name,
        "idle": 2,
        "starting": 0,
        "busy": 1,
        "start": start,
        "stop": stop,
        "short": short,
        "why": f"{name}: {why}",
    }


def look(*lines, started=0, stopped=0, **facts):
    return Decision.objects.create(
        at=NOW,
        scanned=3,
        demand=2,
        started=started,
        stopped=stopped,
        pools=list(lines),
        words=f"{started} started, {stopped} let go",
        **facts,
    )


def test_a_look_says_what_was_started_for_which_pool_and_why(viewer):
    HostFactory()
    pool = PoolFactory(name="linux-x64", min_idle=2)
    JobFactory(scope=pool.scope)
    scale()

    [(head, lines)] = looks(log(viewer))

    assert "3 started, 0 let go" in head
    assert "1 job waiting, 0 runners looked at" in head
    assert lines[0][:2] == ["linux-x64", "Start 3"]
    assert "starting 1 for them; starting 2 to keep 2 idle" in lines[0][2]
    assert lines[0][3] == "0 to 3"


@pytest.mark.parametrize(
    ("facts", "act", "runners"),
    [
        ({"start": 2}, "Start 2", "3 to 5"),
        ({"stop": 1}, "Let go 1", "3 to 2"),
        ({"start": 1, "stop": 1}, "Start 1, Let go 1", "3"),
        ({"short": 4}, "Hold", "3"),
    ],
)
def test_what_was_done_is_told_in_words(viewer, facts, act, runners):
    look(line(**facts), started=1)

    [(_, [cells])] = looks(log(viewer))

    assert (cells[1], cells[3]) == (act, runners)


def test_looks_that_changed_nothing_are_shown_on_request(viewer):
    look(line(), started=0)

    assert "No decision fits" in log(viewer).text
    assert len(looks(log(viewer, all="1"))) == 1


def test_the_log_of_one_pool_has_its_lines_alone(viewer):
    PoolFactory(name="linux-x64")
    look(line(start=1), line("arm", start=1), started=2)
    look(line("arm", start=1), started=1)
    look(line(why="all is well."), line("arm", start=1), started=1)

    acted = looks(log(viewer, pool="linux-x64"))
    every = looks(log(viewer, pool="linux-x64", all="1"))

    assert [[cells[:2] for cells in lines] for _, lines in acted] == [[["linux-x64", "Start 1"]]]
    assert [lines[0][1] for _, lines in every] == ["Nothing to do", "Start 1"]


def test_waiting_groups_are_listed_with_what_became_of_them(viewer):
    waiting = [
        {"labels": ["gpu"], "repository": "acme/ml", "jobs": 2, "code": "no-pool"}
        for _ in range(12)
    ]
    look(line(start=1), started=1, waiting=waiting)

    details = log(viewer).one("details")

    assert details.one("summary").text == "12 groups of waiting jobs"
    assert details.all("li")[0].text == "2 x gpu (acme/ml): no pool"
    assert "and 2 more" in details.text


def test_older_looks_are_a_page_away(viewer):
    for _ in range(30):
        look(line(start=1), started=1)

    first = log(viewer)
    older = first.one("a", rel="next")["href"]
    second = parse(viewer.get(older).content).by_id("decisions")

    assert (len(looks(first)), len(looks(second))) == (25, 5)
    assert second.all("a", rel="next") == []
    assert second.one("a", rel="prev")["href"] == URL


def test_a_number_that_is_none_shows_the_newest(viewer):
    look(line(start=1), started=1)

    assert len(looks(log(viewer, before="x"))) == 1


def test_before_the_first_look_it_says_who_looks(viewer):
    assert "The scaler has not looked yet" in log(viewer, all="1").text


@pytest.mark.parametrize(
    ("role", "status"), [("viewer", 200), ("operator", 200), ("auditor", 200), ("", 403)]
)
def test_who_reads_it(sign_in, role, status):
    assert sign_in(role).get(URL).status_code == status


def test_an_unchanged_poll_is_204(viewer):
    look(line(start=1), started=1)
    version = log(viewer)["data-version"]

    response = viewer.get(URL, headers={**HTMX, "X-Fleet-Version": version})

    assert response.status_code == 204


@pytest.mark.parametrize("count", [3, 30])
def test_it_costs_the_same_however_many(viewer, django_assert_num_queries, count):
    scope = ScopeFactory()
    for number in range(count):
        PoolFactory(scope=scope)
        look(*(line(f"pool-{each}", start=1) for each in range(number)), started=1)

    with django_assert_num_queries(8):
        viewer.get(URL)

"""The queue by label set: the oldest first, why each waits, what is on the way."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse

from runners.models import QueuePicture
from tests.factories import NOW, HostFactory, JobFactory, PoolFactory, RunnerFactory, ScopeFactory
from tests.looks import look
from tests.views.conftest import HTMX
from tests.views.dom import parse

pytestmark = pytest.mark.django_db
URL = reverse("job-queue")


@pytest.fixture
def scope():
    return ScopeFactory(slug="acme")


def wait(scope, *labels, minutes=1, **facts):
    at = NOW - timedelta(minutes=minutes)
    return JobFactory(scope=scope, labels=list(labels), queued_at=at, **facts)


def queue(client, **query):
    return parse(client.get(URL, query).content).by_id("queue")


def rows(client, **query):
    """The labels of each row, and its cells."""
    found = []
    for row in queue(client, **query).all("tbody")[0:1]:
        for line in row.all("tr"):
            cells = line.all("td")
            labels = [tag.text for tag in cells[0].all("span", class_="tag")]
            found.append((labels, [cell.text for cell in cells]))
    return found


def a_mixed_queue(scope):
    """One label set of each kind."""
    HostFactory()
    pool = PoolFactory(name="linux-x64", scope=scope, labels=["linux"], max_runners=1)
    RunnerFactory(scope=scope, pool=pool, labels=["linux"])
    wait(scope, "linux", minutes=3)
    wait(scope, "linux", minutes=2)
    wait(scope, "cuda-13", minutes=9, repository="acme/ml")
    wait(scope, "ubuntu-latest", minutes=99)
    other = PoolFactory(name="arm", scope=scope, labels=["arm-only"])
    RunnerFactory(scope=scope, pool=other, labels=["arm-only"])
    wait(scope, "arm-only", minutes=0)
    look()


def test_label_sets_come_oldest_first_and_what_is_not_ours_last(viewer, scope):
    a_mixed_queue(scope)

    assert [labels for labels, _ in rows(viewer)] == [
        ["cuda-13"],
        ["linux"],
        ["arm-only"],
        ["ubuntu-latest"],
    ]


def test_a_row_says_how_many_why_since_when_and_what_is_on_the_way(viewer, scope):
    a_mixed_queue(scope)

    _, cells = rows(viewer)[1]

    assert cells[0] == "linux acme/web (2)"
    assert "1 of 2: linux-x64 has 1 runner, 0 of them busy, and may have no more." in cells[1]
    assert "1 of 2: 1 idle runner matches" in cells[1]
    assert cells[2:] == ["1 idle", "2", "3m 00s"]


def test_what_nothing_serves_counts_down_to_githubs_cancel(viewer, scope):
    a_mixed_queue(scope)

    cancels = queue(viewer).all("span", data_cancel="")

    assert [each.text for each in cancels] == ["GitHub cancels the oldest in 23 h"]


@pytest.mark.parametrize(
    ("query", "labels"),
    [
        ({"state": "unroutable"}, [["cuda-13"]]),
        ({"state": "waits"}, [["linux"]]),
        ({"state": "coming"}, [["arm-only"]]),
        ({"state": "not-ours"}, [["ubuntu-latest"]]),
        ({"state": "nonsense", "page": "x"}, None),
        ({"q": "CUDA"}, [["cuda-13"]]),
        ({"q": "acme/ml"}, [["cuda-13"]]),
    ],
)
def test_filters_live_in_the_address(viewer, scope, query, labels):
    a_mixed_queue(scope)

    found = [each for each, _ in rows(viewer, **query)]

    assert found == labels if labels is not None else len(found) == 4


def test_chips_count_the_jobs_and_a_poll_keeps_the_filters(viewer, scope):
    a_mixed_queue(scope)

    page = queue(viewer, state="waits")

    chips = [chip.text for chip in page.by_id("queue-chips").all("a")]
    assert chips == ["All 5", "Can't run 1", "Waits 2", "Runner on the way 1", "Not ours 1"]
    assert page["hx-get"] == f"{URL}?state=waits"


def test_nothing_that_fits_offers_the_whole_queue(viewer, scope):
    a_mixed_queue(scope)

    assert queue(viewer, q="nobody").one("a", class_="btn is-primary")["href"] == URL


def test_an_empty_queue_says_so(viewer):
    look()

    assert "Nothing waits" in queue(viewer).text


def test_an_old_picture_leads_to_the_doctor(viewer, scope):
    a_mixed_queue(scope)
    QueuePicture.objects.update(at=NOW - timedelta(minutes=2))

    page = queue(viewer)

    callout = page.one("div", class_="callout")
    assert "The queue has not been looked at since" in callout.text
    assert callout.one("a")["href"] == reverse("doctor")


def test_before_the_first_look_nothing_is_claimed(viewer):
    text = queue(viewer).text

    assert "not been looked at yet" in text
    assert "Nothing waits" not in text


def test_the_queue_as_csv_has_the_same_filters(viewer, scope):
    a_mixed_queue(scope)

    response = viewer.get(URL, {"format": "csv", "state": "unroutable"})

    lines = b"".join(response.streaming_content).decode().splitlines()
    assert lines[0].startswith("labels,jobs,")
    assert len(lines) == 2
    assert lines[1].startswith("cuda-13,1,540,unroutable,No pool carries")


@pytest.mark.parametrize("role", ["viewer", "operator", "admin", "auditor"])
def test_every_role_reads_the_queue(sign_in, role):
    assert sign_in(role).get(URL).status_code == 200


def test_somebody_without_a_role_does_not(sign_in):
    assert sign_in("").get(URL).status_code == 403


def test_a_hostile_label_is_text(viewer, scope):
    wait(scope, "<script>alert(1)</script>")
    look()

    page = queue(viewer)

    assert page.all("script") == []
    assert "<script>alert(1)</script>" in page.text


def test_an_unchanged_poll_is_204_in_two_queries(viewer, scope, django_assert_num_queries):
    a_mixed_queue(scope)
    version = queue(viewer)["data-version"]

    with django_assert_num_queries(2):
        response = viewer.get(URL, headers={**HTMX, "X-Fleet-Version": version})

    assert response.status_code == 204


def test_a_look_that_found_something_else_changes_the_page(viewer, scope):
    a_mixed_queue(scope)
    version = queue(viewer)["data-version"]
    PoolFactory(scope=scope, labels=["cuda-13"])
    look()

    response = viewer.get(URL, headers={**HTMX, "X-Fleet-Version": version})

    assert response.status_code == 200


@pytest.mark.parametrize("count", [3, 300])
def test_the_queue_costs_the_same_however_long(viewer, scope, django_assert_num_queries, count):
    for number in range(count):
        wait(scope, f"label-{number}", repository=f"acme/web-{number}")
    look()

    with django_assert_num_queries(7):
        viewer.get(URL)

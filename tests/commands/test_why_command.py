"""Why jobs wait, from the command line."""

from datetime import timedelta

import pytest

from tests.factories import NOW, JobFactory, PoolFactory, ScopeFactory
from tests.looks import look

pytestmark = pytest.mark.django_db


@pytest.fixture
def scope():
    return ScopeFactory(slug="acme")


def test_one_job_says_why_it_waits_and_what_helps(manage, scope):
    PoolFactory(name="linux-x64", scope=scope)
    job = JobFactory(scope=scope, labels=["linux", "cuda-13"])
    look()

    said = manage("why", str(job.pk))
    data = manage("why", str(job.pk), "--json").data

    assert said.out.splitlines() == [
        "acme/web · build: No pool carries the label cuda-13 beside linux; the nearest, "
        "linux-x64, lacks it.",
        "Add cuda-13 to linux-x64, make a pool with it, or change runs-on.",
    ]
    assert data["old"] is False
    [row] = data["jobs"]
    assert (row["code"], row["pool"], row["waited_seconds"]) == ("no-pool", "linux-x64", 60)
    assert row["cancelled_at"] == (job.queued_at + timedelta(hours=24)).isoformat()


def test_a_job_is_found_by_githubs_number_too(manage, scope):
    job = JobFactory(scope=scope, github_id=70_000_000_001)

    assert manage("why", "70000000001", "--json").data["jobs"][0]["id"] == job.pk


def test_the_queue_by_group_the_oldest_first(manage, scope):
    JobFactory(scope=scope, labels=["gpu"])
    JobFactory.create_batch(2, scope=scope, labels=["arm"], queued_at=NOW - timedelta(hours=1))
    look()

    said = manage("why")
    data = manage("why", "--json").data
    only = manage("why", "--label", "GPU", "--json").data

    assert said.out.splitlines()[0] == "2 x arm (acme/web), oldest 3600 s"
    assert said.out.splitlines()[1].startswith("    2: No pool carries arm. Make a pool")
    assert [group["labels"] for group in data["groups"]] == [["arm"], ["gpu"]]
    assert data["groups"][0]["reasons"][0]["code"] == "no-pool"
    assert [group["labels"] for group in only["groups"]] == [["gpu"]]


def test_a_job_that_does_not_wait_says_so(manage, scope):
    job = JobFactory(scope=scope, done=True)

    said = manage("why", str(job.pk))

    assert said.out.strip() == "acme/web · build: It does not wait: it is completed."


def test_a_picture_that_is_old_or_missing_is_not_believed(manage, scope):
    job = JobFactory(scope=scope)

    assert "The queue has not been looked at yet." in manage("why").out
    assert manage("why", str(job.pk), "--json").data["jobs"][0]["code"] == "picture-old"
    assert manage("why", "--json").data["old"] is True


def test_nothing_waits(manage):
    look()

    assert manage("why").out.strip() == "No job waits"


def test_a_job_that_is_not_there_and_a_number_that_is_none(manage):
    assert manage("why", "7").code == 3
    assert "'seven' is not a whole number" in manage("why", "seven").error

"""The jobs: waiting with their reason, running, finished; and one job's page."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse

from runners.models import Job
from tests.factories import (
    NOW,
    HostFactory,
    JobFactory,
    PoolFactory,
    RunnerFactory,
    ScopeFactory,
)
from tests.looks import look
from tests.views.conftest import HTMX
from tests.views.dom import parse

pytestmark = pytest.mark.django_db
URL = reverse("job-list")


def row_of(client, job):
    return parse(client.get(URL).content).by_id(f"job-{job.pk}")


def reason_of(client, job):
    return row_of(client, job).one("td", data_c="full").text


def test_waiting_jobs_come_oldest_first(viewer):
    JobFactory(name="young", queued_at=NOW - timedelta(seconds=5))
    JobFactory(name="old", queued_at=NOW - timedelta(hours=1))

    names = [link.text for link in parse(viewer.get(URL).content).all("a", class_="rowlink")]

    assert names == ["old", "young"]


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"starting": True}, "A runner of linux-x64 is starting since"),
        ({"busy": True}, "The one runner that linux-x64 may have is busy"),
        ({"draining": True}, "linux-x64 has 1 runner, 0 of them busy"),
        ({"removed": True}, "No host takes its runner now"),
    ],
)
def test_a_waiting_job_says_why_as_the_plan_found_it(viewer, facts, words):
    pool = PoolFactory(name="linux-x64", max_runners=1)
    times = {"state_changed_at": NOW} if "starting" in facts else {}
    host = HostFactory(cordoned_for_work=True)
    runner = RunnerFactory(pool=pool, scope=pool.scope, host=host, **facts, **times)
    if "starting" not in facts:
        JobFactory(scope=pool.scope, running=True, runner=runner)
    job = JobFactory(scope=pool.scope, queued_at=NOW - timedelta(minutes=2))
    look()

    assert reason_of(viewer, job).startswith(words)


def test_a_job_nobody_looked_at_says_so(viewer):
    assert reason_of(viewer, JobFactory()).startswith("The queue has not been looked at yet.")


@pytest.mark.parametrize(
    ("labels", "hours", "told"),
    [
        (["self-hosted", "linux"], 1, False),
        (["self-hosted", "linux"], 21, True),
        (["cuda-13"], 1, True),
    ],
)
def test_the_countdown_to_githubs_cancel_is_told_when_it_matters(viewer, labels, hours, told):
    pool = PoolFactory()
    job = JobFactory(
        scope=pool.scope, labels=labels, queued_at=NOW - timedelta(hours=hours, seconds=1)
    )
    look()

    left = f"GitHub cancels it in {23 - hours} h"
    assert (left in reason_of(viewer, job)) is told
    page = parse(viewer.get(job.get_absolute_url()).content)
    assert [each.text.startswith(left) for each in page.all(id="cancelled-at")] == [True] * told


def test_a_job_that_waits_for_approval_says_so(viewer):
    job = JobFactory(status=Job.Status.WAITING)

    assert reason_of(viewer, job).startswith("It waits for approval at GitHub.")


@pytest.mark.parametrize(
    ("seconds", "tone"), [(119, "muted"), (120, "caution strong"), (300, "down strong")]
)
def test_a_long_wait_stands_out(viewer, seconds, tone):
    job = JobFactory(queued_at=NOW - timedelta(seconds=seconds))

    assert row_of(viewer, job).one("td", data_c="end").one("span")["class"] == tone


def test_a_running_job_names_its_runner_and_times(viewer):
    runner = RunnerFactory(busy=True)
    job = JobFactory(running=True, runner=runner, runner_name=runner.name)

    row = row_of(viewer, job)

    assert row.one("a", href=runner.get_absolute_url()).text == runner.name
    assert [cell.text for cell in row.all("td")][3:5] == ["20s", "40s"]


@pytest.mark.parametrize(
    ("conclusion", "word"),
    [("success", "Success"), ("failure", "Failure"), ("timed_out", "Timed out"), ("", "Completed")],
)
def test_a_finished_job_says_how_it_ended(viewer, conclusion, word):
    job = JobFactory(done=True, conclusion=conclusion)

    assert row_of(viewer, job).one("td", data_c="status").text == word


def test_a_job_cancelled_while_it_waited_never_ran(viewer):
    job = JobFactory(status="completed", conclusion="cancelled", completed_at=NOW)

    cells = [cell.text for cell in row_of(viewer, job).all("td")]

    assert cells[3:5] == ["1m 00s", "—"]


@pytest.mark.parametrize("words", ["acme/needle", "needle-job", "needle-branch", "needle-runner"])
def test_a_search_finds_by_repository_job_branch_and_runner(viewer, words):
    JobFactory(name="other")
    found = JobFactory(
        done=True,
        name="needle-job",
        repository="acme/needle",
        head_branch="needle-branch",
        runner_name="needle-runner",
    )

    page = parse(viewer.get(URL, {"q": words}).content)

    assert [link["href"] for link in page.all("a", class_="rowlink")] == [found.get_absolute_url()]
    assert page.by_id("jobs")["hx-get"].startswith("?q=")


def test_a_job_page_tells_all_of_it(viewer):
    runner = RunnerFactory(busy=True)
    job = JobFactory(running=True, runner=runner, html_url="https://github.com/acme/web/runs/1")

    page = parse(viewer.get(job.get_absolute_url()).content).by_id("job-page")

    assert page.one("a", class_="btn")["href"] == job.html_url
    assert f"{runner.name} on {runner.host.name}" in page.text


def test_a_waiting_jobs_page_says_why_and_leads_to_the_pool(viewer):
    pool = PoolFactory(name="linux-x64")
    job = JobFactory(scope=pool.scope, labels=["linux", "cuda-13"])
    look()

    page = parse(viewer.get(job.get_absolute_url()).content).by_id("job-page")

    assert "No pool carries the label cuda-13 beside linux" in page.text
    assert page.one("a", href=pool.get_absolute_url()).text == "Open linux-x64"


def test_an_unchanged_poll_is_204_in_two_queries(viewer, django_assert_num_queries):
    JobFactory()
    version = parse(viewer.get(URL).content).by_id("jobs")["data-version"]

    with django_assert_num_queries(2):
        response = viewer.get(URL, headers={**HTMX, "X-Fleet-Version": version})

    assert response.status_code == 204


@pytest.mark.parametrize("count", [3, 30])
def test_jobs_cost_the_same_however_many(viewer, django_assert_num_queries, count):
    scope = ScopeFactory()
    for _ in range(count):
        runner = RunnerFactory(scope=scope)
        RunnerFactory(scope=scope, pool=PoolFactory(scope=scope))
        JobFactory(scope=scope)
        JobFactory(scope=scope, running=True, runner=runner)
        JobFactory(scope=scope, done=True, runner=runner)

    look()

    with django_assert_num_queries(12):
        viewer.get(URL)

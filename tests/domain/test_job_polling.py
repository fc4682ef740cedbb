"""Jobs asked for at GitHub, where no webhook tells them."""

from datetime import timedelta

import pytest

from runners import job_polling
from runners.github.errors import GitHubUnavailable
from runners.models import Job
from tests.factories import NOW, JobFactory, ScopeFactory
from tests.fakes import FakeGitHub

pytestmark = pytest.mark.django_db

LATER = NOW + timedelta(minutes=1)


@pytest.fixture
def github():
    return FakeGitHub()


@pytest.fixture
def acme():
    return ScopeFactory(slug="acme")


def poll(scope, github, now=NOW):
    return job_polling.poll(scope, github=github, now=now)


def statuses():
    return dict(Job.objects.values_list("name", "status"))


def test_queued_and_running_jobs_of_every_repository_are_found(github, acme):
    for repository in ("acme/web", "acme/engine"):
        run = github.add_run(repository)
        github.add_job(run, name=f"{repository}-job")
    running = github.add_run("acme/web", status="in_progress")
    github.set_job(
        github.add_job(running, name="running"),
        status="in_progress",
        started_at=NOW,
        runner_name="forge-01-a",
    )
    github.add_run("other/web")

    assert poll(acme, github) == 3

    assert statuses() == {
        "acme/web-job": "queued",
        "acme/engine-job": "queued",
        "running": "in_progress",
    }
    acme.refresh_from_db()
    assert acme.jobs_polled_at == NOW


def test_poll_twice_changes_nothing_the_second_time(github, acme):
    github.add_job(github.add_run("acme/web"))
    poll(acme, github)

    assert poll(acme, github) == 0


def test_end_of_a_job_is_noticed_although_its_run_is_no_longer_open(github, acme):
    run = github.add_run("acme/web")
    job = github.add_job(run)
    poll(acme, github)
    github.set_run(run, status="completed")
    github.set_job(
        job, status="completed", conclusion="failure", started_at=NOW, completed_at=LATER
    )

    assert poll(acme, github, LATER) == 1

    row = Job.objects.get()
    assert (row.status, row.conclusion, row.completed_at) == ("completed", "failure", LATER)


def test_job_that_began_and_ended_between_two_polls_is_found(github, acme):
    poll(acme, github)
    acme.refresh_from_db()
    run = github.add_run("acme/web", status="completed")
    github.set_run(run, updated_at=LATER)
    github.set_job(
        github.add_job(run, name="quick"),
        status="completed",
        conclusion="success",
        started_at=NOW,
        completed_at=LATER,
    )

    assert poll(acme, github, LATER) == 1

    assert statuses() == {"quick": "completed"}


def test_run_that_ended_long_before_the_last_poll_is_not_asked_for(github, acme):
    acme.jobs_polled_at = LATER
    run = github.add_run("acme/web", status="completed")
    github.set_run(run, updated_at=NOW - timedelta(hours=1))
    github.add_job(run, name="old")

    assert poll(acme, github, LATER) == 0

    assert "list_jobs_for_workflow_run" not in str(github.calls)


def test_jobs_of_a_deleted_run_are_closed_as_cancelled(github, acme):
    github.add_repository("acme/web")
    open_job = JobFactory(scope=acme, repository="acme/web", run_id=404)
    done = JobFactory(scope=acme, repository="acme/web", run_id=404, done=True)

    assert poll(acme, github) == 1

    open_job.refresh_from_db()
    done.refresh_from_db()
    assert (open_job.status, open_job.conclusion) == ("completed", "cancelled")
    assert (open_job.completed_at, done.conclusion) == (NOW, "success")


def test_scope_of_one_repository_asks_for_no_list_of_them(github):
    scope = ScopeFactory(slug="acme/web", kind="repository")
    github.add_job(github.add_run("acme/web"))

    assert poll(scope, github) == 1
    assert "list_repositories_for_org" not in github.calls


def test_enterprise_has_no_list_of_repositories_but_its_open_jobs_are_followed(github):
    scope = ScopeFactory(slug="big", kind="enterprise")
    run = github.add_run("acme/web")
    job = github.add_job(run)
    JobFactory(scope=scope, repository="acme/web", run_id=run.id, github_id=job.id, name="build")
    github.set_job(job, status="in_progress", started_at=NOW)

    assert poll(scope, github) == 1
    assert statuses() == {"build": "in_progress"}


def test_what_github_would_not_tell_stays_as_it_was(github, acme):
    github.add_job(github.add_run("acme/web"))
    poll(acme, github)
    github.fail_next("list_jobs_for_workflow_run", GitHubUnavailable("Down"))

    with pytest.raises(GitHubUnavailable):
        poll(acme, github, LATER)

    assert statuses() == {"build": "queued"}
    acme.refresh_from_db()
    assert acme.jobs_polled_at == NOW

"""Jobs asked for at GitHub, where no webhook tells them."""

from datetime import timedelta

import pytest

from runners import job_polling
from runners.github.errors import (
    Forbidden,
    GitHubUnavailable,
    NotFound,
    PartialResult,
    RateLimited,
)
from runners.github.urls import ScopePath
from runners.job_polling import Allowance
from runners.job_sources import JobSource
from runners.models import Credential, Delivery, Job, Repository, Scope
from tests.factories import NOW, CredentialFactory, JobFactory, ScopeFactory
from tests.fakes import FakeGitHub

pytestmark = pytest.mark.django_db

LATER = NOW + timedelta(minutes=1)


@pytest.fixture
def github():
    return FakeGitHub()


@pytest.fixture
def acme():
    return ScopeFactory(slug="acme")


def look(scope, github, now=NOW, **how):
    scope.refresh_from_db()
    return job_polling.poll(scope, github=github, now=now, **how)


def poll(scope, github, now=NOW):
    return look(scope, github, now).changed


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
    Scope.objects.update(jobs_polled_at=LATER)
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


def test_jobs_that_may_not_be_read_stay_open(github, acme):
    github.add_repository("acme/web")
    open_job = JobFactory(scope=acme, repository="acme/web", run_id=404)
    github.fail_next("list_jobs_for_workflow_run", Forbidden("Needs Actions: read"))

    found = look(acme, github, source=JobSource.WEBHOOK)

    open_job.refresh_from_db()
    assert (found.changed, open_job.status, open_job.seen_at) == (0, "queued", NOW)
    assert "acme/web" in found.problem


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

    assert look(acme, github, LATER).problem == "Down"

    assert statuses() == {"build": "queued"}
    acme.refresh_from_db()
    assert (acme.jobs_polled_at, acme.jobs_problem) == (LATER, "Down")


def test_matrix_of_forty_jobs_on_two_label_sets_is_forty_jobs(github, acme):
    run = github.add_run("acme/web")
    for number in range(40):
        labels = ("self-hosted", "gpu") if number % 2 else ("self-hosted", "linux")
        github.add_job(run, name=f"build ({number})", labels=labels)

    assert poll(acme, github) == 40
    assert [job.labels for job in Job.objects.all()].count(["self-hosted", "gpu"]) == 20


def test_more_runs_than_a_page_are_all_followed(github, acme):
    for number in range(130):
        github.add_job(github.add_run("acme/web"), name=str(number))
    many = Allowance(None, 400, 400)

    assert look(acme, github, may=many).changed == 130


@pytest.mark.parametrize(("broken", "confirmed_at"), [("", NOW), ("queued", None)])
def test_list_of_open_runs_that_came_in_part_confirms_nothing(broken, confirmed_at, github, acme):
    for number in range(130):
        github.add_job(github.add_run("acme/web"), name=str(number))
    list_runs = github.list_workflow_runs_for_repo

    def cut_short(repository, *, status=None, max_items=None):
        found = list_runs(repository, status=status, max_items=max_items)
        if status == broken:
            raise PartialResult(tuple(found)[:5], GitHubUnavailable("Down"))
        return found

    github.list_workflow_runs_for_repo = cut_short

    look(acme, github)

    assert Repository.objects.get().confirmed_at == confirmed_at


# --- many repositories, little budget ------------------------------------------------------------


def an_organization_of(github, count):
    for number in range(count):
        github.add_repository(f"acme/repo-{number:03}")


def test_work_in_one_of_236_repositories_is_seen_within_two_looks(github, acme):
    an_organization_of(github, 236)
    for minutes in range(5):
        look(acme, github, NOW + timedelta(minutes=minutes), may=allowed())
    github.add_job(github.add_run("acme/repo-117"), name="late")

    for seconds in (0, 10):
        look(acme, github, NOW + timedelta(minutes=9, seconds=seconds), may=allowed())

    assert statuses() == {"late": "queued"}


def allowed(**budget):
    """What a look may ask with the budget of this credential."""
    credential = Credential(**budget)
    return job_polling.allowance(credential, every=timedelta(seconds=10), now=NOW)


@pytest.mark.parametrize("position", [0, 100, 235])
def test_hundreds_of_queued_runs_in_one_repository_starve_no_other(github, acme, position):
    an_organization_of(github, 236)
    for number in range(197):
        github.add_job(github.add_run("acme/repo-003"), name=f"many-{number}")
    github.add_job(github.add_run(f"acme/repo-{position:03}"), name="one")

    for seconds in (0, 10, 20, 30):
        look(acme, github, NOW + timedelta(seconds=seconds), may=allowed())

    assert statuses()["one"] == "queued"
    assert Job.objects.count() == 198


def test_repository_in_which_something_goes_on_is_looked_at_every_time(github, acme):
    an_organization_of(github, 50)
    run = github.add_run("acme/repo-049")
    github.add_job(run, name="first")
    look(acme, github)
    for number in range(3):
        github.add_job(github.add_run("acme/repo-049"), name=f"next-{number}")
        seconds = timedelta(seconds=10 * (number + 1))
        look(acme, github, NOW + seconds, may=Allowance(None, 4, 10))
        assert statuses()[f"next-{number}"] == "queued"


def test_budget_of_five_calls_brings_part_and_goes_on_from_there(github, acme):
    an_organization_of(github, 20)
    for number in range(20):
        github.add_job(github.add_run(f"acme/repo-{number:03}"), name=f"job-{number}")
    seen = []
    for number in range(20):
        look(acme, github, NOW + timedelta(seconds=10 * number), may=Allowance(5, 99, 99))
        seen.append(Job.objects.count())
        if number == 0:
            acme.refresh_from_db()
            assert "budget" in acme.jobs_problem

    assert 0 < seen[0] < 5
    assert seen == sorted(seen), "what came before is not turned into nothing"
    assert seen[-1] == 20
    assert Repository.objects.filter(looked_at__isnull=True).count() == 0
    assert set(statuses().values()) == {"queued"}


def test_one_empty_look_is_not_a_sweep(github, acme):
    an_organization_of(github, 50)
    look(acme, github, may=Allowance(None, 20, 20))
    acme.refresh_from_db()
    assert (acme.jobs_polled_at, acme.jobs_swept_at) == (NOW, None)

    for seconds in (10, 20):
        look(acme, github, NOW + timedelta(seconds=seconds), may=Allowance(None, 20, 20))

    acme.refresh_from_db()
    assert acme.jobs_swept_at == NOW


def test_organization_without_repositories_has_a_whole_picture(github, acme):
    look(acme, github)

    acme.refresh_from_db()
    assert acme.jobs_swept_at == NOW


def test_limit_met_on_the_way_keeps_what_came(github, acme):
    an_organization_of(github, 3)
    github.add_job(github.add_run("acme/repo-000"), name="came")
    list_runs = github.list_workflow_runs_for_repo

    def limited(repository, **wanted):
        if repository.slug == "acme/repo-002":
            raise RateLimited(LATER, resource="core", secondary=False, operation="list")
        return list_runs(repository, **wanted)

    github.list_workflow_runs_for_repo = limited

    assert look(acme, github).problem

    assert statuses() == {"came": "queued"}
    unseen = Repository.objects.get(looked_at__isnull=True)
    assert unseen.full_name == "acme/repo-002"


def test_confirmed_answers_cost_nothing_of_the_budget(github, acme):
    an_organization_of(github, 20)
    look(acme, github)

    assert look(acme, github, LATER, may=Allowance(2, 99, 99)).problem == ""


def test_repository_pushed_to_is_looked_at_before_the_others(github, acme):
    an_organization_of(github, 50)
    look(acme, github)
    github.touch_repository("acme/repo-033", pushed_at=LATER)
    github.add_job(github.add_run("acme/repo-033"), name="pushed")

    look(acme, github, LATER, may=Allowance(None, 1, 10))

    assert statuses() == {"pushed": "queued"}


def test_repository_that_is_gone_is_looked_at_no_more_once_its_jobs_ended(github, acme):
    github.add_repository("acme/web")
    Repository.objects.create(scope=acme, full_name="acme/gone")
    Repository.objects.create(scope=acme, full_name="acme/busy")
    JobFactory(scope=acme, repository="acme/busy")

    look(acme, github)

    assert set(Repository.objects.values_list("full_name", flat=True)) == {"acme/web", "acme/busy"}


def test_repository_whose_runs_are_not_shown_is_named_and_holds_up_no_other(github, acme):
    github.add_job(github.add_run("acme/web"), name="seen")
    github.add_repository("acme/secret")
    github.hide(ScopePath.repository("acme/secret"))

    assert "acme/secret" in look(acme, github).problem
    assert statuses() == {"seen": "queued"}


def test_jobs_of_a_repository_that_is_hidden_are_unknown_and_stay_open(github, acme):
    github.add_job(github.add_run("acme/web"), name="open")
    look(acme, github)
    github.hide(ScopePath.repository("acme/web"))

    look(acme, github, LATER)

    assert statuses() == {"open": "queued"}


def test_list_of_repositories_that_may_not_be_read_leaves_the_known_ones(github, acme):
    github.add_job(github.add_run("acme/web"), name="known")
    Repository.objects.create(scope=acme, full_name="acme/web")
    github.fail_next("list_repositories_for_org", NotFound("Not shown"))

    assert look(acme, github).problem == "Not shown"
    assert statuses() == {"known": "queued"}


def test_enterprise_looks_at_the_repositories_webhooks_told_of(github):
    scope = ScopeFactory(slug="big", kind="enterprise")
    Repository.objects.create(scope=scope, full_name="acme/web", active_at=NOW)
    github.add_job(github.add_run("acme/web"), name="found")

    look(scope, github)

    assert statuses() == {"found": "queued"}


def test_webhooks_alone_ask_only_for_the_runs_that_are_open(github, acme):
    run = github.add_run("acme/web")
    job = github.add_job(run)
    JobFactory(scope=acme, repository="acme/web", run_id=run.id, github_id=job.id, name="build")
    github.add_job(github.add_run("acme/web"), name="untold")
    github.set_job(job, status="completed", conclusion="success", completed_at=LATER)

    look(acme, github, source=JobSource.WEBHOOK)

    assert statuses() == {"build": "completed"}
    assert set(github.calls) == {"list_jobs_for_workflow_run"}


def asked_for_jobs(github):
    return github.calls.count("list_jobs_for_workflow_run")


def test_run_that_did_not_move_since_its_jobs_were_seen_is_asked_for_once_an_hour(github, acme):
    run = github.add_run("acme/web")
    job = github.add_job(run)
    github.set_run(run, updated_at=NOW - timedelta(minutes=3))
    for minutes in (0, 1, 30, 59):
        look(acme, github, NOW + timedelta(minutes=minutes))
    assert asked_for_jobs(github) == 1

    look(acme, github, NOW + timedelta(hours=1))
    assert asked_for_jobs(github) == 2

    begun = NOW + timedelta(minutes=62)
    github.set_run(run, status="in_progress", updated_at=begun)
    github.set_job(job, status="in_progress", started_at=begun)
    look(acme, github, begun)
    assert statuses() == {"build": "in_progress"}


def test_attempt_that_is_new_to_us_is_asked_for_although_the_run_is_queued(github, acme):
    run = github.add_run("acme/web")
    github.add_job(run)
    github.set_run(run, updated_at=NOW - timedelta(minutes=3))
    look(acme, github)
    github.set_run(run, run_attempt=2)

    look(acme, github, LATER)

    assert asked_for_jobs(github) == 2


@pytest.mark.parametrize(
    ("deliveries", "after", "asked"),
    [
        ({"deliveries_checked_at": NOW}, timedelta(seconds=299), 0),
        ({"deliveries_checked_at": NOW}, timedelta(seconds=300), 1),
        ({"deliveries_checked_at": NOW, "deliveries_problem": "No."}, timedelta(seconds=60), 1),
        ({"deliveries_checked_at": None}, timedelta(seconds=60), 1),
    ],
)
def test_fresh_run_is_left_to_webhooks_whose_losses_are_found(github, deliveries, after, asked):
    scope = ScopeFactory(slug="acme", webhook_secret_encrypted="sealed", **deliveries)
    Delivery.objects.create(scope=scope, hook_id="1", guid="a", event="ping", received_at=NOW)
    run = github.add_run("acme/web")
    job = github.add_job(run)
    github.set_run(run, updated_at=NOW)
    JobFactory(scope=scope, repository="acme/web", run_id=run.id, github_id=job.id)

    look(scope, github, NOW + after, source=JobSource.BOTH)

    assert asked_for_jobs(github) == asked


# --- how much, how often -------------------------------------------------------------------------

EVERY = timedelta(seconds=10)


@pytest.mark.parametrize(
    ("budget", "calls"),
    [
        ({}, None),
        ({"budget_limit": 5000, "budget_remaining": 5000, "budget_reset_at": LATER}, 666),
        (
            {
                "budget_limit": 5000,
                "budget_remaining": 5000,
                "budget_reset_at": NOW + timedelta(hours=1),
            },
            400,
        ),
        ({"budget_limit": 5000, "budget_remaining": 1000, "budget_reset_at": LATER}, 0),
        ({"budget_limit": 5000, "budget_remaining": 0, "budget_reset_at": LATER}, 0),
        ({"budget_limit": 5000, "budget_remaining": 0, "budget_reset_at": NOW}, 400),
    ],
)
def test_allowance_leaves_a_fifth_of_the_budget_to_the_runners(budget, calls):
    assert allowed(**budget).calls == calls


def test_spent_budget_asks_nothing_and_forgets_nothing(github, acme):
    JobFactory(scope=acme, name="open")

    assert "budget" in look(acme, github, may=Allowance(0, 99, 99)).problem

    assert (github.calls, statuses()) == ([], {"open": "queued"})


@pytest.mark.parametrize(
    ("source", "since", "alive", "due"),
    [
        (JobSource.POLLING, None, False, True),
        (JobSource.POLLING, 9, False, False),
        (JobSource.POLLING, 10, True, True),
        (JobSource.BOTH, 10, False, True),
        (JobSource.BOTH, 10, True, False),
        (JobSource.BOTH, 60, True, True),
        (JobSource.WEBHOOK, 60, False, False),
        (JobSource.WEBHOOK, 300, True, True),
    ],
)
def test_look_is_due(source, since, alive, due):
    polled = NOW - timedelta(seconds=since) if since is not None else None
    scope = ScopeFactory(jobs_polled_at=polled, webhook_secret_encrypted="sealed")
    if alive:
        Delivery.objects.create(scope=scope, hook_id="1", guid="a", event="ping", received_at=NOW)

    assert job_polling.is_due(scope, source=source, every=EVERY, now=NOW) == due


@pytest.mark.parametrize(
    "broken",
    [
        {"webhook_deleted_at": NOW},
        {"webhook_problem": "It does not send workflow jobs."},
        {"webhook_secret_encrypted": ""},
    ],
)
def test_webhook_that_is_gone_or_set_up_wrong_is_not_relied_on(broken):
    scope = ScopeFactory(**{"webhook_secret_encrypted": "sealed"} | broken)
    Delivery.objects.create(scope=scope, hook_id="1", guid="a", event="ping", received_at=NOW)

    assert not job_polling.webhook_alive(scope, now=NOW)


def test_look_ends_when_github_is_too_slow(acme):
    ticks = iter(range(0, 10**6, 30))
    github = FakeGitHub(clock=lambda: NOW + timedelta(seconds=next(ticks)))
    an_organization_of(github, 5)

    assert look(acme, github).repositories < 5
    assert Repository.objects.filter(looked_at__isnull=True).exists()


def test_budget_kept_with_the_credential_is_what_counts(acme):
    credential = CredentialFactory(
        budget_limit=5000, budget_remaining=900, budget_reset_at=NOW + timedelta(minutes=30)
    )

    assert job_polling.allowance(credential, every=EVERY, now=NOW).calls == 0

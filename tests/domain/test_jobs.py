"""Workflow jobs move forward only, whatever order they are told in."""

from dataclasses import replace
from datetime import timedelta
from itertools import permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runners import jobs
from runners.jobs import JobFacts
from runners.models import Job
from tests.factories import NOW, JobFactory, RunnerFactory, ScopeFactory

pytestmark = pytest.mark.django_db

QUEUED = JobFacts(
    github_id=11,
    run_id=7,
    run_attempt=1,
    repository="acme/web",
    workflow_name="CI",
    name="build",
    labels=("self-hosted", "linux"),
    html_url="https://github.com/acme/web/actions/runs/7/job/11",
    head_branch="main",
    status="queued",
    conclusion="",
    runner_name="",
    created_at=NOW,
    started_at=NOW,
    completed_at=None,
)
WAITING = replace(QUEUED, status="waiting")
STARTED = NOW + timedelta(seconds=5)
RUNNING = replace(QUEUED, status="in_progress", runner_name="forge-01-a", started_at=STARTED)
DONE = replace(
    RUNNING,
    status="completed",
    conclusion="success",
    completed_at=NOW + timedelta(minutes=1),
)
TOLD = (WAITING, QUEUED, RUNNING, DONE)


def tell(scope, *facts):
    return [jobs.record(scope, each, now=NOW) for each in facts]


def row():
    return Job.objects.get()


def test_new_job_is_kept_as_it_was_told():
    scope = ScopeFactory()

    assert tell(scope, QUEUED) == [True]

    job = row()
    assert (job.status, job.queued_at, job.seen_at, job.scope) == ("queued", NOW, NOW, scope)
    assert (job.repository, job.workflow_name, job.name) == ("acme/web", "CI", "build")
    assert (job.labels, job.head_branch, job.run_id) == (["self-hosted", "linux"], "main", 7)


def test_queued_job_has_neither_runner_nor_start_although_github_sends_stand_ins():
    tell(ScopeFactory(), replace(QUEUED, runner_name="Stand-in", completed_at=NOW))

    assert (row().runner_name, row().started_at, row().completed_at) == ("", None, None)


@pytest.mark.parametrize("order", list(permutations(TOLD)))
def test_every_order_ends_in_the_same_row(order):
    tell(ScopeFactory(), *order)

    job = row()
    assert (job.status, job.conclusion, job.runner_name) == ("completed", "success", "forge-01-a")
    assert (job.queued_at, job.started_at, job.completed_at) == (
        NOW,
        STARTED,
        DONE.completed_at,
    )


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(told=st.lists(st.sampled_from(TOLD), min_size=1, max_size=8))
def test_status_never_falls_and_the_last_change_is_the_highest_told(told, db):
    Job.objects.all().delete()
    scope = ScopeFactory()
    ranks = []
    for each in told:
        jobs.record(scope, each, now=NOW)
        ranks.append(jobs.RANK[Job.Status(row().status)])

    assert ranks == sorted(ranks)
    assert ranks[-1] == max(jobs.RANK[Job.Status(each.status)] for each in told)


def test_told_twice_changes_nothing():
    scope = ScopeFactory()

    assert tell(scope, RUNNING, RUNNING, DONE, DONE, RUNNING) == [True, False, True, False, False]


def test_waiting_and_queued_follow_each_other_both_ways():
    scope = ScopeFactory()
    seen = []
    for facts in (QUEUED, WAITING, QUEUED):
        tell(scope, facts)
        seen.append(row().status)

    assert seen == ["queued", "waiting", "queued"]


@pytest.mark.parametrize(("told", "kept"), [("requested", "queued"), ("pending", "queued")])
def test_githubs_other_words_for_queued_are_understood(told, kept):
    tell(ScopeFactory(), replace(QUEUED, status=told))

    assert row().status == kept


def test_status_we_do_not_know_changes_nothing():
    scope = ScopeFactory()

    assert tell(scope, replace(QUEUED, status="hibernating")) == [False]
    assert not Job.objects.exists()


def test_attempts_are_jobs_of_their_own():
    scope = ScopeFactory()

    tell(scope, DONE, replace(QUEUED, run_attempt=2))

    statuses = Job.objects.order_by("run_attempt").values_list("status", flat=True)
    assert list(statuses) == ["completed", "queued"]


def test_job_knows_its_runner_when_it_is_ours():
    runner = RunnerFactory(name="forge-01-a")
    RunnerFactory(name="forge-01-a")

    tell(runner.scope, RUNNING)

    assert row().runner == runner


def test_of_runners_with_one_name_the_newest_is_meant():
    old = RunnerFactory(name="forge-01-a", removed=True)
    new = RunnerFactory(name="forge-01-a", scope=old.scope, created_at=NOW)

    tell(old.scope, RUNNING)

    assert row().runner == new


def test_runner_told_before_is_kept_when_the_end_names_none():
    scope = ScopeFactory()

    tell(scope, RUNNING, replace(DONE, runner_name="", conclusion="cancelled"))

    assert (row().runner_name, row().conclusion) == ("forge-01-a", "cancelled")


def test_details_that_come_later_in_the_same_status_are_added():
    scope = ScopeFactory()

    changed = tell(scope, replace(RUNNING, runner_name=""), RUNNING)

    assert changed == [True, True]
    assert row().runner_name == "forge-01-a"


def test_job_told_by_two_at_once_is_kept_once(monkeypatch):
    scope = ScopeFactory()
    rows = Job.objects.filter

    def somebody_tells_it_first(**wanted):
        monkeypatch.setattr(Job.objects, "filter", rows)
        JobFactory(scope=scope, github_id=11, run_attempt=1)
        return Job.objects.none()

    monkeypatch.setattr(Job.objects, "filter", somebody_tells_it_first)

    assert tell(scope, RUNNING) == [True]
    assert row().status == "in_progress"


def test_end_told_while_the_start_is_written_is_not_lost(monkeypatch):
    scope = ScopeFactory()
    tell(scope, QUEUED)
    changes = jobs._changes

    def started_in_between(known, facts, status):
        monkeypatch.setattr(jobs, "_changes", changes)
        Job.objects.filter(pk=known.pk).update(status="in_progress")
        return changes(known, facts, status)

    monkeypatch.setattr(jobs, "_changes", started_in_between)

    assert tell(scope, DONE) == [True]
    assert row().status == "completed"


ATTEMPT_2 = replace(QUEUED, run_attempt=2, status="queued")
STATES = {
    "waiting": WAITING,
    "queued": QUEUED,
    "in_progress": RUNNING,
    "completed": DONE,
    "requested": replace(QUEUED, status="requested"),
    "unknown": replace(QUEUED, status="hibernating"),
}
# First told, then told: what the row says afterwards; None: there is no row
ENDS_AS = {
    ("waiting", "waiting"): "waiting",
    ("waiting", "queued"): "queued",
    ("waiting", "in_progress"): "in_progress",
    ("waiting", "completed"): "completed",
    ("waiting", "requested"): "queued",
    ("waiting", "unknown"): "waiting",
    ("queued", "waiting"): "waiting",
    ("queued", "queued"): "queued",
    ("queued", "in_progress"): "in_progress",
    ("queued", "completed"): "completed",
    ("queued", "requested"): "queued",
    ("queued", "unknown"): "queued",
    ("in_progress", "waiting"): "in_progress",
    ("in_progress", "queued"): "in_progress",
    ("in_progress", "in_progress"): "in_progress",
    ("in_progress", "completed"): "completed",
    ("in_progress", "requested"): "in_progress",
    ("in_progress", "unknown"): "in_progress",
    ("completed", "waiting"): "completed",
    ("completed", "queued"): "completed",
    ("completed", "in_progress"): "completed",
    ("completed", "completed"): "completed",
    ("completed", "requested"): "completed",
    ("completed", "unknown"): "completed",
    ("requested", "waiting"): "waiting",
    ("requested", "queued"): "queued",
    ("requested", "in_progress"): "in_progress",
    ("requested", "completed"): "completed",
    ("requested", "requested"): "queued",
    ("requested", "unknown"): "queued",
    ("unknown", "waiting"): "waiting",
    ("unknown", "queued"): "queued",
    ("unknown", "in_progress"): "in_progress",
    ("unknown", "completed"): "completed",
    ("unknown", "requested"): "queued",
    ("unknown", "unknown"): None,
}


def test_every_pair_of_states_is_in_the_table():
    assert set(ENDS_AS) == {(first, then) for first in STATES for then in STATES}


@pytest.mark.parametrize("repeats", [1, 2])
@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize(("first", "then"), list(ENDS_AS))
def test_pair_of_states_ends_as_the_table_says(first, then, many, repeats):
    scope = ScopeFactory()
    told = [STATES[first]] * repeats + [STATES[then]] * repeats

    if many:
        jobs.record_many(scope, told, now=NOW)
    else:
        tell(scope, *told)

    rows = list(Job.objects.values_list("status", flat=True))
    assert rows == ([ENDS_AS[first, then]] if ENDS_AS[first, then] else [])


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    before=st.lists(st.sampled_from([*STATES.values(), ATTEMPT_2]), max_size=3),
    told=st.lists(st.sampled_from([*STATES.values(), ATTEMPT_2]), max_size=8),
)
def test_many_at_once_end_as_one_by_one(before, told, db):
    Job.objects.all().delete()
    one, many = ScopeFactory(), ScopeFactory()
    for scope in (one, many):
        tell(scope, *before)

    changed = tell(one, *told)
    assert jobs.record_many(many, told, now=NOW) == changed

    columns = ("run_attempt", "status", "conclusion", "runner_name", "started_at", "completed_at")
    rows = [list(scope.jobs.order_by("run_attempt").values_list(*columns)) for scope in (one, many)]
    assert rows[0] == rows[1]


def test_many_at_once_go_the_long_way_when_another_tells_one_of_them_first(monkeypatch):
    scope = ScopeFactory()
    bulk_create = Job.objects.bulk_create

    def somebody_tells_it_first(rows):
        JobFactory(scope=scope, github_id=11, run_attempt=1)
        return bulk_create(rows)

    monkeypatch.setattr(Job.objects, "bulk_create", somebody_tells_it_first)

    assert jobs.record_many(scope, [RUNNING, replace(QUEUED, github_id=12)], now=NOW)

    rows = dict(Job.objects.values_list("github_id", "status"))
    assert rows == {11: "in_progress", 12: "queued"}


def test_end_told_by_another_in_between_is_not_undone_by_many_at_once(monkeypatch):
    scope = ScopeFactory()
    tell(scope, QUEUED)
    fold = jobs._fold

    def ended_in_between(batch, *arguments):
        outcome = fold(batch, *arguments)
        Job.objects.filter(github_id=11).update(status="completed", conclusion="success")
        return outcome

    monkeypatch.setattr(jobs, "_fold", ended_in_between)

    jobs.record_many(scope, [RUNNING], now=NOW)

    assert (row().status, row().conclusion) == ("completed", "success")

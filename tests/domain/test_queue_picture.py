"""What a look at the queue keeps: each group's reason, told once when nothing serves it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError

from runners import pool_picture, pools, queue_picture
from runners.audit import Actor
from runners.models import Event, Job, PoolSample, QueuePicture
from runners.pool_picture import Rules
from tests.factories import (
    NOW,
    HostFactory,
    JobFactory,
    PoolFactory,
    RunnerFactory,
    ScopeFactory,
)
from tests.looks import look

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture
def scope():
    return ScopeFactory(slug="acme")


def reasons(*jobs, now=NOW):
    return [each.code for each in queue_picture.read().reasons(jobs, now=now)]


def told():
    return [event.object_name for event in Event.objects.filter(action="job.unroutable")]


def test_the_scaler_keeps_what_it_found_and_what_pools_had(scope):
    HostFactory()
    pool = PoolFactory(scope=scope, min_idle=1)
    job = JobFactory(scope=scope)

    pools.scale(Rules(), now=NOW, by=Actor.system("pools"))

    reason = next(queue_picture.read().reasons([job], now=NOW))
    assert (reason.code, reason.pool) == ("planned", pool.name)
    assert list(PoolSample.objects.values_list("pool", "waiting", "busy")) == [(pool.pk, 1, 0)]


def test_jobs_of_one_group_fare_by_their_age(scope):
    host = HostFactory()
    pool = PoolFactory(scope=scope, max_runners=2)
    RunnerFactory(scope=scope, pool=pool, host=host, slot=1)
    RunnerFactory(scope=scope, pool=pool, host=host, slot=2, starting=True, state_changed_at=NOW)
    jobs = [JobFactory(scope=scope, queued_at=NOW - age * MINUTE) for age in (1, 3, 2)]

    look()

    assert reasons(*jobs) == ["at-max", "ready", "starting"]


def test_a_matrix_is_one_group_of_its_jobs_split_by_labels(scope):
    for number in range(40):
        labels = ["self-hosted", "gpu"] if number < 15 else ["self-hosted", "linux"]
        JobFactory(scope=scope, labels=labels, run_id=7)

    look()

    assert sorted(group.jobs for group in queue_picture.read().groups) == [15, 25]


def test_jobs_that_nothing_serves_are_told_once(scope):
    PoolFactory(scope=scope)
    job = JobFactory(scope=scope, labels=["self-hosted", "cuda-13"])

    news = [look(NOW + number * MINUTE) for number in range(3)]

    assert news == [1, 0, 0]
    assert told() == [str(job)]
    event = Event.objects.get(action="job.unroutable")
    assert "No pool carries the label cuda-13" in event.reason
    assert event.detail["cancelled_at"] == (job.queued_at + timedelta(hours=24)).isoformat()


def test_a_second_repository_and_a_second_time_are_told_anew(scope):
    job = JobFactory(scope=scope, labels=["nobody"])
    look()
    other = JobFactory(scope=scope, labels=["nobody"], repository="acme/api")
    look()
    Job.objects.update(status=Job.Status.COMPLETED)
    look()
    again = JobFactory(scope=scope, labels=["nobody"])
    look()

    assert sorted(told()) == sorted(map(str, (job, other, again)))


def test_hosted_jobs_are_not_ours_and_nobody_is_told(scope):
    job = JobFactory(scope=scope, labels=["ubuntu-latest"])

    look()

    assert reasons(job) == ["not-ours"]
    assert not queue_picture.read().groups[0].ours
    assert told() == []


def test_labels_match_in_any_case_and_order(scope):
    HostFactory()
    PoolFactory(scope=scope)
    job = JobFactory(scope=scope, labels=["X64", "Self-Hosted"])

    look()

    assert reasons(job) == ["planned"]


def test_a_full_pool_says_when_a_runner_is_likely_free(scope):
    pool = PoolFactory(scope=scope, max_runners=1)
    runner = RunnerFactory(scope=scope, pool=pool, busy=True)
    took = {"started_at": NOW, "completed_at": NOW + 10 * MINUTE, "conclusion": "success"}
    JobFactory(scope=scope, status="completed", queued_at=NOW - timedelta(days=1), **took)
    JobFactory(scope=scope, status="in_progress", started_at=NOW - 6 * MINUTE, runner=runner)
    job = JobFactory(scope=scope)

    look()

    cause = next(queue_picture.read().reasons([job], now=NOW)).cause
    assert cause.endswith("is busy; the next is free in about 4 min.")


def test_what_is_not_queued_or_not_looked_at_says_so(scope):
    approval = JobFactory(scope=scope, status=Job.Status.WAITING)
    look()
    new = JobFactory(scope=scope)

    assert reasons(approval, new) == ["approval", "new"]


def test_the_twin_of_a_job_told_to_two_scopes_waits_for_the_same_reason(scope):
    job = JobFactory(scope=scope, labels=["nobody"])
    twin_scope = ScopeFactory(kind="repository", slug="acme/web")
    twin = JobFactory(scope=twin_scope, labels=["nobody"], github_id=job.github_id)
    look()

    assert reasons(job, twin) == ["no-pool", "no-pool"]


def test_an_old_picture_is_not_believed(scope):
    job = JobFactory(scope=scope)
    assert reasons(job) == ["picture-old"]

    look()

    assert reasons(job, now=NOW + MINUTE) == ["no-pool"]
    assert reasons(job, now=NOW + MINUTE + timedelta(seconds=1)) == ["picture-old"]


def test_a_look_that_finds_the_same_writes_one_moment(scope, django_assert_num_queries):
    HostFactory()
    PoolFactory(scope=scope, preset="lazy")
    JobFactory(scope=scope)
    look()
    before = QueuePicture.objects.values("digest", "groups").get()
    planned = _plan(NOW + timedelta(seconds=5))

    # A savepoint's two, and the row
    with django_assert_num_queries(3):
        queue_picture.take(planned, now=NOW + timedelta(seconds=5))

    assert QueuePicture.objects.values("digest", "groups").get() == before
    assert QueuePicture.objects.get().at == NOW + timedelta(seconds=5)


def _plan(now):
    return pool_picture.look(Rules(), now=now).plan()


def test_nothing_of_a_look_is_kept_when_telling_fails(scope, monkeypatch):
    JobFactory(scope=scope, labels=["nobody"])
    monkeypatch.setattr(queue_picture, "_tell", _refuse)

    with pytest.raises(IntegrityError):
        look()

    assert QueuePicture.objects.count() == 0


def _refuse(*_):
    raise IntegrityError

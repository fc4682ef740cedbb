"""How long jobs usually run."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runners.usual import RUNS_COUNTED, kept_seconds, kind_of, medians, usual_seconds
from tests.factories import NOW, JobFactory, ScopeFactory

A = ("acme/web", "CI", "build")
B = ("acme/web", "CI", "test")


def test_the_median_is_kept_for_each_kind():
    assert medians([(A, 10), (A, 90), (A, 20), (B, 5)]) == {A: 20, B: 5}


def test_only_the_newest_runs_count():
    old = [(A, 1000.0)] * RUNS_COUNTED

    assert medians([(A, 10.0)] * RUNS_COUNTED + old) == {A: 10}


@pytest.mark.django_db
def test_jobs_that_failed_run_on_or_are_old_do_not_count():
    scope = ScopeFactory()
    good = {"status": "completed", "conclusion": "success", "queued_at": NOW}
    times = {"started_at": NOW, "completed_at": NOW + timedelta(seconds=30)}
    job = JobFactory(scope=scope, **good, **times)
    JobFactory(scope=scope, name="failed", **{**good, "conclusion": "failure"}, **times)
    JobFactory(scope=scope, name="running", running=True)
    JobFactory(scope=scope, name="old", **{**good, "queued_at": NOW - timedelta(days=8)}, **times)

    assert usual_seconds(now=NOW) == {kind_of(job): 30}


@pytest.mark.django_db
def test_who_asks_every_few_seconds_reads_past_jobs_once(django_assert_num_queries):
    times = {"started_at": NOW, "completed_at": NOW + timedelta(seconds=30), "queued_at": NOW}
    job = JobFactory(status="completed", conclusion="success", **times)

    first = kept_seconds(now=NOW)
    with django_assert_num_queries(0):
        again = kept_seconds(now=NOW + timedelta(seconds=5))

    assert first == again == {kind_of(job): 30}

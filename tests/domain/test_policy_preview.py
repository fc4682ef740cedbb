"""Policies tried on the jobs there were: which jobs count, for how long, and on which hosts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from runners import policy_preview
from runners.pool_picture import Rules
from runners.pool_policy import Policy
from tests.factories import NOW, HostFactory, JobFactory, RunnerFactory, ScopeFactory

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture
def scope():
    return ScopeFactory(slug="acme")


def policy(scope, **changes):
    usual = Policy("linux-x64", scope, ["self-hosted", "linux", "x64"], 0, 10)
    return replace(usual, **changes)


def ran(scope, minutes_ago, *, seconds=60, **facts):
    """A job that was queued then and ran at once."""
    at = NOW - minutes_ago * MINUTE
    done = {"status": "completed", "conclusion": "success", "started_at": at}
    ends = {"completed_at": at + timedelta(seconds=seconds)}
    return JobFactory(scope=scope, queued_at=at, **{**done, **ends, **facts})


def tried(*policies, span="24h"):
    named = [(str(number), each) for number, each in enumerate(policies)]
    return policy_preview.preview(named, span=span, rules=Rules(), now=NOW)


def test_the_jobs_of_the_stretch_are_played_to_each_policy(scope):
    HostFactory()
    for minutes in (60, 50, 40):
        ran(scope, minutes)

    found = tried(policy(scope), policy(scope, min_idle=3))

    cold, warm = (each.outcome for each in found.tried)
    assert not found.made_up
    assert (cold.jobs, warm.jobs) == (3, 3)
    assert cold.wait(50) > warm.wait(50) == 0
    assert warm.runner_hours > cold.runner_hours


def test_only_jobs_the_pool_may_take_count(scope):
    HostFactory()
    ran(scope, 30)
    ran(scope, 30, labels=["self-hosted", "gpu"])
    ran(scope, 30, repository="acme/api", labels=["Linux"])
    ran(scope, 30 * 60)
    ran(ScopeFactory(slug="other"), 30, repository="other/web")
    JobFactory(scope=scope, status="completed", conclusion="cancelled", completed_at=NOW)

    every, one = tried(policy(scope), policy(scope, repositories=("acme/api",))).tried

    assert (every.outcome.jobs, one.outcome.jobs) == (2, 1)


def test_a_job_told_to_two_scopes_counts_once(scope):
    HostFactory()
    ran(scope, 30, github_id=77)
    ran(ScopeFactory(slug="acme/web", kind="repository"), 30, github_id=77)

    assert tried(policy(scope)).tried[0].outcome.jobs == 1


@pytest.mark.parametrize("first", ["organization", "enterprise"])
def test_a_job_told_to_its_enterprise_too_is_played_to_pools_of_both(scope, first):
    HostFactory()
    enterprise = ScopeFactory(slug="big", kind="enterprise")
    for teller in sorted((scope, enterprise), key=lambda each: each.kind != first):
        ran(teller, 30, github_id=77, repository="acme/web")

    played = tried(policy(scope), policy(enterprise)).tried

    assert [each.outcome.jobs for each in played] == [1, 1]


def test_a_job_that_still_runs_is_taken_to_run_as_long_as_usual(scope):
    HostFactory()
    ran(scope, 3 * 60, seconds=1800)
    ran(scope, 60, status="in_progress", conclusion="", completed_at=None)

    outcome = tried(policy(scope, min_idle=1)).tried[0].outcome

    assert outcome.busy_seconds == 1800 + 3600


def test_a_week_reaches_back_farther_than_a_day(scope):
    HostFactory()
    ran(scope, 30)
    ran(scope, 3 * 24 * 60)

    assert tried(policy(scope)).tried[0].outcome.jobs == 1
    assert tried(policy(scope), span="7d").tried[0].outcome.jobs == 2
    assert tried(policy(scope), span="nonsense").tried[0].outcome.jobs == 1


def test_without_history_made_up_days_are_played(scope):
    HostFactory()

    found = tried(policy(scope, labels=["brand-new"]), policy(scope))

    assert found.made_up
    assert found.tried[0].outcome.jobs == found.tried[1].outcome.jobs > 100


def test_more_jobs_than_are_played_shorten_the_stretch(scope, monkeypatch):
    monkeypatch.setattr(policy_preview, "JOBS_PLAYED", 2)
    HostFactory()
    for minutes in (90, 60, 30):
        ran(scope, minutes)

    found = tried(policy(scope))

    assert found.tried[0].outcome.jobs == 2
    assert found.begin == NOW - 60 * MINUTE


def test_hosts_are_taken_as_free_and_closed_ones_as_closed(scope):
    host = HostFactory(slots=1)
    RunnerFactory(host=host, slot=1)
    HostFactory(cordoned_for_work=True)
    HostFactory(arm64=True)
    ran(scope, 60)

    found = tried(policy(scope)).tried[0]

    assert found.hosts == 1
    assert (found.outcome.peak, found.outcome.left) == (1, 0)


def test_enough_hosts_are_played_and_no_more(scope):
    HostFactory.create_batch(60, slots=4)
    ran(scope, 60)

    assert tried(policy(scope, max_runners=2)).tried[0].outcome.left == 0
    assert tried(policy(scope, max_runners=2)).tried[0].hosts == 60


def test_starts_take_as_long_as_they_did_lately(scope):
    for seconds in (10, 40, 90):
        RunnerFactory(
            scope=scope, created_at=NOW - MINUTE, online_at=NOW - MINUTE + seconds * MINUTE / 60
        )

    assert policy_preview.start_seconds(now=NOW) == 40
    assert policy_preview.start_seconds(now=NOW + timedelta(days=99)) == 20


def test_a_preview_writes_nothing(scope, django_assert_max_num_queries):
    HostFactory()
    ran(scope, 60)

    with django_assert_max_num_queries(14) as queries:
        tried(policy(scope), policy(scope, min_idle=3))

    assert all(query["sql"].startswith("SELECT") for query in queries.captured_queries)

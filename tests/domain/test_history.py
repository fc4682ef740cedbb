"""The history of jobs: what each keeps, what its day adds up to, and that it is told only once."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from runners import history, jobs, late_starts, losses
from runners.audit import Actor, record
from runners.failure import Cause
from runners.histograms import ERROR, Histogram
from runners.history import Policy
from runners.models import Job, JobDay
from runners.waits import WaitCause
from tests.factories import (
    NOW,
    HostFactory,
    JobFactory,
    PoolFactory,
    RunnerFactory,
    ScopeFactory,
)

pytestmark = pytest.mark.django_db
POLICY = Policy(keep_jobs=timedelta(days=30), keep_days=timedelta(days=365), queue_seconds=60)
TODAY = NOW.date()
Kind = JobDay.Kind


def keep(now=NOW, policy=POLICY):
    return history.keep(policy=policy, now=now)


def day_of(kind=Kind.FLEET, key="", day=TODAY):
    return JobDay.objects.get(kind=kind, key=key, day=day)


def done(queued=-300, started=-270, completed=-30, **facts):
    """A finished job; moments in seconds from NOW."""
    return JobFactory(
        **{
            "status": Job.Status.COMPLETED,
            "conclusion": "success",
            "queued_at": NOW + timedelta(seconds=queued),
            "started_at": None if started is None else NOW + timedelta(seconds=started),
            "completed_at": NOW + timedelta(seconds=completed),
            **facts,
        }
    )


def test_a_job_keeps_where_it_ran_when_its_rows_change():
    pool = PoolFactory(name="linux-x64")
    runner = RunnerFactory(
        pool=pool,
        host=HostFactory(name="forge-01", site="eu-central"),
        job_peak_cpu_percent=180.0,
        job_peak_memory_bytes=2**31,
    )
    job = done(runner=runner, labels=["self-hosted", "X64", "linux"])

    keep()

    job.refresh_from_db()
    assert (job.label_set, job.pool_name) == ("linux,self-hosted,x64", "linux-x64")
    assert (job.host_name, job.site, job.architecture) == ("forge-01", "eu-central", "x64")
    assert (job.peak_cpu_percent, job.peak_memory_bytes) == (180.0, 2**31)
    assert job.settled_at == NOW


def test_a_persistent_runners_peaks_are_not_those_of_its_next_job():
    runner = RunnerFactory(
        persistent=True, job_started_at=NOW - timedelta(seconds=5), job_peak_cpu_percent=180.0
    )
    job = done(runner=runner)

    keep()

    job.refresh_from_db()
    assert job.peak_cpu_percent is None


def test_a_job_nobody_ran_keeps_the_architecture_it_asked_for():
    job = done(started=None, conclusion="cancelled", labels=["self-hosted", "ARM64"])

    keep()

    job.refresh_from_db()
    assert job.architecture == "arm64"


def test_a_day_adds_up_its_jobs():
    for number in range(1, 101):
        done(queued=-1000, started=-1000 + number, completed=-700)
    done(conclusion="failure", failure_class="product")
    done(conclusion="failure", failure_class="environment")
    done(conclusion="cancelled", started=None)

    keep()

    day = day_of()
    assert (day.jobs, day.succeeded, day.failed, day.cancelled) == (103, 100, 2, 1)
    assert (day.failed_product, day.failed_environment, day.started) == (1, 1, 102)
    assert Histogram.read(day.queue).percentile(95) == pytest.approx(96, rel=ERROR)


@pytest.mark.parametrize(("seconds", "minutes"), [(0, 1), (60, 1), (60.5, 2), (119, 2), (3600, 60)])
def test_minutes_round_up_for_each_job(seconds, minutes):
    assert history.billed_minutes(seconds) == minutes


def test_a_day_counts_by_every_subject():
    runner = RunnerFactory(
        pool=PoolFactory(name="linux-x64"), host=HostFactory(name="forge-01", site="eu")
    )
    done(runner=runner, repository="acme/web", workflow_name="CI")

    keep()

    found = set(JobDay.objects.filter(jobs=1).values_list("kind", "key"))
    assert found == {
        ("fleet", ""),
        ("labels", "linux,self-hosted,x64"),
        ("pool", "linux-x64"),
        ("repository", "acme/web"),
        ("workflow", "acme/web/CI"),
        ("build", "acme/web/CI · x64"),
        ("host", "forge-01"),
        ("site", "eu"),
        ("share", "x64|linux-x64|acme/web"),
    }


def test_adding_up_twice_changes_nothing():
    done()
    keep()
    before = list(JobDay.objects.order_by("kind", "key").values())
    Job.objects.update(settled_at=None)

    keep()

    assert list(JobDay.objects.order_by("kind", "key").values()) == before


def test_a_settled_job_costs_nothing_more():
    done()
    keep()

    assert keep().settled == 0


def test_a_job_that_changes_later_is_counted_anew():
    runner = RunnerFactory()
    job = done(conclusion="failure", runner=runner)
    keep()

    losses.lose(runner, job, cause=Cause.OOM, now=NOW, by=Actor.system("test"))
    keep()

    assert day_of().failed_environment == 1


def test_a_job_that_changes_while_its_day_is_added_up_is_counted_again(monkeypatch):
    job = done(conclusion="failure")
    add_up, changes = history.add_up, [{"conclusion": "success", "settled_at": None}]

    def and_then_it_changes(day):
        add_up(day)
        while changes:
            Job.objects.filter(pk=job.pk).update(**changes.pop())

    monkeypatch.setattr(history, "add_up", and_then_it_changes)
    keep()

    assert (day_of().succeeded, day_of().failed) == (1, 0)


def test_what_github_tells_late_of_a_finished_job_is_counted_anew():
    scope = ScopeFactory()
    job = done(scope=scope, conclusion="failure")
    keep()
    facts = jobs.JobFacts(
        github_id=job.github_id,
        run_id=job.run_id,
        run_attempt=1,
        repository=job.repository,
        workflow_name="CI",
        name="build",
        labels=job.labels,
        html_url="",
        head_branch="",
        status="completed",
        conclusion="success",
        runner_name="",
        created_at=job.queued_at,
        started_at=job.started_at,
        completed_at=job.completed_at,
        setup_seconds=4.0,
    )

    jobs.record(scope, facts, now=NOW)
    keep()

    assert day_of().succeeded == 1
    assert Histogram.read(day_of().setup).count == 1


def test_a_subject_that_left_the_day_leaves_its_row():
    job = done(repository="acme/old")
    keep()
    Job.objects.filter(pk=job.pk).update(repository="acme/new", settled_at=None)

    keep()

    assert not JobDay.objects.filter(key="acme/old").exists()


def test_a_build_is_a_whole_run_on_one_architecture():
    scope = ScopeFactory()
    x64 = RunnerFactory(scope=scope)
    arm64 = RunnerFactory(scope=scope, host=HostFactory(arm64=True))
    common = {"scope": scope, "run_id": 7}
    done(**common, runner=x64, queued=-900, started=-890, completed=-600)
    done(**common, runner=x64, queued=-600, started=-590, completed=0)
    done(**common, runner=arm64, queued=-900, started=-890, completed=-180)

    keep()

    lengths = {
        row.key: Histogram.read(row.total).percentile(50)
        for row in JobDay.objects.filter(kind=Kind.BUILD)
    }
    assert lengths == {
        "acme/web/CI · x64": pytest.approx(900, rel=ERROR),
        "acme/web/CI · arm64": pytest.approx(720, rel=ERROR),
    }


def test_a_build_over_midnight_counts_once_on_the_day_it_ended():
    scope = ScopeFactory()
    midnight = datetime(2026, 11, 23, tzinfo=UTC)
    before = (midnight - NOW).total_seconds() - 60
    done(scope=scope, run_id=7, queued=before - 60, started=before - 50, completed=before)
    keep()
    done(scope=scope, run_id=7, queued=before, started=before + 10, completed=before + 120)

    keep()

    (row,) = JobDay.objects.filter(kind=Kind.BUILD, jobs__gt=0)
    assert row.day == TODAY
    assert Histogram.read(row.total).percentile(50) == pytest.approx(180, rel=ERROR)


def test_start_ups_count_on_the_day_a_runner_came_online():
    RunnerFactory(
        host=HostFactory(site="eu"),
        created_at=NOW - timedelta(seconds=100),
        online_at=NOW - timedelta(seconds=40),
    )
    done()

    keep()

    assert Histogram.read(day_of(Kind.SITE, "eu").startup).percentile(95) == pytest.approx(
        60, rel=ERROR
    )


def test_a_late_start_is_counted_with_its_cause():
    cold = RunnerFactory(
        created_at=NOW - timedelta(seconds=300), online_at=NOW - timedelta(seconds=210)
    )
    done(runner=cold, queued=-300, started=-205)
    done(queued=-90, started=-30, completed=-1)

    keep()

    assert day_of().late_causes == {"cold-start": 1}


@pytest.mark.parametrize(
    ("action", "ends", "subject", "cause"),
    [
        ("pool.pause", "pool.resume", "pool", WaitCause.POLICY),
        ("host.cordon", "host.uncordon", "host", WaitCause.DRAIN),
        ("host.offline", "host.online", "host", WaitCause.HOST_LOST),
        ("pool.pause", "pool.resume", "other pool", WaitCause.NO_CAPACITY),
        ("host.cordon", "host.uncordon", "other architecture", WaitCause.NO_CAPACITY),
    ],
)
def test_what_was_held_back_is_found_in_the_event_log(action, ends, subject, cause):
    pool, host = PoolFactory(), HostFactory()
    subjects: dict[str, Any] = {
        "pool": pool,
        "host": HostFactory(),
        "other pool": PoolFactory(),
        "other architecture": HostFactory(arm64=True),
    }
    runner = RunnerFactory(
        pool=pool,
        host=host,
        created_at=NOW - timedelta(seconds=60),
        online_at=NOW - timedelta(seconds=50),
    )
    by = Actor.system("test")
    record(subjects[subject], action, by=by, at=NOW - timedelta(seconds=900))
    record(subjects[subject], ends, by=by, at=NOW - timedelta(seconds=70))
    job = done(runner=runner, queued=-800, started=-45)

    assert late_starts.causes_of([job], now=NOW) == {job.pk: cause}


def test_a_host_that_is_away_for_long_is_no_cause_any_more():
    rows = [(NOW - timedelta(days=2), "host.offline", "host", 1)]

    (held,) = late_starts.pair(rows, NOW)

    assert held.span == (NOW - timedelta(days=2), NOW - timedelta(days=2) + late_starts.AWAY_FOR)


def test_causes_cost_the_same_however_many_jobs(django_assert_num_queries):
    jobs_ = [done(runner=RunnerFactory(pool=PoolFactory()), started=-30) for _ in range(10)]

    with django_assert_num_queries(2):
        late_starts.causes_of(jobs_, now=NOW)


def test_old_jobs_go_and_their_days_stay():
    old = done(completed=-31 * 86400 + 60, started=-31 * 86400, queued=-31 * 86400)
    keep(now=NOW - timedelta(days=2))

    assert keep().deleted == 1
    assert not Job.objects.filter(pk=old.pk).exists()
    assert day_of(day=old.completed_at.date()).jobs == 1


def test_no_pass_deletes_more_than_a_few_batches(monkeypatch):
    monkeypatch.setattr(history, "PRUNE_BATCH", 2)
    monkeypatch.setattr(history, "PRUNE_BATCHES_A_PASS", 2)
    for _ in range(6):
        done(completed=-40 * 86400, started=-40 * 86400, queued=-40 * 86400, settled_at=NOW)

    assert history.prune(policy=POLICY, now=NOW) == 4
    assert history.prune(policy=POLICY, now=NOW) == 2


@pytest.mark.parametrize(
    "facts",
    [
        {"settled_at": None},
        {"status": "in_progress", "settled_at": NOW},
    ],
)
def test_what_is_not_settled_is_not_thrown_away(facts):
    done(**{"completed": -40 * 86400, **facts})

    assert history.prune(policy=POLICY, now=NOW) == 0


def test_a_day_some_of_whose_jobs_are_gone_is_left_as_it_was():
    job = done(completed=-29 * 86400, started=-29 * 86400, queued=-29 * 86400)
    keep(now=NOW - timedelta(days=20))
    Job.objects.filter(pk=job.pk).update(settled_at=None, conclusion="failure")

    keep(now=NOW + timedelta(days=1))

    assert day_of(day=job.completed_at.date()).succeeded == 1


def test_days_past_their_time_go():
    JobDay.objects.create(kind=Kind.FLEET, key="", day=date(2024, 1, 1))

    keep()

    assert not JobDay.objects.exists()

"""Drains from beginning to end: pass by pass, with what GitHub and the host say in between."""

from datetime import timedelta

import pytest

from runners import heartbeat, lifecycle
from runners.audit import Actor
from runners.errors import InvalidRequest
from runners.models import Event, Job, Runner
from runners.registry import path_of
from runners.states import Phase, RunnerState
from tests.domain.messages import POLICY, report, slot
from tests.domain.passes import DOWN, at_github, registered, run_pass, stored
from tests.factories import NOW, HostFactory, JobFactory, ScopeFactory
from tests.fakes import FakeGitHub

pytestmark = pytest.mark.django_db
DELETE = "delete_self_hosted_runner"
ADA = Actor.system("ada")
HOURS = timedelta(hours=6)  # the hosts here are heard of all the while


@pytest.fixture
def github():
    return FakeGitHub()


def minutes(count):
    return timedelta(minutes=count)


def a_runner(github, **traits):
    return registered(github, host__offline_after=NOW + HOURS, **traits)


def github_says(runner, github, *, busy):
    github.set_runner(path_of(runner.scope), runner.name, busy=busy)


def host_says(runner, phase, *, now=NOW):
    """One heartbeat about this runner; returns what the host is told to do with it."""
    host = stored(runner.host)
    job = {"name": "build", "started_at": NOW.isoformat()} if phase == "busy" else None
    said = report(host, slot(runner, phase, job=job, exit_code=0 if phase == "exited" else None))
    answer = heartbeat.receive(host, "", said, policy=POLICY, now=now)
    return next((each for each in answer.wanted if each.runner_id == runner.pk), None)


def test_job_given_between_the_list_and_the_deletion_is_finished(github):
    """The drain and GitHub's assignment fall into one second: the list still says idle."""
    runner = a_runner(github, draining=True)
    job = JobFactory(scope=runner.scope, runner=runner, running=True)
    delete = github.delete_self_hosted_runner

    def a_job_comes_first(scope, runner_id):
        github_says(runner, github, busy=True)
        github.delete_self_hosted_runner = delete
        delete(scope, runner_id)

    github.delete_self_hosted_runner = a_job_comes_first
    run_pass(runner.scope, github)
    assert (stored(runner).state, at_github(runner, github)) == ("draining", [runner.name])
    assert not host_says(runner, "busy", now=NOW).stop

    run_pass(runner.scope, github, now=NOW + minutes(5))
    github_says(runner, github, busy=False)
    host_says(runner, "exited", now=NOW + minutes(6))
    run_pass(runner.scope, github, now=NOW + minutes(6))

    assert (stored(runner).state, stored(runner).force) == ("removing", False)
    assert stored(job).failure_class == ""


def test_refusal_that_outlives_the_job_is_asked_again_with_each_pass_and_stops_nothing(github):
    """GitHub counts a job on the runner for up to 15 minutes after its end."""
    runner = a_runner(github, draining=True, persistent=True, busy=True)
    host_says(runner, "listening")

    for passed in range(15):
        run_pass(runner.scope, github, now=NOW + minutes(passed))
        assert stored(runner).state == RunnerState.DRAINING
        assert not host_says(runner, "listening", now=NOW + minutes(passed)).stop
    assert github.calls.count(DELETE) == 15
    assert stored(runner.scope).github_error == ""

    github_says(runner, github, busy=False)
    run_pass(runner.scope, github, now=NOW + minutes(15))
    told = host_says(runner, "listening", now=NOW + minutes(15))
    assert (told.stop, told.force) == (True, False)
    host_says(runner, "gone", now=NOW + minutes(15))
    run_pass(runner.scope, github, now=NOW + minutes(16))

    row = stored(runner)
    assert (row.state, row.slot, at_github(runner, github)) == ("removed", None, [])


def test_host_that_sees_a_job_after_the_deletion_is_waited_for(github):
    """The last look at the worker: GitHub let go, and yet a job is there."""
    runner = a_runner(github, draining=True, persistent=True)
    run_pass(runner.scope, github)
    assert (stored(runner).state, at_github(runner, github)) == ("removing", [])

    told = host_says(runner, "busy", now=NOW + minutes(1))
    assert (told.stop, told.force) == (True, False)
    for passed in range(1, 30):
        run_pass(runner.scope, github, now=NOW + minutes(passed))
        assert (stored(runner).state, stored(runner).slot) == ("removing", 1)

    host_says(runner, "gone", now=NOW + minutes(31))
    run_pass(runner.scope, github, now=NOW + minutes(31))
    assert stored(runner).state == RunnerState.REMOVED
    assert not Event.objects.filter(action="runner.force").exists()


def test_deadline_holds_after_the_deletion_too(github):
    deadline = NOW + minutes(10)
    runner = a_runner(github, draining=True, persistent=True, drain_deadline_at=deadline)
    run_pass(runner.scope, github)
    host_says(runner, "busy", now=NOW + minutes(1))

    run_pass(runner.scope, github, now=NOW + minutes(9))
    assert not host_says(runner, "busy", now=NOW + minutes(9)).force
    run_pass(runner.scope, github, now=deadline)
    run_pass(runner.scope, github, now=deadline + minutes(1))

    assert host_says(runner, "busy", now=deadline).force
    assert "deadline" in Event.objects.get(action="runner.force").reason


def test_deadline_ends_the_job_with_its_reason_and_not_a_second_before(github):
    runner = a_runner(github, persistent=True, busy=True)
    job = JobFactory(scope=runner.scope, runner=runner, running=True)
    deadline = NOW + minutes(60)
    lifecycle.drain(runner, by=ADA, reason="Kernel", now=NOW, deadline_at=deadline)

    run_pass(runner.scope, github, now=deadline - timedelta(seconds=1))
    assert (stored(runner).state, stored(job).failure_class) == ("draining", "")
    assert not host_says(runner, "busy", now=deadline).stop
    run_pass(runner.scope, github, now=deadline)

    told = host_says(runner, "busy", now=deadline)
    assert (told.stop, told.force) == (True, True)
    assert "deadline 2026-11-23 13:00:00 UTC passed" in stored(runner).state_reason
    assert stored(job).failure_class == "infrastructure"
    assert at_github(runner, github) == [runner.name]  # GitHub is told once it lets go

    github_says(runner, github, busy=False)
    host_says(runner, "gone", now=deadline)
    run_pass(runner.scope, github, now=deadline + minutes(1))
    assert (stored(runner).state, at_github(runner, github)) == ("removed", [])


def test_deadline_that_was_moved_counts_and_the_one_before_does_not(github):
    runner = a_runner(github, busy=True)
    lifecycle.drain(runner, by=ADA, reason="Disk", now=NOW, deadline_at=NOW + minutes(15))
    lifecycle.drain(runner, by=ADA, reason="No hurry", now=NOW, deadline_at=None)

    run_pass(runner.scope, github, now=NOW + minutes(300))

    assert (stored(runner).state, stored(runner).state_reason) == ("draining", "No hurry")
    lifecycle.drain(stored(runner), by=ADA, reason="Now", now=NOW, deadline_at=NOW + minutes(301))
    run_pass(runner.scope, github, now=NOW + minutes(301))
    assert (stored(runner).state, stored(runner).force) == ("removing", True)


def test_drain_that_is_stopped_leaves_the_runner_at_work_and_forgets_its_deadline(github):
    runner = a_runner(github, busy=True)
    lifecycle.drain(runner, by=ADA, reason="Disk", now=NOW, deadline_at=NOW + minutes(15))
    run_pass(runner.scope, github)

    lifecycle.stop_drain(stored(runner), by=ADA, reason="False alarm", now=NOW)
    github_says(runner, github, busy=False)
    run_pass(runner.scope, github, now=NOW + minutes(16))

    row = stored(runner)
    assert (row.state, row.force, row.drain_deadline_at) == ("active", False, None)
    assert at_github(runner, github) == [runner.name]
    assert not host_says(runner, "listening", now=NOW + minutes(16)).stop


def test_drain_can_not_be_stopped_once_github_let_go(github):
    runner = a_runner(github, draining=True)
    github.fail_next(DELETE, DOWN, after_effect=True)  # deleted, and the answer was lost
    run_pass(runner.scope, github)
    assert stored(runner).state == RunnerState.DRAINING
    Runner.objects.filter(pk=runner.pk).update(github_deleted_at=NOW)

    with pytest.raises(InvalidRequest):
        lifecycle.stop_drain(stored(runner), by=ADA, reason="", now=NOW)

    run_pass(runner.scope, github)
    assert stored(runner).state == RunnerState.REMOVING


@pytest.mark.parametrize("phase", [Phase.STOPPING, Phase.GONE])
def test_deletion_that_fails_keeps_the_id_until_github_is_well(phase, github):
    """Whatever became of the host meanwhile: the id is what a registration is deleted by."""
    runner = a_runner(github, removing=True, phase=phase)
    github.fail_next(DELETE, DOWN, times=4)

    for passed in range(4):
        run_pass(runner.scope, github, now=NOW + minutes(passed))
        row = stored(runner)
        assert (row.state, row.github_id, row.slot) == ("removing", runner.github_id, 1)
    run_pass(runner.scope, github, now=NOW + minutes(5))

    assert at_github(runner, github) == []
    assert stored(runner).state == ("removed" if phase == Phase.GONE else "removing")


def test_runner_of_a_silent_host_is_deleted_only_if_github_agrees(github):
    idle, busy = (
        registered(github, draining=True, host__offline=True, busy=busy) for busy in (False, True)
    )

    run_pass(idle.scope, github)
    run_pass(busy.scope, github)

    assert (stored(idle).state, at_github(idle, github)) == ("removing", [])
    assert (stored(busy).state, at_github(busy, github)) == ("draining", [busy.name])


def test_hosts_with_one_name_pattern_drain_their_own_runners_only(github):
    scope = ScopeFactory()
    first, second = HostFactory(name="build-1"), HostFactory(name="build-11")
    mine, theirs = (
        registered(github, scope=scope, host=host, name=f"ci-{host.name}-a")
        for host in (first, second)
    )

    lifecycle.drain(mine, by=ADA, reason="", now=NOW)
    run_pass(scope, github)

    assert at_github(theirs, github) == [theirs.name]
    assert (stored(mine).state, stored(theirs).state) == ("removing", "active")


def test_no_job_is_lost_in_a_whole_drain(github):
    """Five runners at every stage of their jobs: all leave, and every job ends by itself."""
    scope = ScopeFactory()
    host = HostFactory(slots=5, offline_after=NOW + HOURS)
    runners = [
        registered(github, scope=scope, host=host, slot=place, busy=place > 2)
        for place in range(1, 6)
    ]
    for runner in runners[2:]:
        Runner.objects.filter(pk=runner.pk).update(phase=Phase.BUSY)
        JobFactory(scope=scope, runner=runner, running=True)
    for runner in runners:
        lifecycle.drain(runner, by=ADA, reason="Kernel", now=NOW)

    for passed in range(1, 6):
        run_pass(scope, github, now=NOW + minutes(passed))
        for runner in runners:
            row = stored(runner)
            if row.state == RunnerState.REMOVING and row.phase != Phase.GONE:
                Runner.objects.filter(pk=runner.pk).update(phase=Phase.GONE)
        if passed < 4:  # one job ends a minute
            done = runners[passed + 1]
            github_says(done, github, busy=False)
            Runner.objects.filter(pk=done.pk).update(phase=Phase.EXITED)
    run_pass(scope, github, now=NOW + minutes(6))

    assert {stored(runner).state for runner in runners} == {"removed"}
    assert github.runners(path_of(scope)) == []
    assert not Job.objects.exclude(failure_class="").exists()
    assert not Runner.objects.filter(force=True).exists()

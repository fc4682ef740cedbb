"""Jobs that went down with their runner, and what is written down of it."""

from datetime import timedelta

import pytest

from runners import heartbeat, jobs, lifecycle, losses
from runners.failure import CLASS_OF, Cause, FailureClass, exit_words
from runners.models import Event, Host, Job, Postmortem, Runner
from runners.states import RunnerState
from tests.domain.messages import POLICY, entry, report, slot
from tests.domain.test_jobs import DONE, RUNNING
from tests.factories import GIB, NOW, HostFactory, JobFactory, RunnerFactory

pytestmark = pytest.mark.django_db

FAILED = {"conclusion": "failure"}


def changed(facts, **fields):
    return facts.__class__(**{name: getattr(facts, name) for name in facts.__slots__} | fields)


@pytest.fixture
def busy():
    """A runner at work on kiln-02, and its job as GitHub told it."""
    runner = RunnerFactory(busy=True, name="kiln-02-a", host=HostFactory(name="kiln-02"))
    tell(runner, RUNNING)
    return runner


def tell(runner, facts, **fields):
    jobs.record(runner.scope, changed(facts, runner_name=runner.name, **fields), now=NOW)
    return Job.objects.get()


def beat(runner, phase, **said):
    host = Host.objects.get(pk=runner.host_id)
    told = report(host, slot(runner, phase, **said))
    heartbeat.receive(host, "", told, policy=POLICY, now=NOW)
    return Runner.objects.get(pk=runner.pk)


def killed(runner, **said):
    return beat(
        runner,
        "exited",
        exit_code=137,
        reason="killed by SIGKILL: the kernel ran out of memory",
        cause="oom",
        log_tail="Running job: build\n",
        facts_at_end={
            "at": NOW.isoformat(),
            "cpu_percent": 97.5,
            "memory_used_bytes": 31 * GIB,
            "disk_free_bytes": 4 * GIB,
        },
        **said,
    )


def test_job_that_went_down_with_its_runner_is_ours(busy):
    runner = killed(busy)

    job = Job.objects.get()
    assert (runner.state, runner.failure_cause) == (RunnerState.FAILED, Cause.OOM)
    assert job.failure_class == FailureClass.ENVIRONMENT
    assert job.failure_reason == (
        "The runner ended with exit code 137 (killed: out of memory) on kiln-02 while the job ran."
    )
    event = Event.objects.get(action="job.lost")
    assert (event.object_id, event.reason) == (job.pk, job.failure_reason)


def test_postmortem_keeps_what_is_gone_a_moment_later(busy):
    runner = killed(busy)

    post = Postmortem.objects.get()
    assert (post.runner, post.cause, post.exit_code, post.was_phase) == (
        runner,
        Cause.OOM,
        137,
        "busy",
    )
    assert (post.job, post.job_name) == (Job.objects.get(), Job.objects.get().name)
    assert post.log_tail == "Running job: build\n"
    assert post.host_facts["cpu_percent"] == 97.5
    assert post.host_facts["load1"] == 2.0
    assert post.host_facts["memory_used_bytes"] == 31 * GIB


@pytest.mark.parametrize("cause", [cause for cause in Cause if cause != Cause.FORCED])
def test_each_cause_gives_its_class_and_a_sentence(cause, busy, ada):
    lifecycle.fail(busy, cause=cause, reason="Gone", now=NOW, by=ada)

    job = Job.objects.get()
    assert job.failure_class == CLASS_OF[cause]
    assert "kiln-02" in job.failure_reason
    assert job.failure_reason.endswith(".")


def test_loss_stays_when_github_completes_the_job_with_a_failure(busy):
    killed(busy)

    job = tell(busy, DONE, **FAILED)

    assert (job.conclusion, job.failure_class) == ("failure", FailureClass.ENVIRONMENT)


def test_loss_is_taken_back_when_the_job_succeeded_after_all(busy):
    killed(busy)

    job = tell(busy, DONE)

    assert (job.failure_class, job.failure_reason) == ("", "")
    assert Event.objects.filter(action="job.found").count() == 1
    assert Postmortem.objects.get().job is None


def test_job_that_github_failed_before_the_host_told_is_ours_too(busy):
    tell(busy, DONE, **FAILED)

    killed(busy)

    assert Job.objects.get().failure_class == FailureClass.ENVIRONMENT


@pytest.mark.parametrize("facts", [RUNNING, changed(DONE, conclusion="failure")])
def test_job_told_only_after_its_runner_was_gone_is_ours(facts):
    runner = killed(RunnerFactory(busy=True))

    job = tell(runner, facts)

    assert job.failure_class == FailureClass.ENVIRONMENT
    assert Postmortem.objects.get().job == job


def test_job_that_failed_on_a_runner_that_went_on_is_its_own(busy):
    job = tell(busy, DONE, **FAILED)
    beat(busy, "exited", exit_code=0, cause="finished")

    job.refresh_from_db()
    assert job.failure_class == FailureClass.PRODUCT
    assert not Event.objects.filter(action="job.lost").exists()


@pytest.mark.parametrize("conclusion", ["success", "cancelled", "skipped"])
def test_job_that_did_not_fail_has_no_class(conclusion, busy):
    assert tell(busy, DONE, conclusion=conclusion).failure_class == ""


def test_idle_runner_takes_no_job_down(ada):
    runner = RunnerFactory()
    JobFactory(scope=runner.scope, running=True)

    lifecycle.fail(runner, cause=Cause.EXIT, reason="", now=NOW, by=ada)

    assert Job.objects.get().failure_class == ""
    assert Postmortem.objects.get().job is None


def test_forced_out_runner_says_a_person_stopped_its_job(busy, ada):
    lifecycle.deregister(busy, by=ada, reason="Hung", now=NOW, force=True)

    job = Job.objects.get()
    assert job.failure_class == FailureClass.INFRASTRUCTURE
    assert job.failure_reason == "kiln-02-a on kiln-02 was stopped by a person while the job ran."


@pytest.mark.parametrize("traits", [{"ephemeral": False}, {"state": RunnerState.DRAINING}])
def test_process_that_breaks_off_under_its_job_loses_it_although_the_runner_goes_on(traits, busy):
    Runner.objects.filter(pk=busy.pk).update(**traits)

    runner = killed(Runner.objects.get())

    assert runner.state != RunnerState.FAILED
    assert Job.objects.get().failure_class == FailureClass.ENVIRONMENT


def test_persistent_runners_earlier_failure_is_not_its_last_jobs_loss(ada):
    runner = RunnerFactory(busy=True, ephemeral=False, job_started_at=NOW)
    JobFactory(
        scope=runner.scope,
        runner=runner,
        done=True,
        conclusion="failure",
        completed_at=NOW - timedelta(hours=1),
    )

    lifecycle.fail(runner, cause=Cause.EXIT, reason="", now=NOW, by=ada)

    assert Job.objects.get().failure_class == ""


def test_told_twice_a_job_is_lost_once(busy, ada):
    for _ in range(2):
        losses.lose_job_of(busy, cause=Cause.HUNG, now=NOW, by=ada)

    assert Event.objects.filter(action="job.lost").count() == 1


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1, "exit code 1 (gave up: bad configuration, deleted registration or access denied)"),
        (137, "exit code 137 (killed)"),
        (139, "exit code 139 (ended by signal 11)"),
        (-6, "exit code -6 (ended by signal 6)"),
        (42, "exit code 42"),
    ],
)
def test_exit_code_is_said_in_words(code, words):
    assert exit_words(code) == words


@pytest.mark.parametrize(
    ("phase", "code", "cause"),
    [
        ("failed", None, Cause.OTHER),
        ("gone", None, Cause.STATE_LOST),
        ("exited", 1, Cause.EXIT),
        ("exited", 143, Cause.SIGNAL),
        ("exited", -9, Cause.SIGNAL),
        ("exited", None, Cause.EXIT),
    ],
)
def test_agent_that_names_no_cause_is_judged_by_phase_and_code(phase, code, cause):
    assert beat(RunnerFactory(), phase, exit_code=code).failure_cause == cause


LEFT = {"kind": "work-directory", "name": "77", "path": "/slots/77", "pid": None, "bytes": 5}


def left(host, *, names=("77",), **said):
    told = report(host, leftovers=[LEFT | {"name": name} for name in names], **said)
    return heartbeat.receive(host, "", told, policy=POLICY, now=NOW)


def test_leftovers_are_kept_and_those_to_clean_handed_out_until_they_are_gone():
    host = HostFactory(leftovers_to_clean=["77"])

    first = left(host, names=("77", "78"))
    silent = heartbeat.receive(host, "", report(host), policy=POLICY, now=NOW)
    gone = left(Host.objects.get(), names=("78",))

    assert (first.clean, silent.clean, gone.clean) == (("77",), ("77",), ())
    assert [one["name"] for one in Host.objects.get().leftovers] == ["78"]
    assert Host.objects.get().leftovers_to_clean == []


def test_host_with_something_to_clean_is_not_quiet():
    host = HostFactory(leftovers_to_clean=["77"])
    left(host)

    assert Host.objects.get().quiet_digest == ""

    left(Host.objects.get(), names=())
    assert Host.objects.get().quiet_digest != ""


def test_journal_of_a_lost_runner_is_still_counted():
    runner = RunnerFactory(busy=True)
    said = report(
        runner.host,
        slot(runner, "exited", exit_code=137, cause="oom"),
        journal=[entry(1, "job-completed", runner)],
    )
    heartbeat.receive(runner.host, "", said, policy=POLICY, now=NOW)

    assert Runner.objects.get().jobs_done == 1

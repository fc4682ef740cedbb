"""Background tasks: alone by lease, safe to run twice, silent about what is gone."""

from datetime import timedelta

import pytest

from runners import leases, loop, reconcile, tasks
from runners.github.errors import GitHubUnavailable
from runners.github.types import RunnerApplication
from runners.github.verdicts import VerdictCode
from runners.models import Beat, Credential, Job, Runner, RunnerPackage, Scope
from runners.registry import path_of
from runners.states import RunnerState
from tests.factories import NOW, CredentialFactory, JobFactory, RunnerFactory, ScopeFactory
from tests.fakes import FakeGitHub

pytestmark = pytest.mark.django_db

DOWN = GitHubUnavailable("GitHub answered 502.")


@pytest.fixture
def github(monkeypatch):
    """The GitHub that every client of the tasks speaks to."""
    fake = FakeGitHub()
    monkeypatch.setattr("runners.wiring.github_client", lambda scope: fake)
    monkeypatch.setattr("runners.wiring.client_for", lambda credential: fake)
    monkeypatch.setattr("runners.wiring.now", lambda: NOW)
    return fake


def test_pass_over_a_scope_is_written_down(github):
    runner = RunnerFactory(starting=True)
    github.add_runner(path_of(runner.scope), runner.name, online=True)

    said = tasks.reconcile_scope(runner.scope_id)

    assert said == "1 listed, 0 not ours, 1 moved, 0 deleted, 0 drifts, 0 mended"
    assert Scope.objects.get().reconciled_at == NOW
    assert Runner.objects.get().state == RunnerState.ACTIVE


def test_wish_made_during_a_pass_makes_another_in_the_same_task(github):
    scope = ScopeFactory(reconcile_wanted=True)
    list_ = github.list_self_hosted_runners
    wishes = iter([True, False])

    def somebody_wishes(path, *, name=None):
        if next(wishes):
            Scope.objects.update(reconcile_wanted=True)
        return list_(path, name=name)

    github.list_self_hosted_runners = somebody_wishes

    tasks.reconcile_scope(scope.pk)

    assert next(wishes, None) is None
    assert not Scope.objects.get().reconcile_wanted


def test_wishes_without_end_end_after_three_passes(github):
    scope = ScopeFactory()
    list_ = github.list_self_hosted_runners

    def somebody_always_wishes(path, *, name=None):
        Scope.objects.update(reconcile_wanted=True)
        return list_(path, name=name)

    github.list_self_hosted_runners = somebody_always_wishes

    tasks.reconcile_scope(scope.pk)

    assert github.calls.count("list_self_hosted_runners") == 3


def test_two_passes_over_one_scope_never_run_at_once(github):
    scope = ScopeFactory()
    leases.acquire(reconcile.lease_name(scope.pk), "elsewhere:1", 60, NOW)

    assert tasks.reconcile_scope(scope.pk) == "another pass is under way"
    assert github.calls == []


def test_lease_is_given_back_even_when_the_pass_breaks(github, monkeypatch):
    scope = ScopeFactory()

    def broken(*args, **kwargs):
        raise RuntimeError("bug")

    with monkeypatch.context() as patch:
        patch.setattr(reconcile, "reconcile_scope", broken)
        with pytest.raises(RuntimeError):
            tasks.reconcile_scope(scope.pk)

    assert tasks.reconcile_scope(scope.pk).startswith("0 listed")


def test_packages_are_learned_before_the_pass_and_their_failure_does_not_stop_it(github, caplog):
    scope = ScopeFactory()
    github.applications = (
        RunnerApplication(
            "linux", "x64", "https://example.com/x", "actions-runner-linux-x64-2.336.0.tar.gz", "ab"
        ),
    )
    tasks.reconcile_scope(scope.pk)
    assert RunnerPackage.objects.get().version == "2.336.0"

    RunnerPackage.objects.all().delete()
    github.fail_next("list_runner_applications", DOWN)
    assert tasks.reconcile_scope(scope.pk).startswith("0 listed")
    assert "502" in caplog.text


def test_due_work_is_queued_for_every_scope_and_credential(github, queued):
    first = ScopeFactory()
    second = ScopeFactory()
    Credential.objects.filter(pk=second.credential_id).update(
        verdict_at=NOW - timedelta(minutes=59)
    )

    assert tasks.reconcile_due_scopes() == "2 scopes"

    assert sorted(queued()) == sorted(
        [
            ("runners.tasks.reconcile_scope", (first.pk,)),
            ("runners.tasks.reconcile_scope", (second.pk,)),
            ("runners.tasks.check_credential_by_id", (first.credential_id,)),
        ]
    )


def test_jobs_are_polled_alone_and_trouble_is_said(github):
    scope = ScopeFactory(slug="acme")
    github.add_job(github.add_run("acme/web"))

    assert tasks.poll_jobs(scope.pk).startswith("1 jobs changed")
    github.fail_next("list_repositories_for_org", DOWN)
    assert tasks.poll_jobs(scope.pk).endswith(DOWN.user_message)
    assert Scope.objects.get().jobs_problem == DOWN.user_message
    leases.acquire(f"jobs:{scope.pk}", "elsewhere:1", 60, NOW)
    assert tasks.poll_jobs(scope.pk) == "another poll is under way"
    assert Job.objects.count() == 1


def test_labels_are_pushed_for_a_persistent_runner(github):
    runner = RunnerFactory(persistent=True, labels=["self-hosted", "gpu"])
    there = github.add_runner(path_of(runner.scope), runner.name)
    Runner.objects.update(github_id=there.id)

    assert "gpu" in tasks.push_labels(runner.pk)


def test_credential_is_judged_by_its_worst_scope(github):
    credential = CredentialFactory()
    assert tasks.check_credential_by_id(credential.pk) == "no scope uses it yet"
    ScopeFactory(credential=credential)
    hidden = ScopeFactory(credential=credential)
    github.hide(path_of(hidden))

    said = tasks.check_credential_by_id(credential.pk)

    assert VerdictCode(said) not in (VerdictCode.VALID, VerdictCode.TOO_BROAD)
    assert Credential.objects.get().verdict == said


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (tasks.reconcile_scope, "the scope was removed"),
        (tasks.poll_jobs, "the scope was removed"),
        (tasks.push_labels, "the runner was removed"),
        (tasks.check_credential_by_id, "the credential was removed"),
        (tasks.take_in_deliveries, "the scope was removed"),
    ],
)
def test_task_about_something_that_is_gone_says_so(task, said, github):
    JobFactory()

    assert task(999_999) == said


def test_canary_comes_back_with_the_moment_it_was_sent(github):
    assert tasks.canary(NOW.isoformat()) == NOW.isoformat()
    assert Beat.objects.get(name=loop.WORKER).detail == NOW.isoformat()


def test_house_is_kept_and_says_so(github):
    assert tasks.keep_house() == (
        "0 sessions, 0 failed tasks, 0 deliveries, 0 decisions and 0 samples of pools deleted"
    )

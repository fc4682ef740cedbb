"""The fake's own controls: failing on command, hiding, and never going out."""

from __future__ import annotations

import pytest

from runners.github.errors import GitHubUnavailable, NotFound
from runners.github.urls import ScopePath
from tests.fakes import FakeGitHub, refusal

ORG = ScopePath.organization("acme")
DOWN = GitHubUnavailable("GitHub is away.", may_have_happened=True)


@pytest.fixture
def fake() -> FakeGitHub:
    return FakeGitHub()


def make(fake: FakeGitHub) -> None:
    fake.generate_jitconfig(ORG, name="r-1", runner_group_id=1, labels=["a"])


def test_failure_before_the_effect_changes_nothing(fake: FakeGitHub) -> None:
    fake.fail_next("generate_jitconfig", DOWN)

    with pytest.raises(GitHubUnavailable):
        make(fake)
    assert fake.runners(ORG) == []
    make(fake)
    assert fake.calls == ["generate_jitconfig", "generate_jitconfig"]


def test_failure_after_the_effect_is_a_lost_answer(fake: FakeGitHub) -> None:
    fake.fail_next("generate_jitconfig", DOWN, after_effect=True)

    with pytest.raises(GitHubUnavailable):
        make(fake)
    assert [runner.name for runner in fake.runners(ORG)] == ["r-1"]


def test_failure_lasts_as_often_as_asked(fake: FakeGitHub) -> None:
    fake.fail_next("list_self_hosted_runners", DOWN, times=2)

    for _ in range(2):
        with pytest.raises(GitHubUnavailable):
            fake.list_self_hosted_runners(ORG)
    assert fake.list_self_hosted_runners(ORG).items == ()


def test_failure_of_a_method_that_is_not_there_is_a_mistake_of_the_test(fake: FakeGitHub) -> None:
    with pytest.raises(AssertionError, match="no method"):
        fake.fail_next("list_everything", DOWN)


def test_operation_that_the_fake_lacks_does_not_go_out(fake: FakeGitHub) -> None:
    with pytest.raises(AssertionError, match="does not know"):
        fake.get_latest_release(ScopePath.repository("actions/runner"))


def test_runner_that_github_dropped_is_gone(fake: FakeGitHub) -> None:
    made = fake.add_runner(ORG, "r-1", online=True, version="2.336.0")
    fake.set_runner(ORG, "r-1", labels=["b"], busy=True, version="2.337.0")
    changed = fake.get_self_hosted_runner(ORG, made.id)
    fake.drop_runner(ORG, "r-1")

    assert (changed.label_names, changed.busy, changed.version) == (("b",), True, "2.337.0")
    with pytest.raises(NotFound):
        fake.get_self_hosted_runner(ORG, made.id)


def test_job_and_run_are_reported_as_they_were_set(fake: FakeGitHub) -> None:
    run = fake.add_run("acme/web")
    job = fake.add_job(run, labels=["gpu"])
    fake.set_job(job, status="in_progress", runner_name="r-1")
    fake.set_run(run, status="in_progress")
    repository = ScopePath.repository("acme/web")

    assert fake.get_job_for_workflow_run(repository, job.id).runner_name == "r-1"
    assert fake.get_workflow_run(repository, run.id).status == "in_progress"


def test_refusal_is_the_error_the_client_would_raise() -> None:
    error = refusal("get_self_hosted_runner", 404, "Not Found")

    assert isinstance(error, NotFound)
    assert error.detail == "Not Found"

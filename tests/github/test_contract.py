"""One behaviour, two GitHubs: the fake in memory and the real client over HTTP to the simulator."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from runners.github.client import GitHubClient
from runners.github.errors import (
    Conflict,
    NameConflict,
    NotFound,
    RunnerBusy,
    ValidationFailed,
)
from runners.github.types import JitConfig
from runners.github.urls import ScopePath
from runners.github.verdicts import VerdictCode, check_credential
from tests.github.stages import Stage, stage_named

REPO = ScopePath.repository("acme/web")
ORG = ScopePath.organization("acme")
ENTERPRISE = ScopePath.enterprise("big-corp")
every_scope = pytest.mark.parametrize("scope", [REPO, ORG, ENTERPRISE], ids=lambda s: str(s.kind))


@pytest.fixture(params=["fake", "simulator"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with stage_named(request.param) as made:
        yield made


@pytest.fixture
def client(stage: Stage) -> GitHubClient:
    return stage.client


def jit(client: GitHubClient, scope: ScopePath = ORG, name: str = "r-1", **more: int) -> JitConfig:
    labels = ["self-hosted", "Linux", "gpu"]
    group = more.get("group", 1)
    return client.generate_jitconfig(scope, name=name, runner_group_id=group, labels=labels)


@every_scope
def test_no_runners_is_an_empty_list(client: GitHubClient, scope: ScopePath) -> None:
    listing = client.list_self_hosted_runners(scope)

    assert list(listing) == []
    assert listing.complete


@every_scope
def test_jit_config_makes_an_offline_runner_of_exactly_its_labels(
    client: GitHubClient, scope: ScopePath
) -> None:
    made = jit(client, scope)

    runner = client.get_self_hosted_runner(scope, made.runner.id)
    assert (runner.name, runner.status, runner.busy) == ("r-1", "offline", False)
    assert runner.label_names == ("self-hosted", "Linux", "gpu")
    assert [label.type for label in runner.labels] == ["read-only", "read-only", "custom"]
    assert (runner.ephemeral, runner.runner_group_id) == (True, 1)
    assert (runner.os, runner.version) == ("unknown", "")
    assert client.list_self_hosted_runners(scope).items == (runner,)


def test_jit_config_is_base64_of_the_runners_files(client: GitHubClient) -> None:
    files = json.loads(base64.b64decode(jit(client).encoded_jit_config))

    assert {".runner", ".credentials", ".credentials_rsaparams"} <= set(files)


def test_taken_name_is_a_conflict_that_deleting_by_id_resolves(client: GitHubClient) -> None:
    first = jit(client)

    with pytest.raises(NameConflict) as caught:
        jit(client)
    assert caught.value.status == 409
    (found,) = client.list_self_hosted_runners(ORG, name="r-1")
    assert found.id == first.runner.id
    client.delete_self_hosted_runner(ORG, found.id)
    assert jit(client).runner.id != first.runner.id


def test_name_filter_is_exact(client: GitHubClient) -> None:
    jit(client, name="r-1")
    jit(client, name="r-10")

    assert [runner.name for runner in client.list_self_hosted_runners(ORG, name="r-1")] == ["r-1"]
    assert client.list_self_hosted_runners(ORG, name="r").items == ()


def test_same_name_in_another_scope_is_free(client: GitHubClient) -> None:
    jit(client, ORG)
    jit(client, REPO)

    assert len(client.list_self_hosted_runners(ORG)) == 1
    assert len(client.list_self_hosted_runners(REPO)) == 1


def test_jit_config_without_labels_is_refused(client: GitHubClient) -> None:
    with pytest.raises(ValidationFailed):
        client.generate_jitconfig(ORG, name="r-1", runner_group_id=1, labels=[])
    assert client.list_self_hosted_runners(ORG).items == ()


def test_jit_config_for_an_unknown_group_is_not_found(client: GitHubClient) -> None:
    with pytest.raises(NotFound):
        jit(client, group=4711)


@every_scope
def test_deleted_runner_is_gone(client: GitHubClient, scope: ScopePath) -> None:
    made = jit(client, scope)
    client.delete_self_hosted_runner(scope, made.runner.id)

    with pytest.raises(NotFound):
        client.get_self_hosted_runner(scope, made.runner.id)
    with pytest.raises(NotFound):
        client.delete_self_hosted_runner(scope, made.runner.id)


def test_busy_runner_is_not_deleted(stage: Stage, client: GitHubClient) -> None:
    made = jit(client)
    stage.make_busy(ORG, made)

    with pytest.raises(RunnerBusy) as caught:
        client.delete_self_hosted_runner(ORG, made.runner.id)
    assert "r-1" in caught.value.detail
    runner = client.get_self_hosted_runner(ORG, made.runner.id)
    assert (runner.busy, runner.online) == (True, True)


@every_scope
def test_tokens_live_one_hour_and_differ(client: GitHubClient, scope: ScopePath) -> None:
    tokens = [
        client.create_registration_token(scope),
        client.create_registration_token(scope),
        client.create_remove_token(scope),
    ]

    assert len({token.token for token in tokens}) == 3
    for token in tokens:
        life = token.expires_at - client.now()
        assert abs(life - timedelta(hours=1)) < timedelta(seconds=2)
        assert token.token not in repr(token)


def names(labels: tuple[object, ...]) -> list[str]:
    return [getattr(label, "name", "") for label in labels]


@every_scope
def test_labels_are_added_replaced_and_removed(client: GitHubClient, scope: ScopePath) -> None:
    runner_id = jit(client, scope).runner.id

    added = client.add_custom_labels_to_self_hosted_runner(scope, runner_id, ["big", "gpu"])
    assert names(added) == ["self-hosted", "Linux", "gpu", "big"]
    replaced = client.set_custom_labels_for_self_hosted_runner(scope, runner_id, ["small", "Gone"])
    assert names(replaced) == ["self-hosted", "Linux", "small", "Gone"]
    left = client.remove_custom_label_from_self_hosted_runner(scope, runner_id, "gone")
    assert names(left) == ["self-hosted", "Linux", "small"]
    rest = client.remove_all_custom_labels_from_self_hosted_runner(scope, runner_id)
    assert names(rest) == ["self-hosted", "Linux"]
    assert names(client.list_labels_for_self_hosted_runner(scope, runner_id)) == names(rest)
    cleared = client.set_custom_labels_for_self_hosted_runner(scope, runner_id, [])
    assert names(cleared) == names(rest)


def test_absent_label_is_not_found(client: GitHubClient) -> None:
    with pytest.raises(NotFound):
        client.remove_custom_label_from_self_hosted_runner(ORG, jit(client).runner.id, "absent")


def test_read_only_label_is_not_removed(client: GitHubClient) -> None:
    made = jit(client)

    with pytest.raises(ValidationFailed):
        client.remove_custom_label_from_self_hosted_runner(ORG, made.runner.id, "Linux")
    kept = client.list_labels_for_self_hosted_runner(ORG, made.runner.id)
    assert "Linux" in names(kept)


def test_adding_no_labels_is_refused(client: GitHubClient) -> None:
    with pytest.raises(ValidationFailed):
        client.add_custom_labels_to_self_hosted_runner(ORG, jit(client).runner.id, [])


@pytest.mark.parametrize("scope", [ORG, ENTERPRISE], ids=["organization", "enterprise"])
def test_scope_has_a_default_group_and_those_that_were_made(
    stage: Stage, client: GitHubClient, scope: ScopePath
) -> None:
    group_id = stage.add_group(scope, "gpu-hosts")
    made = jit(client, scope, group=group_id)
    jit(client, scope, name="r-2")

    groups = client.list_self_hosted_runner_groups(scope)
    by_id = {group.id: group for group in groups}
    assert by_id[1].default
    assert not by_id[group_id].default
    assert client.get_self_hosted_runner_group(scope, group_id).name == "gpu-hosts"
    in_group = client.list_self_hosted_runners_in_group(scope, group_id)
    assert [runner.id for runner in in_group] == [made.runner.id]


def test_repository_has_no_groups(client: GitHubClient) -> None:
    with pytest.raises(NotFound):
        client.list_self_hosted_runner_groups(REPO)


def test_unknown_group_is_not_found(client: GitHubClient) -> None:
    with pytest.raises(NotFound):
        client.get_self_hosted_runner_group(ORG, 4711)


def test_unchanged_list_says_so_and_a_changed_one_does_not(client: GitHubClient) -> None:
    jit(client)
    first = client.list_self_hosted_runners(ORG)
    second = client.list_self_hosted_runners(ORG)
    jit(client, name="r-2")
    third = client.list_self_hosted_runners(ORG)

    assert [first.not_modified, second.not_modified, third.not_modified] == [False, True, False]
    assert second.items == first.items
    assert len(third) == 2


@pytest.mark.parametrize(
    "ask",
    [
        lambda c, s: c.list_self_hosted_runners(s),
        lambda c, s: c.get_self_hosted_runner(s, 1),
        lambda c, s: c.delete_self_hosted_runner(s, 1),
        lambda c, s: c.create_registration_token(s),
        lambda c, s: jit(c, s),
        lambda c, s: c.list_runner_applications(s),
        lambda c, s: c.list_self_hosted_runner_groups(s),
        lambda c, s: c.get_organization(s),
        lambda c, s: c.list_webhooks(s),
    ],
)
def test_scope_that_is_not_seen_is_not_found(
    stage: Stage, client: GitHubClient, ask: Callable[[GitHubClient, ScopePath], object]
) -> None:
    with pytest.raises(NotFound):
        ask(client, stage.unseen())


def test_queued_job_is_found_through_its_run(stage: Stage, client: GitHubClient) -> None:
    job_id = stage.queue_job("acme/web", ("self-hosted", "gpu"))

    (run,) = client.list_workflow_runs_for_repo(REPO, status="queued")
    (job,) = client.list_jobs_for_workflow_run(REPO, run.id)
    assert (run.repository, run.status, run.run_attempt) == ("acme/web", "queued", 1)
    assert (job.id, job.run_id, job.status) == (job_id, run.id, "queued")
    assert job.labels == ("self-hosted", "gpu")
    assert (job.runner_id, job.runner_name, job.conclusion) == (None, "", "")
    assert client.get_job_for_workflow_run(REPO, job_id) == job
    assert client.get_workflow_run(REPO, run.id) == run
    assert client.list_workflow_runs_for_repo(REPO, status="in_progress").items == ()


def test_newest_run_comes_first_and_a_bound_cuts_the_rest(
    stage: Stage, client: GitHubClient
) -> None:
    for _ in range(3):
        stage.queue_job("acme/web", ("self-hosted",))
    whole = client.list_workflow_runs_for_repo(REPO)

    assert [run.id for run in whole] == sorted((run.id for run in whole), reverse=True)
    cut = client.list_workflow_runs_for_repo(REPO, max_items=2)
    assert cut.items == whole.items[:2]
    assert (whole.complete, cut.complete) == (True, False)


def test_run_is_cancelled_once(stage: Stage, client: GitHubClient) -> None:
    stage.queue_job("acme/web", ("self-hosted",))
    (run,) = client.list_workflow_runs_for_repo(REPO)
    client.cancel_workflow_run(REPO, run.id)

    after = client.get_workflow_run(REPO, run.id)
    assert (after.status, after.conclusion) == ("completed", "cancelled")
    with pytest.raises(Conflict):
        client.cancel_workflow_run(REPO, run.id)


@pytest.mark.parametrize(
    "ask",
    [
        lambda c: c.get_workflow_run(REPO, 4711),
        lambda c: c.list_jobs_for_workflow_run(REPO, 4711),
        lambda c: c.get_job_for_workflow_run(REPO, 4711),
        lambda c: c.cancel_workflow_run(REPO, 4711),
        lambda c: c.get_repository(ScopePath.repository("acme/absent")),
        lambda c: c.delete_webhook(ORG, 4711),
        lambda c: c.list_webhook_deliveries(ORG, 4711),
    ],
)
def test_what_is_not_there_is_not_found(
    client: GitHubClient, ask: Callable[[GitHubClient], object]
) -> None:
    with pytest.raises(NotFound):
        ask(client)


@pytest.mark.parametrize("scope", [REPO, ORG], ids=["repository", "organization"])
def test_webhook_is_made_listed_pinged_and_deleted(client: GitHubClient, scope: ScopePath) -> None:
    url = "http://127.0.0.1:1/webhooks/1/"
    events = ["workflow_job"]
    hook = client.create_webhook(scope, url=url, secret="a-long-secret", events=events)

    assert (hook.active, hook.events, hook.config.url) == (True, ("workflow_job",), url)
    assert (hook.config.content_type, hook.config.insecure_ssl) == ("json", False)
    assert hook.config.has_secret
    assert [found.id for found in client.list_webhooks(scope)] == [hook.id]
    client.ping_webhook(scope, hook.id)
    with pytest.raises(ValidationFailed):
        client.create_webhook(scope, url=url, secret="a-long-secret", events=events)
    client.delete_webhook(scope, hook.id)
    assert client.list_webhooks(scope).items == ()


def test_repository_and_organization_are_read(client: GitHubClient) -> None:
    repository = client.get_repository(REPO)

    assert (repository.full_name, repository.owner, repository.private) == (
        "acme/web",
        "acme",
        True,
    )
    assert repository in client.list_repositories_for_org(ORG).items
    assert client.get_organization(ORG).login == "acme"


def test_server_tells_its_addresses(client: GitHubClient) -> None:
    assert client.get_meta().hooks


def test_version_without_an_end_says_so(client: GitHubClient) -> None:
    found = client.get_runner_version_deprecation(ORG, "2.336.0")

    assert found.runner_version == "2.336.0"
    assert found.runtime_deprecates_at is None


@pytest.mark.parametrize("scope", [REPO, ORG], ids=["repository", "organization"])
def test_credential_of_an_administrator_is_usable(client: GitHubClient, scope: ScopePath) -> None:
    verdict = check_credential(client, scope)

    assert verdict.usable
    assert verdict.code in {VerdictCode.VALID, VerdictCode.TOO_BROAD}
    assert verdict.login

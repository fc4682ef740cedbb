"""The real client against the simulator: verdicts, Apps, long lists, faults, logs, deliveries."""

from __future__ import annotations

import hashlib
import io
import time
from datetime import UTC, datetime, timedelta

import pytest
import requests

from runners.github.auth import TokenAuth
from runners.github.cache import ConditionalCache
from runners.github.client import GitHubClient
from runners.github.errors import (
    GitHubUnavailable,
    NameConflict,
    NotFound,
    PartialResult,
    RateLimited,
)
from runners.github.http import Times
from runners.github.types import Delivery
from runners.github.urls import ScopePath, scope_from_web_url, scope_web_url
from runners.github.verdicts import VerdictCode, check_credential
from runners.simulator import Fault, Settings, Simulator
from tests.github.conftest import Connect
from tests.github.contract import checked_session
from tests.github.simulation import add_runners, app, steer

REPO = ScopePath.repository("acme/web")
ORG = ScopePath.organization("acme")
ENTERPRISE = ScopePath.enterprise("big-corp")


# Long lists.


def test_long_list_comes_whole_and_costs_nothing_when_unchanged(
    sim: Simulator, connect: Connect
) -> None:
    add_runners(sim, 250)
    client = connect()
    first = client.list_self_hosted_runners(ORG)
    spent = client.budgets["core"].used

    assert (len(first), first.complete, client.counts.sent) == (250, True, 3)
    second = client.list_self_hosted_runners(ORG)
    assert (second.not_modified, second.items) == (True, first.items)
    assert client.counts.not_modified == 3
    assert client.budgets["core"].used == spent


def test_page_that_fails_leaves_the_others_as_a_partial_result(
    sim: Simulator, connect: Connect
) -> None:
    add_runners(sim, 150)
    fault = Fault("status", path="/actions/runners", status=502)

    # The first answer tells a budget; from then on the list fails.
    client = connect(max_wait_seconds=0, on_budget=lambda budget: sim.add_fault(fault))
    with pytest.raises(PartialResult) as caught:
        client.list_self_hosted_runners(ORG)
    assert len(caught.value.items) == 100


# Lost answers and limits.


def test_lost_answer_of_a_jit_config_is_resolved_by_its_name(
    sim: Simulator, connect: Connect
) -> None:
    client = connect()
    sim.add_fault(Fault("lost_response", path="generate-jitconfig", count=1))

    with pytest.raises(GitHubUnavailable) as caught:
        client.generate_jitconfig(ORG, name="r-1", runner_group_id=1, labels=["a"])
    assert caught.value.may_have_happened
    with pytest.raises(NameConflict):
        client.generate_jitconfig(ORG, name="r-1", runner_group_id=1, labels=["a"])
    (orphan,) = client.list_self_hosted_runners(ORG, name="r-1")
    client.delete_self_hosted_runner(ORG, orphan.id)
    assert client.generate_jitconfig(ORG, name="r-1", runner_group_id=1, labels=["a"])


@pytest.mark.parametrize("kind", ["status", "truncate", "close"])
def test_read_survives_a_passing_fault(sim: Simulator, connect: Connect, kind: str) -> None:
    add_runners(sim, 3)
    sim.add_fault(Fault(kind, path="/actions/runners", count=2, status=503))

    client = connect()
    assert len(client.list_self_hosted_runners(ORG)) == 3
    assert client.counts.repeated == 2


def test_half_open_connection_is_unavailable(sim: Simulator, connect: Connect) -> None:
    sim.add_fault(Fault("hang", path="/actions/runners", seconds=5))

    client = connect(times=Times(read_seconds=0.1), max_wait_seconds=0)
    with pytest.raises(GitHubUnavailable, match="in time"):
        client.list_self_hosted_runners(ORG)


def test_primary_limit_says_when_it_ends(sim: Simulator, connect: Connect) -> None:
    sim.add_fault(Fault("primary_limit", path="/actions/runners", count=1))
    client = connect()

    with pytest.raises(RateLimited) as caught:
        client.list_self_hosted_runners(ORG)
    assert not caught.value.secondary
    assert client.now() < caught.value.retry_at <= client.now() + timedelta(hours=1)


def test_secondary_limit_is_waited_out(sim: Simulator, connect: Connect) -> None:
    sim.add_fault(Fault("secondary_limit", path="/actions/runners", count=1, seconds=30))
    client = connect()
    before = client.now()

    client.list_self_hosted_runners(ORG)
    assert client.now() - before >= timedelta(seconds=30)


def test_app_signs_by_the_servers_clock(sim: Simulator, connect: Connect) -> None:
    auth = app(sim)
    there = sim.clock.time()
    client = connect(auth)
    wrong = GitHubClient(
        sim.api_url,
        auth,
        checked_session(sim.api_url),
        clock=lambda: datetime.fromtimestamp(there - 3600, tz=UTC),
        sleep=lambda seconds: None,
    )

    with wrong:
        assert wrong.list_self_hosted_runners(ORG).complete
        assert wrong.clock_skew_seconds == pytest.approx(3600, abs=2)
    assert client.get_authenticated_app().slug == "fleet"


# GitHub Apps.


def test_app_lists_makes_and_deletes_runners(sim: Simulator, connect: Connect) -> None:
    client = connect(app(sim))
    made = client.generate_jitconfig(ORG, name="r-1", runner_group_id=1, labels=["a"])

    assert [runner.id for runner in client.list_self_hosted_runners(ORG)] == [made.runner.id]
    client.delete_self_hosted_runner(ORG, made.runner.id)
    (installation,) = client.list_installations()
    assert client.get_installation_for(ORG) == client.get_installation(installation.id)
    assert len(client.list_repositories_accessible_to_installation()) == 4


def test_installation_token_is_fetched_again_after_an_hour(
    sim: Simulator, connect: Connect
) -> None:
    auth = app(sim)
    client = connect(auth)
    client.list_self_hosted_runners(ORG)
    first = auth.installation_token
    sim.clock.advance(3601)

    client.list_self_hosted_runners(ORG)
    assert auth.installation_token is not None
    assert auth.installation_token != first
    assert len(auth.installation_token.token) > 200


def test_narrowed_token_is_what_was_asked_for(sim: Simulator, connect: Connect) -> None:
    auth = app(sim)
    made = connect(auth).create_installation_access_token(
        auth.installation_id or 0, permissions={"administration": "read"}, repositories=["web"]
    )

    assert made.permissions["administration"] == "read"
    assert made.repository_selection == "selected"
    narrow = connect(TokenAuth(made.token))
    assert narrow.list_self_hosted_runners(REPO).complete
    narrow.revoke_installation_access_token()
    assert check_credential(narrow, REPO).code is VerdictCode.INVALID


# The rest of the surface.


def test_renamed_repository_is_followed(sim: Simulator, connect: Connect) -> None:
    steer(sim, "PATCH", "repositories/acme/web", {"name": "site"})
    client = connect()

    assert client.get_repository(REPO).full_name == "acme/site"
    made = client.generate_jitconfig(REPO, name="r-1", runner_group_id=1, labels=["a"])
    moved = ScopePath.repository("acme/site")
    assert [runner.id for runner in client.list_self_hosted_runners(moved)] == [made.runner.id]


def test_runner_packages_are_named_with_their_digest(sim: Simulator, connect: Connect) -> None:
    found = connect().list_runner_applications(ORG)

    by_target = {(package.os, package.architecture): package for package in found}
    package = by_target["linux", "x64"]
    content = requests.get(package.download_url, timeout=30).content
    assert hashlib.sha256(content).hexdigest() == package.sha256_checksum


def test_release_asset_is_downloaded_as_its_digest_says(sim: Simulator, connect: Connect) -> None:
    repository = ScopePath.repository("actions/runner")
    client = connect()
    release = client.get_latest_release(repository)
    asset = next(found for found in release.assets if "linux-x64" in found.name)
    sink = io.BytesIO()

    unchecked = GitHubClient(sim.api_url, TokenAuth(sim.token))
    with unchecked:
        done = unchecked.download_release_asset(repository, asset.id, sink)
    assert f"sha256:{done.sha256}" == asset.digest
    assert done.size_bytes == asset.size_bytes == len(sink.getvalue())
    assert client.get_release_by_tag(repository, release.tag_name).id == release.id
    assert release.id in {found.id for found in client.list_releases(repository)}


def test_log_of_a_job_is_fetched_without_the_token(sim: Simulator, connect: Connect) -> None:
    job = sim.queue_job("acme/web")
    client = connect()
    client.cancel_workflow_run(REPO, client.get_job_for_workflow_run(REPO, job.id).run_id)

    log = client.download_job_logs_for_workflow_run(REPO, job.id)
    assert not log.truncated


def test_dispatch_starts_a_run_and_a_rerun_starts_another_attempt(
    sim: Simulator, connect: Connect
) -> None:
    client = connect()
    (workflow,) = client.list_repo_workflows(REPO)
    client.create_workflow_dispatch(REPO, workflow.id, ref="main")
    (run,) = client.list_workflow_runs_for_repo(REPO)

    assert (run.event, run.workflow_id) == ("workflow_dispatch", workflow.id)
    client.cancel_workflow_run(REPO, run.id)
    client.re_run_workflow(REPO, run.id)
    assert client.get_workflow_run(REPO, run.id).run_attempt == 2
    assert len(client.list_jobs_for_workflow_run(REPO, run.id, filter_="all")) == 2
    assert len(client.list_jobs_for_workflow_run_attempt(REPO, run.id, 1)) == 1


def test_failed_delivery_is_found_and_sent_again(sim: Simulator, connect: Connect) -> None:
    client = connect()
    url = "http://127.0.0.1:1/webhooks/"
    hook = client.create_webhook(ORG, url=url, secret="a-long-secret", events=["workflow_job"])
    failed = _first_delivery(client, hook.id)

    assert not failed.ok
    detail = client.get_webhook_delivery(ORG, hook.id, failed.id)
    assert '"hook_id"' in detail.payload
    client.redeliver_webhook_delivery(ORG, hook.id, failed.id)
    guids = {found.guid for found in client.list_webhook_deliveries(ORG, hook.id)}
    assert guids == {failed.guid}


def _first_delivery(client: GitHubClient, hook_id: int) -> Delivery:
    """The ping that GitHub sends to a new webhook, once it was tried."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = client.list_webhook_deliveries(ORG, hook_id, status="failure")
        if found:
            return found[0]
        time.sleep(0.02)
    raise AssertionError("no delivery was recorded")


def test_app_is_made_from_a_manifest_code_only_once(sim: Simulator, connect: Connect) -> None:
    with pytest.raises(NotFound):
        connect().create_from_manifest("never-issued")


def test_web_address_of_a_scope_leads_back_to_it(sim: Simulator) -> None:
    for scope in (REPO, ORG, ENTERPRISE):
        web = scope_web_url(sim.api_url, scope)
        assert web.startswith(sim.url)
        assert scope_from_web_url(web) == (sim.api_url, scope)


def test_rate_limit_tells_every_budget(connect: Connect) -> None:
    limits = connect().get_rate_limit()

    assert limits.core is not None
    assert limits.core.limit == 5000
    assert "actions_runner_registration" in limits.resources


def test_enterprise_server_tells_its_version() -> None:
    with (
        Simulator(settings=Settings(ghes_version="3.17.0")) as sim,
        GitHubClient(sim.api_url, TokenAuth(sim.token)) as client,
    ):
        assert client.get_meta().installed_version == "3.17.0"
        assert client.list_self_hosted_runners(ORG).complete


def test_clients_share_what_one_of_them_learned(sim: Simulator, connect: Connect) -> None:
    add_runners(sim, 5)
    cache = ConditionalCache()
    connect(cache=cache).list_self_hosted_runners(ORG)

    assert connect(cache=cache).list_self_hosted_runners(ORG).not_modified

"""Redirects: the same method again, and the credential only where it belongs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runners.github.client import GitHubClient
from runners.github.errors import BadAnswer, GitHubUnavailable, NotFound
from runners.github.urls import ScopePath
from tests.github import bodies
from tests.github.conftest import TOKEN, MakeClient
from tests.github.scripted import Reply, ScriptedServer

ORG = ScopePath.organization("acme")
REPOSITORY = ScopePath.repository("acme/web")


@pytest.fixture
def elsewhere() -> Iterator[ScriptedServer]:
    """Another host, as far as a credential is concerned."""
    other = ScriptedServer()
    yield other
    other.close()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_change_is_repeated_with_its_method_and_body(
    client: GitHubClient, server: ScriptedServer, status: int
) -> None:
    moved = f"{server.url}/orgs/new-name/actions/runners/generate-jitconfig"
    jit = {"runner": bodies.runner(), "encoded_jit_config": "e30="}
    server.will(Reply(status, bodies.error("Moved"), {"Location": moved}), Reply(201, jit))

    client.generate_jitconfig(ORG, name="n", runner_group_id=1, labels=["a"])
    first, second = server.received
    assert second.method == "POST"
    assert second.path == "/orgs/new-name/actions/runners/generate-jitconfig"
    assert second.json == first.json
    assert second.headers["authorization"] == f"Bearer {TOKEN}"


def test_see_other_is_read_and_not_repeated(
    make_client: MakeClient, server: ScriptedServer
) -> None:
    server.will(Reply(303, headers={"Location": "/orgs/acme/x"}), Reply(201, bodies.token()))

    make_client(checked=False).create_registration_token(ORG)
    assert server.received[1].method == "GET"
    assert server.received[1].body == b""


def test_change_is_never_redirected_to_another_host(
    client: GitHubClient, server: ScriptedServer, elsewhere: ScriptedServer
) -> None:
    server.will(Reply(307, bodies.error("Moved"), {"Location": f"{elsewhere.url}/orgs/acme"}))

    with pytest.raises(BadAnswer, match="another host"):
        client.create_registration_token(ORG)
    assert elsewhere.received == []


def test_read_is_redirected_to_another_host_without_the_credential(
    client: GitHubClient, server: ScriptedServer, elsewhere: ScriptedServer
) -> None:
    server.will(Reply(302, headers={"Location": f"{elsewhere.url}/log?sig=x"}, raw=b""))
    elsewhere.will(Reply(200, raw=b"line 1\nline 2\n", headers={"Content-Type": "text/plain"}))

    log = client.download_job_logs_for_workflow_run(REPOSITORY, 5)
    assert log.text == "line 1\nline 2\n"
    assert not log.truncated
    assert "authorization" in server.received[0].headers
    assert "authorization" not in elsewhere.received[0].headers


def test_credential_does_not_come_back_after_it_was_dropped(
    make_client: MakeClient, server: ScriptedServer, elsewhere: ScriptedServer
) -> None:
    server.will(Reply(302, headers={"Location": f"{elsewhere.url}/a"}), Reply(200, raw=b"log"))
    back = f"{server.url}/repos/acme/web/actions/jobs/5/logs"
    elsewhere.will(Reply(302, headers={"Location": back}))

    client = make_client(checked=False)
    assert client.download_job_logs_for_workflow_run(REPOSITORY, 5).text == "log"
    assert "authorization" not in server.received[1].headers


def test_long_log_is_cut_to_its_end(
    client: GitHubClient, server: ScriptedServer, elsewhere: ScriptedServer
) -> None:
    server.will(Reply(302, headers={"Location": f"{elsewhere.url}/log"}, raw=b""))
    elsewhere.will(Reply(200, raw=b"x" * 300_000 + b"the end"))

    log = client.download_job_logs_for_workflow_run(REPOSITORY, 5, tail_bytes=7)
    assert (log.text, log.truncated) == ("the end", True)


def test_log_that_is_gone_is_not_found(
    client: GitHubClient, server: ScriptedServer, elsewhere: ScriptedServer
) -> None:
    server.will(Reply(302, headers={"Location": f"{elsewhere.url}/log"}, raw=b""))
    elsewhere.will(Reply(404, raw=b"<Error>BlobNotFound</Error>"))

    with pytest.raises(NotFound):
        client.download_job_logs_for_workflow_run(REPOSITORY, 5)


def test_broken_download_is_not_repeated(make_client: MakeClient, server: ScriptedServer) -> None:
    server.will(Reply(200, raw=b"half", missing_bytes=10), Reply(200, raw=b"whole"))

    with pytest.raises(GitHubUnavailable):
        make_client(checked=False).download_job_logs_for_workflow_run(REPOSITORY, 5)
    assert len(server.received) == 1


@pytest.mark.parametrize(
    "location", ["", "http://192.0.2.1/x", "ftp://127.0.0.1/x", "//[broken", "https:///x"]
)
def test_redirect_to_an_unsafe_place_is_refused(
    make_client: MakeClient, server: ScriptedServer, location: str
) -> None:
    server.will(Reply(302, headers={"Location": location} if location else {}))

    with pytest.raises(BadAnswer, match="missing or not https"):
        make_client(checked=False).get_self_hosted_runner(ORG, 1)


def test_redirects_in_a_circle_end(client: GitHubClient, server: ScriptedServer) -> None:
    here = f"{server.url}/orgs/acme/actions/runners/1"
    server.will(*[Reply(301, bodies.error("Moved"), {"Location": here})] * 9)

    with pytest.raises(BadAnswer, match="circle"):
        client.get_self_hosted_runner(ORG, 1)
    assert len(server.received) == 6

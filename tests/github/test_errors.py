"""Errors: the right type, a sentence with the fix, GitHub's request id, and no secret."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from runners.github import errors
from runners.github.client import GitHubClient
from runners.github.errors import (
    BadAnswer,
    Conflict,
    Forbidden,
    GitHubError,
    GitHubUnavailable,
    NameConflict,
    NotFound,
    PartialResult,
    RateLimited,
    RunnerBusy,
    Unauthorized,
    ValidationFailed,
)
from runners.github.limits import budget_of, limit_of
from runners.github.refusals import error_for, read_refusal
from runners.github.urls import ScopePath
from tests.github import bodies
from tests.github.conftest import TOKEN, MakeClient
from tests.github.scripted import Reply, ScriptedServer

ORG = ScopePath.organization("acme")
NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


def refusal(
    status: int,
    message: str = "words",
    *,
    operation: str = "op",
    is_read: bool = False,
    headers: dict[str, str] | None = None,
    problems: object = None,
) -> GitHubError:
    body = json.dumps({"message": message, "errors": problems}).encode()
    return error_for(read_refusal(operation, status, headers or {}, body), is_read=is_read)


@pytest.mark.parametrize(
    ("status", "operation", "kind"),
    [
        (400, "op", ValidationFailed),
        (401, "op", Unauthorized),
        (403, "op", Forbidden),
        (404, "op", NotFound),
        (408, "op", GitHubUnavailable),
        (409, "op", Conflict),
        (409, "generate_jitconfig", NameConflict),
        (410, "op", NotFound),
        (418, "op", BadAnswer),
        (422, "op", ValidationFailed),
        (422, "delete_self_hosted_runner", RunnerBusy),
        (400, "delete_self_hosted_runner", ValidationFailed),
        (429, "op", GitHubUnavailable),
        (500, "op", GitHubUnavailable),
        (599, "op", GitHubUnavailable),
    ],
)
def test_status_gives_its_own_type(status: int, operation: str, kind: type[GitHubError]) -> None:
    error = refusal(status, operation=operation)

    assert type(error) is kind
    assert (error.status, error.operation, error.detail) == (status, operation, "words")
    assert error.user_message.endswith((".", "words"))


@pytest.mark.parametrize(
    "message",
    [
        "Bad request - Runner a is currently running a job and cannot be deleted.",
        'Runner "a" is still running a job',
        "Something GitHub says in 2030",
    ],
)
def test_422_on_deleting_a_runner_is_busy_in_any_words(message: str) -> None:
    error = refusal(422, message, operation="delete_self_hosted_runner")

    assert isinstance(error, RunnerBusy)
    assert message in error.user_message


def test_failed_change_may_have_happened_and_failed_read_has_not() -> None:
    assert refusal(502).may_have_happened
    assert not refusal(502, is_read=True).may_have_happened
    assert not refusal(408).may_have_happened
    assert not refusal(422).may_have_happened


def test_scopes_are_named_where_permissions_are_not() -> None:
    error = refusal(403, headers={"x-accepted-oauth-scopes": "admin:org"})

    assert "admin:org" in error.user_message


def test_single_sign_on_page_is_kept() -> None:
    error = refusal(
        403, headers={"x-github-sso": "required; url=https://github.com/orgs/a/sso?x=1"}
    )

    assert isinstance(error, Forbidden)
    assert error.sso_url == "https://github.com/orgs/a/sso?x=1"


def test_problems_are_read_as_texts_and_as_objects() -> None:
    found = ["plain", {"field": "name", "code": "invalid", "message": "too long"}, {}, 7]
    error = refusal(422, problems=found)

    assert isinstance(error, ValidationFailed)
    assert error.problems == (
        "plain",
        "name: invalid: too long",
        "unnamed problem",
        "unnamed problem",
    )
    assert "too long" in error.user_message


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"message": 7, "errors": 8}'])
def test_refusal_without_githubs_words_is_still_an_error(body: bytes) -> None:
    error = error_for(read_refusal("op", 404, {}, body), is_read=True)

    assert isinstance(error, NotFound)
    assert error.detail == ""


def test_request_id_of_github_is_kept(client: GitHubClient, server: ScriptedServer) -> None:
    server.will(Reply(404, bodies.error("Not Found"), {"X-GitHub-Request-Id": "ABCD:1234"}))

    with pytest.raises(NotFound) as caught:
        client.get_self_hosted_runner(ORG, 1)
    assert caught.value.request_id == "ABCD:1234"
    assert "ABCD:1234" in str(caught.value)
    assert "get_self_hosted_runner" in repr(caught.value)


def test_no_error_shows_a_secret(make_client: MakeClient, server: ScriptedServer) -> None:
    body = bodies.error(f"told {TOKEN}", errors=[f"more {TOKEN}", {"field": TOKEN}])
    headers = {"X-GitHub-Request-Id": "1:2"}
    client = make_client()
    for status in (401, 403, 404, 409, 418, 422, 502):
        server.will(Reply(status, body, headers))
        with pytest.raises(GitHubError) as caught:
            make_client(checked=False).create_registration_token(ORG)
        error = caught.value
        shown = f"{error} {error!r} {error.args} {error.user_message} {error.detail}"
        shown += str(getattr(error, "problems", ""))
        assert TOKEN not in shown
        assert "***" in shown
    assert TOKEN not in repr(client)


def test_error_without_an_answer_names_no_address_of_a_secret(
    make_client: MakeClient, server: ScriptedServer
) -> None:
    server.close()

    with pytest.raises(GitHubUnavailable) as caught:
        make_client().create_from_manifest("very-secret-code")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "very-secret-code" not in str(caught.value)


def test_client_is_closed_by_with(make_client: MakeClient) -> None:
    with make_client() as client:
        assert client.base_url in repr(client)
    assert client.budgets == {}


@pytest.mark.parametrize("name", errors.__dict__)
def test_every_error_is_a_github_error(name: str) -> None:
    found = getattr(errors, name)
    if isinstance(found, type) and issubclass(found, Exception):
        assert issubclass(found, GitHubError)


def test_partial_result_carries_what_came_and_why_it_ended() -> None:
    cause = GitHubUnavailable("down.", status=503, request_id="1:2")
    error = PartialResult([1, 2], cause, operation="list_x")

    assert error.items == (1, 2)
    assert error.cause is cause
    assert (error.status, error.request_id) == (503, "1:2")
    assert "2 entries" in error.user_message


def test_rate_limit_says_when_to_come_back() -> None:
    error = RateLimited(NOW, resource="core")

    assert "2026-11-23 12:00:00 UTC" in error.user_message
    assert "core" in error.user_message
    assert "secondary" in RateLimited(NOW, secondary=True).user_message


def test_budget_needs_all_its_headers() -> None:
    whole = {"x-ratelimit-limit": "60", "x-ratelimit-remaining": "7", "x-ratelimit-reset": "9"}
    budget = budget_of(whole)

    assert budget is not None
    assert (budget.resource, budget.used, budget.remaining) == ("core", 53, 7)
    for missing in whole:
        assert budget_of({k: v for k, v in whole.items() if k != missing}) is None
    assert budget_of(whole | {"x-ratelimit-limit": "many"}) is None


@pytest.mark.parametrize("status", [200, 401, 404, 500])
def test_only_403_and_429_are_limits(status: int) -> None:
    headers = {"retry-after": "5"}

    assert _limit(status, headers) is None


def _limit(status: int, headers: dict[str, str], message: str = "", row: int = 0) -> float | None:
    found = limit_of(status, headers, message, now=NOW, clock_skew_seconds=0.0, refusals_in_row=row)
    return None if found is None else (found.retry_at - NOW).total_seconds()


def test_limit_is_at_least_a_second_away() -> None:
    spent = {"x-ratelimit-limit": "60", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "9"}

    assert _limit(403, spent) == 1.0
    assert _limit(429, {"retry-after": "0"}) == 1.0
    past = (NOW - timedelta(hours=1)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    assert _limit(429, {"retry-after": past}) == 1.0


def test_unreadable_retry_after_falls_back_to_a_minute() -> None:
    assert _limit(429, {"retry-after": "soon"}) == 60.0
    assert _limit(403, {"retry-after": "soon"}) is None


def test_wait_of_secondary_limits_grows_to_a_quarter_of_an_hour() -> None:
    waits = [_limit(403, {}, "You have exceeded a secondary rate limit", row) for row in range(9)]

    assert waits[:5] == [60.0, 120.0, 240.0, 480.0, 900.0]
    assert waits[-1] == 900.0

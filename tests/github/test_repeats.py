"""Repeats, waits and limits: what is asked again, when, and what never is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from runners.github.client import GitHubClient
from runners.github.errors import (
    BadAnswer,
    Forbidden,
    GitHubUnavailable,
    RateLimited,
    ValidationFailed,
)
from runners.github.http import PlainSession, Times
from runners.github.limits import Budget
from runners.github.urls import ScopePath
from tests.github import bodies
from tests.github.conftest import FakeClock, MakeClient
from tests.github.scripted import Reply, ScriptedServer

ORG = ScopePath.organization("acme")


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_read_is_repeated_after_a_server_error(
    client: GitHubClient, server: ScriptedServer, status: int
) -> None:
    server.will(Reply(status, bodies.error("oops")), Reply(200, bodies.runner()))

    assert client.get_self_hosted_runner(ORG, 1).name == "runner-1"
    assert client.counts.repeated == 1


def test_read_is_repeated_after_a_cut_off_body(
    client: GitHubClient, server: ScriptedServer
) -> None:
    server.will(Reply(200, bodies.runner(), missing_bytes=10), Reply(200, bodies.runner()))

    assert client.get_self_hosted_runner(ORG, 1).id == 1


def test_read_is_repeated_after_a_dropped_connection(
    client: GitHubClient, server: ScriptedServer
) -> None:
    server.will(Reply(drop=True), Reply(200, bodies.runner()))

    assert client.get_self_hosted_runner(ORG, 1).id == 1


def test_read_gives_up_after_four_attempts_with_growing_pauses(
    client: GitHubClient, server: ScriptedServer, clock: FakeClock
) -> None:
    server.will(*[Reply(502, bodies.error("oops"))] * 9)

    with pytest.raises(GitHubUnavailable) as caught:
        client.get_self_hosted_runner(ORG, 1)
    assert caught.value.status == 502
    assert not caught.value.may_have_happened
    assert len(server.received) == 4
    first, second, third = clock.slept_seconds
    assert 0.25 <= first <= 0.5 < second + 0.001 <= 1.001
    assert 1.0 <= third <= 2.0


def test_change_is_sent_once_even_when_the_server_fails(
    client: GitHubClient, server: ScriptedServer
) -> None:
    server.will(*[Reply(502, bodies.error("oops"))] * 3)

    with pytest.raises(GitHubUnavailable) as caught:
        client.create_registration_token(ORG)
    assert caught.value.may_have_happened
    assert len(server.received) == 1


def test_change_whose_answer_is_lost_may_have_happened(
    client: GitHubClient, server: ScriptedServer
) -> None:
    server.will(Reply(drop=True))

    with pytest.raises(GitHubUnavailable) as caught:
        client.delete_self_hosted_runner(ORG, 1)
    assert caught.value.may_have_happened
    assert len(server.received) == 1


def test_change_without_a_connection_has_not_happened(
    make_client: MakeClient, server: ScriptedServer
) -> None:
    base_url = server.url
    server.close()
    client = make_client(base_url=base_url)

    with pytest.raises(GitHubUnavailable) as caught:
        client.create_registration_token(ORG)
    assert not caught.value.may_have_happened


def test_untrusted_certificate_is_named(make_client: MakeClient, server: ScriptedServer) -> None:
    client = make_client(base_url=server.url.replace("http:", "https:"), max_wait_seconds=0)

    with pytest.raises(GitHubUnavailable, match="certificate") as caught:
        client.create_registration_token(ORG)
    assert not caught.value.may_have_happened


def test_proxy_that_is_away_is_named(make_client: MakeClient, server: ScriptedServer) -> None:
    session = PlainSession()
    session.proxies = {"http": "http://user:hunter22@127.0.0.1:1"}

    with pytest.raises(GitHubUnavailable, match="proxy") as caught:
        make_client(session=session).create_registration_token(ORG)
    assert not caught.value.may_have_happened
    assert "hunter22" not in repr(caught.value)


def test_client_made_with_nothing_speaks_to_github() -> None:
    with GitHubClient() as client:
        assert client.base_url == "https://api.github.com"
        assert client.auth is None
        assert client.now().tzinfo is not None


def test_answer_that_does_not_come_is_unavailable(
    make_client: MakeClient, server: ScriptedServer
) -> None:
    client = make_client(times=Times(connect_seconds=1, read_seconds=0.05), max_wait_seconds=0)
    server.will(Reply(hang=True))

    with pytest.raises(GitHubUnavailable, match="did not answer in time"):
        client.get_self_hosted_runner(ORG, 1)


def test_body_over_the_bound_is_refused(make_client: MakeClient, server: ScriptedServer) -> None:
    client = make_client(checked=False)
    server.will(Reply(200, raw=b" " * (33 * 1024 * 1024)))

    with pytest.raises(BadAnswer, match="bytes"):
        client.get_self_hosted_runner(ORG, 1)


def test_body_that_goes_on_too_long_is_given_up(
    make_client: MakeClient, server: ScriptedServer
) -> None:
    client = make_client(times=Times(call_seconds=-1), max_wait_seconds=0, checked=False)
    server.will(Reply(200, bodies.runner()))

    with pytest.raises(GitHubUnavailable, match="did not end"):
        client.get_self_hosted_runner(ORG, 1)


def test_page_of_a_proxy_is_unavailable_and_not_an_answer(
    make_client: MakeClient, server: ScriptedServer
) -> None:
    client = make_client(checked=False, max_wait_seconds=0)
    server.will(Reply(200, raw=b"<html>Please sign in</html>"))

    with pytest.raises(GitHubUnavailable, match="not JSON"):
        client.get_self_hosted_runner(ORG, 1)


def test_read_waits_for_retry_after(
    client: GitHubClient, server: ScriptedServer, clock: FakeClock
) -> None:
    server.will(
        Reply(429, bodies.error("slow down"), {"Retry-After": "7"}), Reply(200, bodies.runner())
    )

    client.get_self_hosted_runner(ORG, 1)
    assert sum(clock.slept_seconds) == pytest.approx(7)


def test_read_waits_until_the_budget_is_reset(
    client: GitHubClient, server: ScriptedServer, clock: FakeClock
) -> None:
    reset = int(clock.now.timestamp()) + 30
    server.will(
        Reply(403, bodies.error("API rate limit exceeded"), bodies.rate_headers(0, reset)),
        Reply(200, bodies.runner()),
    )

    client.get_self_hosted_runner(ORG, 1)
    assert sum(clock.slept_seconds) == pytest.approx(30)


def test_wait_over_the_bound_is_raised_with_the_moment_to_come_back(
    client: GitHubClient, server: ScriptedServer, clock: FakeClock
) -> None:
    reset = int(clock.now.timestamp()) + 1800
    server.will(Reply(403, bodies.error("API rate limit"), bodies.rate_headers(0, reset)))

    with pytest.raises(RateLimited) as caught:
        client.get_self_hosted_runner(ORG, 1)
    assert caught.value.retry_at == clock.now + timedelta(seconds=1800)
    assert not caught.value.secondary
    assert clock.slept_seconds == []


def test_nothing_is_sent_while_the_budget_is_known_to_be_spent(
    client: GitHubClient, server: ScriptedServer, clock: FakeClock
) -> None:
    reset = int(clock.now.timestamp()) + 1800
    server.will(Reply(200, bodies.runner(), bodies.rate_headers(0, reset)))
    client.get_self_hosted_runner(ORG, 1)

    with pytest.raises(RateLimited):
        client.create_registration_token(ORG)
    assert len(server.received) == 1


def test_rate_limit_may_be_asked_for_while_the_budget_is_spent(
    client: GitHubClient, server: ScriptedServer, clock: FakeClock
) -> None:
    reset = int(clock.now.timestamp()) + 1800
    rate = {"limit": 5000, "remaining": 0, "used": 5000, "reset": reset}
    answer = {"resources": {"core": rate, "search": rate}, "rate": rate}
    server.will(Reply(200, bodies.runner(), bodies.rate_headers(0, reset)), Reply(200, answer))
    client.get_self_hosted_runner(ORG, 1)

    limits = client.get_rate_limit()
    assert limits.core is not None
    assert limits.core.remaining == 0


def test_call_waits_out_a_short_block_before_it_is_sent(
    client: GitHubClient, server: ScriptedServer, clock: FakeClock
) -> None:
    reset = int(clock.now.timestamp()) + 20
    server.will(
        Reply(200, bodies.runner(), bodies.rate_headers(0, reset)), Reply(201, bodies.token())
    )
    client.get_self_hosted_runner(ORG, 1)

    client.create_registration_token(ORG)
    assert clock.slept_seconds == [pytest.approx(20)]


def test_block_of_another_budget_does_not_hold_a_call_back(
    client: GitHubClient, server: ScriptedServer, clock: FakeClock
) -> None:
    reset = int(clock.now.timestamp()) + 1800
    spent = bodies.rate_headers(0, reset, "actions_runner_registration")
    server.will(Reply(201, bodies.token(), spent), Reply(200, bodies.runner()))
    client.create_registration_token(ORG)

    assert client.get_self_hosted_runner(ORG, 1).id == 1
    with pytest.raises(RateLimited) as caught:
        client.create_registration_token(ORG)
    assert caught.value.resource == "actions_runner_registration"


def test_budget_that_is_back_lifts_the_block(
    client: GitHubClient, server: ScriptedServer, clock: FakeClock
) -> None:
    reset = int(clock.now.timestamp()) + 30
    server.will(
        Reply(200, bodies.runner(), bodies.rate_headers(0, reset)),
        Reply(200, bodies.runner(), bodies.rate_headers(4999, reset + 3600)),
        Reply(200, bodies.runner()),
    )
    for _ in range(3):
        client.get_self_hosted_runner(ORG, 1)

    assert clock.slept_seconds == [pytest.approx(30)]


def test_past_reset_does_not_hold_a_call_back(
    client: GitHubClient, server: ScriptedServer, clock: FakeClock
) -> None:
    past = int(clock.now.timestamp()) - 5
    server.will(
        Reply(200, bodies.runner(), bodies.rate_headers(0, past)), Reply(200, bodies.runner())
    )
    client.get_self_hosted_runner(ORG, 1)
    client.get_self_hosted_runner(ORG, 1)

    assert clock.slept_seconds == []


def test_secondary_limit_without_a_hint_waits_a_minute_then_two(
    make_client: MakeClient, server: ScriptedServer, clock: FakeClock
) -> None:
    client = make_client(max_wait_seconds=300)
    refusal = Reply(403, bodies.error("You have exceeded a secondary rate limit."))
    server.will(refusal, refusal, Reply(200, bodies.runner()))

    client.get_self_hosted_runner(ORG, 1)
    assert clock.slept_seconds == [pytest.approx(60), pytest.approx(120)]


def test_secondary_limit_blocks_every_call(client: GitHubClient, server: ScriptedServer) -> None:
    headers = {"Retry-After": "600"}
    server.will(Reply(403, bodies.error("You have exceeded a secondary rate limit."), headers))
    with pytest.raises(RateLimited):
        client.create_registration_token(ORG)

    with pytest.raises(RateLimited) as caught:
        client.get_self_hosted_runner(ORG, 1)
    assert caught.value.secondary
    assert len(server.received) == 1


def test_limited_change_is_not_repeated(
    client: GitHubClient, server: ScriptedServer, clock: FakeClock
) -> None:
    server.will(Reply(429, bodies.error("slow down"), {"Retry-After": "2"}))

    with pytest.raises(RateLimited) as caught:
        client.create_registration_token(ORG)
    assert caught.value.retry_at == clock.now + timedelta(seconds=2)
    assert len(server.received) == 1


def test_wait_follows_githubs_clock_where_ours_is_wrong(
    client: GitHubClient, server: ScriptedServer, clock: FakeClock
) -> None:
    there = clock.now + timedelta(hours=2)
    reset = int(there.timestamp()) + 10
    headers = bodies.rate_headers(0, reset) | {"Date": there.strftime("%a, %d %b %Y %H:%M:%S GMT")}
    server.will(Reply(403, bodies.error("API rate limit"), headers), Reply(200, bodies.runner()))

    client.get_self_hosted_runner(ORG, 1)
    assert sum(clock.slept_seconds) == pytest.approx(10)


def test_clock_skew_is_read_from_the_date_header(
    client: GitHubClient, server: ScriptedServer, clock: FakeClock
) -> None:
    there = clock.now + timedelta(seconds=90)
    date = there.strftime("%a, %d %b %Y %H:%M:%S GMT")
    server.will(Reply(200, bodies.runner(), {"Date": date}))
    client.get_self_hosted_runner(ORG, 1)

    assert client.clock_skew_seconds == pytest.approx(90)


def test_retry_after_as_a_date_is_understood(
    client: GitHubClient, server: ScriptedServer, clock: FakeClock
) -> None:
    later = (clock.now + timedelta(seconds=15)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    server.will(
        Reply(429, bodies.error("slow down"), {"Retry-After": later}), Reply(200, bodies.runner())
    )

    client.get_self_hosted_runner(ORG, 1)
    assert sum(clock.slept_seconds) == pytest.approx(15)


def test_every_answer_tells_the_budget(
    make_client: MakeClient, server: ScriptedServer, clock: FakeClock
) -> None:
    heard: list[Budget] = []
    client = make_client(on_budget=heard.append)
    reset = int(clock.now.timestamp()) + 60
    server.will(
        Reply(200, bodies.runner(), bodies.rate_headers(4998, reset)),
        Reply(404, bodies.error("Not Found"), bodies.rate_headers(4997, reset)),
    )
    client.get_self_hosted_runner(ORG, 1)
    with pytest.raises(Exception, match="no such thing"):
        client.get_self_hosted_runner(ORG, 2)

    assert [budget.remaining for budget in heard] == [4998, 4997]
    assert client.budgets["core"] == heard[-1]


def test_end_of_the_token_is_heard_on_every_kind_of_answer_once_until_it_changes(
    make_client: MakeClient, server: ScriptedServer
) -> None:
    heard: list[datetime] = []
    client = make_client(on_token_expiry=heard.append, checked=False)
    first = {"GitHub-Authentication-Token-Expiration": "2026-12-01 10:00:00 UTC"}
    later = {"GitHub-Authentication-Token-Expiration": "2027-03-01 12:00:00 +0200"}
    server.will(
        *[Reply(200, bodies.runner(), first)] * 2,
        Reply(200, bodies.runner()),
        Reply(200, bodies.runner(), {"GitHub-Authentication-Token-Expiration": "never"}),
        Reply(200, bodies.runner(), later),
    )
    for _ in range(5):
        client.get_self_hosted_runner(ORG, 1)

    assert heard == [
        datetime(2026, 12, 1, 10, tzinfo=UTC),
        datetime(2027, 3, 1, 10, tzinfo=UTC),
    ]


def test_plain_403_is_not_taken_for_a_limit(client: GitHubClient, server: ScriptedServer) -> None:
    headers = {"X-Accepted-GitHub-Permissions": "organization_self_hosted_runners=write"}
    server.will(Reply(403, bodies.error("Resource not accessible by integration"), headers))

    with pytest.raises(Forbidden) as caught:
        client.create_registration_token(ORG)
    assert caught.value.accepted_permissions == "organization_self_hosted_runners=write"
    assert "organization_self_hosted_runners=write" in caught.value.user_message


def test_refused_value_is_not_repeated(client: GitHubClient, server: ScriptedServer) -> None:
    server.will(Reply(422, bodies.error("Validation Failed", errors=["name is too long"])))

    with pytest.raises(ValidationFailed) as caught:
        client.generate_jitconfig(ORG, name="n", runner_group_id=1, labels=["x"])
    assert caught.value.problems == ("name is too long",)
    assert len(server.received) == 1

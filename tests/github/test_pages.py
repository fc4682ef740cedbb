"""Lists: pages as linked, each entry once, and less never mistaken for all."""

from __future__ import annotations

import threading

import pytest

from runners.github.auth import TokenAuth
from runners.github.cache import CachedAnswer, CacheKey, ConditionalCache
from runners.github.client import GitHubClient
from runners.github.errors import BadAnswer, GitHubUnavailable, PartialResult, RateLimited
from runners.github.transport import next_link
from runners.github.urls import ScopePath
from tests.github import bodies
from tests.github.conftest import MakeClient
from tests.github.scripted import Received, Reply, ScriptedServer

ORG = ScopePath.organization("acme")
PATH = "/orgs/acme/actions/runners"


def page(
    server: ScriptedServer, *ids: int, total: int, after: int | None = None, etag: str = ""
) -> Reply:
    """A page of runners, linked to the page numbered `after`."""
    headers = {"ETag": etag} if etag else {}
    if after is not None:
        link = f'<{server.url}{PATH}?per_page=100&page={after}>; rel="next"'
        headers["Link"] = f'<{server.url}{PATH}?page=9>; rel="last", {link}'
    entries = [bodies.runner(number, f"runner-{number}") for number in ids]
    return Reply(200, bodies.runners(*entries, total=total), headers)


def test_pages_are_followed_as_linked(client: GitHubClient, server: ScriptedServer) -> None:
    server.will(page(server, 1, 2, total=3, after=2), page(server, 3, total=3))

    listing = client.list_self_hosted_runners(ORG)
    assert [runner.id for runner in listing] == [1, 2, 3]
    assert listing.complete
    assert [received.path for received in server.received] == [
        f"{PATH}?per_page=100",
        f"{PATH}?per_page=100&page=2",
    ]


def test_entry_that_slipped_to_the_next_page_is_given_once(
    client: GitHubClient, server: ScriptedServer
) -> None:
    server.will(page(server, 1, 2, total=3, after=2), page(server, 2, 3, total=3))

    assert [runner.id for runner in client.list_self_hosted_runners(ORG)] == [1, 2, 3]


def test_list_that_shrank_while_read_is_read_once_more(
    client: GitHubClient, server: ScriptedServer
) -> None:
    server.will(
        page(server, 1, 2, total=4, after=2),
        page(server, 4, total=4),
        page(server, 2, 3, total=3, after=2),
        page(server, 4, total=3),
    )

    listing = client.list_self_hosted_runners(ORG)
    assert [runner.id for runner in listing] == [2, 3, 4]
    assert listing.complete


def test_list_that_stays_short_says_so(client: GitHubClient, server: ScriptedServer) -> None:
    server.will(page(server, 1, total=2), page(server, 1, total=2))

    listing = client.list_self_hosted_runners(ORG)
    assert not listing.complete
    assert listing.total_count == 2


def test_missing_page_gives_what_came_as_an_error(
    client: GitHubClient, server: ScriptedServer
) -> None:
    server.will(page(server, 1, 2, total=3, after=2), *[Reply(502, bodies.error("oops"))] * 4)

    with pytest.raises(PartialResult) as caught:
        client.list_self_hosted_runners(ORG)
    assert [getattr(runner, "id", None) for runner in caught.value.items] == [1, 2]
    assert isinstance(caught.value.cause, GitHubUnavailable)
    assert caught.value.operation == "list_self_hosted_runners"


def test_missing_first_page_is_the_error_itself(
    client: GitHubClient, server: ScriptedServer
) -> None:
    server.will(Reply(429, bodies.error("slow down"), {"Retry-After": "900"}))

    with pytest.raises(RateLimited):
        client.list_self_hosted_runners(ORG)


def test_page_with_a_broken_entry_is_a_partial_result(
    make_client: MakeClient, server: ScriptedServer
) -> None:
    broken = bodies.runner(2) | {"busy": "no"}
    server.will(
        page(server, 1, total=2, after=2), Reply(200, {"total_count": 2, "runners": [broken]})
    )

    with pytest.raises(PartialResult) as caught:
        make_client(checked=False).list_self_hosted_runners(ORG)
    assert isinstance(caught.value.cause, BadAnswer)
    assert "busy" in caught.value.user_message


def test_next_page_on_another_host_is_not_followed(
    client: GitHubClient, server: ScriptedServer
) -> None:
    elsewhere = {"Link": '<http://127.0.0.2:1/orgs/acme/actions/runners?page=2>; rel="next"'}
    server.will(Reply(200, bodies.runners(bodies.runner(), total=2), elsewhere))

    with pytest.raises(PartialResult, match="another host"):
        client.list_self_hosted_runners(ORG)


def test_pages_in_a_circle_end(client: GitHubClient, server: ScriptedServer) -> None:
    server.will(page(server, 1, total=9, after=2), *[page(server, 2, total=9, after=2)] * 9)

    with pytest.raises(PartialResult, match="do not end"):
        client.list_self_hosted_runners(ORG)
    assert len(server.received) == 2


def test_bound_ends_the_walk_and_marks_the_list(
    client: GitHubClient, server: ScriptedServer
) -> None:
    repository = ScopePath.repository("acme/web")
    hook = [{"id": 2, "guid": "g", "event": "ping", "status": "OK", "status_code": 200}]
    rest = {"delivered_at": "2026-11-23T12:00:00Z", "redelivery": False, "duration": 0.1}
    rest |= {"action": None, "installation_id": None, "repository_id": None}
    deliveries = [{**hook[0], **rest, "id": number} for number in (3, 2, 1)]
    link = f'<{server.url}/repos/acme/web/hooks/7/deliveries?per_page=100&cursor=v1>; rel="next"'
    server.will(Reply(200, deliveries, {"Link": link}))

    listing = client.list_webhook_deliveries(repository, 7, max_items=2)
    assert [delivery.id for delivery in listing] == [3, 2]
    assert not listing.complete
    assert len(server.received) == 1


def test_unchanged_list_comes_from_the_cache(client: GitHubClient, server: ScriptedServer) -> None:
    server.will(
        page(server, 1, total=2, after=2, etag='"one"'),
        page(server, 2, total=2, etag='"two"'),
        Reply(304),
        Reply(304),
    )
    first = client.list_self_hosted_runners(ORG)
    second = client.list_self_hosted_runners(ORG)

    assert (first.not_modified, second.not_modified) == (False, True)
    assert second.items == first.items
    assert [received.headers.get("if-none-match") for received in server.received] == [
        None,
        None,
        '"one"',
        '"two"',
    ]
    assert client.counts.not_modified == 2


def test_list_with_one_changed_page_is_changed(
    client: GitHubClient, server: ScriptedServer
) -> None:
    server.will(
        page(server, 1, total=2, after=2, etag='"one"'),
        page(server, 2, total=2, etag='"two"'),
        Reply(304),
        page(server, 3, total=2, etag='"three"'),
    )
    client.list_self_hosted_runners(ORG)
    listing = client.list_self_hosted_runners(ORG)

    assert not listing.not_modified
    assert [runner.id for runner in listing] == [1, 3]


def test_cache_is_not_shared_between_credentials(
    make_client: MakeClient, server: ScriptedServer
) -> None:
    cache = ConditionalCache()
    server.will(*[Reply(200, bodies.runner(), {"ETag": '"one"'})] * 2)
    for letter in "ab":
        auth = TokenAuth(f"ghp_{letter * 36}")
        make_client(cache=cache, auth=auth).get_self_hosted_runner(ORG, 1)

    assert "if-none-match" not in server.received[1].headers
    assert len(cache) == 2


def test_cache_is_shared_between_clients_of_one_credential(
    make_client: MakeClient, server: ScriptedServer
) -> None:
    cache = ConditionalCache()
    server.will(Reply(200, bodies.runner(), {"ETag": '"one"'}), Reply(304))
    first = make_client(cache=cache).get_self_hosted_runner(ORG, 1)

    assert make_client(cache=cache).get_self_hosted_runner(ORG, 1) is first


def test_304_that_was_not_asked_for_is_a_bad_answer(
    client: GitHubClient, server: ScriptedServer
) -> None:
    server.will(Reply(304))

    with pytest.raises(BadAnswer, match="nothing changed"):
        client.get_self_hosted_runner(ORG, 1)


def test_secret_answers_are_never_kept(make_client: MakeClient, server: ScriptedServer) -> None:
    cache = ConditionalCache()
    server.will(Reply(200, [], {"ETag": '"one"'}))
    make_client(cache=cache).list_runner_applications(ORG)

    assert len(cache) == 0


def _entry(size_bytes: int = 10) -> CachedAnswer:
    return CachedAnswer('"e"', None, "", size_bytes)


def _key(url: str) -> CacheKey:
    return CacheKey("c", "a", url, None)


def test_cache_drops_the_least_recently_used_over_its_number() -> None:
    cache = ConditionalCache(max_entries=2)
    cache.put(_key("1"), _entry())
    cache.put(_key("2"), _entry())
    cache.get(_key("1"))
    cache.put(_key("3"), _entry())

    assert [cache.get(_key(url)) is not None for url in "123"] == [True, False, True]


def test_cache_is_bounded_in_bytes_too() -> None:
    cache = ConditionalCache(max_bytes=25)
    for url in "123":
        cache.put(_key(url), _entry())
    cache.put(_key("4"), _entry(1000))

    assert len(cache) == 0


def test_replaced_cache_entry_is_counted_once() -> None:
    cache = ConditionalCache(max_bytes=25)
    for _ in range(9):
        cache.put(_key("1"), _entry())
    cache.put(_key("2"), _entry())

    assert len(cache) == 2


def test_clients_of_many_threads_share_a_cache(
    make_client: MakeClient, server: ScriptedServer
) -> None:
    cache = ConditionalCache(max_entries=3)

    def respond(received: Received) -> Reply:
        if "if-none-match" in received.headers:
            return Reply(304)
        number = int(received.path.rpartition("/")[2])
        return Reply(200, bodies.runner(number), {"ETag": f'"{number}"'})

    server.responder = respond
    wrong: list[int] = []

    def read(client: GitHubClient) -> None:
        wrong.extend(
            number
            for number in [1, 2, 3, 4, 5] * 3
            if client.get_self_hosted_runner(ORG, number).id != number
        )

    threads = [
        threading.Thread(target=read, args=(make_client(cache=cache, checked=False),))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(server.received) == 60


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", ""),
        ('<https://h/a?page=2>; rel="next"', "https://h/a?page=2"),
        ('<https://h/a?x=1,2>; rel="prev", <https://h/b,c>; rel=next', "https://h/b,c"),
        ('</a?page=2>; rel="next"', "https://h/a?page=2"),
        ('<https://h/a>; rel="last"', ""),
        ("nonsense", ""),
    ],
)
def test_next_link_is_read_from_the_header(header: str, expected: str) -> None:
    assert next_link({"link": header}, "https://h/x") == expected

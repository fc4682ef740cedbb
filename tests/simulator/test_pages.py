"""Pages and their Link header, and the small documents of the site."""

from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from runners.simulator import Simulator
from tests.simulator.client import Client

RUNNERS = "/orgs/acme/actions/runners"


@pytest.fixture
def many(sim: Simulator) -> list[int]:
    body = {"scope": "orgs/acme", "count": 250}
    return requests.post(f"{sim.url}/_sim/runners", json=body, timeout=5).json()["runner_ids"]


def page_numbers(response: requests.Response) -> dict[str, str]:
    links = response.links.items()
    return {rel: parse_qs(urlsplit(link["url"]).query)["page"][0] for rel, link in links}


def test_default_page_has_thirty(admin: Client, many: list[int]) -> None:
    page = admin.get(RUNNERS)
    assert [r["id"] for r in page.json()["runners"]] == many[:30]
    assert page.json()["total_count"] == 250
    assert page_numbers(page) == {"next": "2", "last": "9"}


def test_page_in_the_middle_names_all_its_neighbours(admin: Client, many: list[int]) -> None:
    page = admin.get(RUNNERS, params={"per_page": 100, "page": 2})
    assert [r["id"] for r in page.json()["runners"]] == many[100:200]
    assert page_numbers(page) == {"prev": "1", "next": "3", "last": "3", "first": "1"}


def test_last_page_has_no_next(admin: Client, many: list[int]) -> None:
    page = admin.get(RUNNERS, params={"per_page": 100, "page": 3})
    assert len(page.json()["runners"]) == 50
    assert page_numbers(page) == {"prev": "2", "first": "1"}


def test_page_past_the_end_is_empty(admin: Client, many: list[int]) -> None:
    page = admin.get(RUNNERS, params={"page": 99})
    assert page.json()["runners"] == []
    assert page_numbers(page)["first"] == "1"


def test_more_than_a_hundred_are_not_given(admin: Client, many: list[int]) -> None:
    assert len(admin.get(RUNNERS, params={"per_page": 100}).json()["runners"]) == 100
    url = f"{admin.base}{RUNNERS}?per_page=1000"
    assert len(admin.session.get(url, timeout=5).json()["runners"]) == 100


@pytest.mark.parametrize("query", ["per_page=x", "per_page=0", "page=-1", "page=" + "9" * 400])
def test_unreadable_page_counts_as_not_said(admin: Client, many: list[int], query: str) -> None:
    answer = admin.session.get(f"{admin.base}{RUNNERS}?{query}", timeout=5)
    assert [r["id"] for r in answer.json()["runners"]] == many[:30]


def test_links_keep_the_base_and_the_query(sim: Simulator, many: list[int]) -> None:
    bare = Client(sim, sim.token, base=sim.url)
    page = bare.get(RUNNERS, params={"per_page": 50})
    assert page.links["next"]["url"] == f"{sim.url}{RUNNERS}?per_page=50&page=2"


def test_one_page_has_no_link_header(admin: Client) -> None:
    assert "Link" not in admin.get(RUNNERS).headers


@pytest.mark.parametrize("base", ["", "/api/v3"])
def test_api_answers_at_the_root_and_as_an_enterprise_server(sim: Simulator, base: str) -> None:
    client = Client(sim, sim.token, base=sim.url + base)
    assert client.get("/").json()["current_user_url"] == f"{sim.url}{base}/user"
    assert client.get("/user").json()["url"].startswith(f"{sim.url}{base}/")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/meta",
        "/zen",
        "/versions",
        "/user",
        "/user/repos",
        "/user/orgs",
        "/users/octo-admin",
        "/users/acme",
        "/users/acme/repos",
        "/orgs/acme",
        "/orgs/acme/repos",
        "/repos/acme/web",
        "/repos/acme/web/languages",
        "/repos/acme/web/topics",
        "/orgs/acme/installations",
    ],
)
def test_document_is_as_github_describes_it(admin: Client, path: str) -> None:
    assert admin.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/nothing", "/orgs", "/repos/acme", "/orgs/acme/actions"])
def test_unknown_path_is_not_found(admin: Client, path: str) -> None:
    assert admin.get(path).json()["message"] == "Not Found"


def test_wrong_verb_is_not_found(admin: Client) -> None:
    assert admin.put("/orgs/acme/actions/runners").status_code == 404


def test_repositories_can_be_filtered_and_sorted(admin: Client) -> None:
    query = {"type": "private", "direction": "desc"}
    listed = admin.get("/orgs/acme/repos", params=query).json()
    assert [r["name"] for r in listed] == ["web", "models", "firmware", "api"]
    assert admin.get("/orgs/acme/repos", params={"type": "public"}).json() == []


@pytest.mark.parametrize("body", [b"{", b"[]", b"3", b""])
def test_body_that_is_no_json_object_is_400(admin: Client, body: bytes) -> None:
    refused = admin.call("POST", f"{RUNNERS}/generate-jitconfig", data=body)
    assert refused.status_code == 400

"""Addresses: web to API and back, and scopes as people paste them."""

from __future__ import annotations

import pytest

from runners.github.client import GitHubClient
from runners.github.urls import (
    ScopeKind,
    ScopePath,
    api_base_url,
    checked_api_base,
    is_loopback,
    scope_from_web_url,
    scope_web_url,
    web_base_url,
)

PAIRS = [
    ("https://github.com", "https://api.github.com"),
    ("https://acme.ghe.com", "https://api.acme.ghe.com"),
    ("https://git.acme.example", "https://git.acme.example/api/v3"),
    ("https://git.acme.example:8443", "https://git.acme.example:8443/api/v3"),
    ("http://127.0.0.1:8001", "http://127.0.0.1:8001/api/v3"),
    ("http://localhost:8001", "http://localhost:8001/api/v3"),
    ("http://[::1]:8001", "http://[::1]:8001/api/v3"),
]


@pytest.mark.parametrize(("web", "api"), PAIRS)
def test_web_and_api_address_belong_together(web: str, api: str) -> None:
    assert api_base_url(web) == api
    assert api_base_url(f"{web}/acme/web") == api
    assert web_base_url(api) == web
    assert checked_api_base(f"{api}/") == api


@pytest.mark.parametrize(
    ("url", "api"),
    [
        ("https://www.github.com/acme", "https://api.github.com"),
        ("https://api.github.com", "https://api.github.com"),
        ("https://api.acme.ghe.com", "https://api.acme.ghe.com"),
        ("https://GIT.Acme.example/acme", "https://git.acme.example/api/v3"),
    ],
)
def test_other_spellings_of_an_address_are_understood(url: str, api: str) -> None:
    assert api_base_url(url) == api


def test_stand_in_may_serve_the_api_at_its_root() -> None:
    assert web_base_url("http://127.0.0.1:8001") == "http://127.0.0.1:8001"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://git.acme.example", "https"),
        ("http://192.0.2.1", "https"),
        ("ftp://github.com", "Not a web address"),
        ("github.com", "Not a web address"),
        ("", "Not a web address"),
        ("https://", "Not a web address"),
        ("https://user:pw@github.com", "user name or password"),
        ("https://github.com/?x=1", "must not hold"),
        ("https://github.com/#x", "must not hold"),
        ("https://github.com:0", "Port 0"),
        ("https://github.com:99999999", "[Pp]ort"),
    ],
)
def test_address_that_must_not_get_a_credential_is_refused(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        checked_api_base(url)
    with pytest.raises(ValueError, match=words):
        GitHubClient(url)


def test_password_in_an_address_is_not_repeated_in_the_error() -> None:
    with pytest.raises(ValueError, match="password") as caught:
        checked_api_base("https://user:hunter22@github.com")
    assert "hunter22" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("a.localhost", True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("localhost.acme.example", False),
        ("github.com", False),
    ],
)
def test_loopback_is_this_machine_only(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("scope", "api_path", "web_url", "said"),
    [
        (
            ScopePath.repository("acme/web.site"),
            "/repos/acme/web.site",
            "https://github.com/acme/web.site",
            "repository acme/web.site",
        ),
        (
            ScopePath.organization("acme"),
            "/orgs/acme",
            "https://github.com/acme",
            "organization acme",
        ),
        (
            ScopePath.enterprise("acme-inc"),
            "/enterprises/acme-inc",
            "https://github.com/enterprises/acme-inc",
            "enterprise acme-inc",
        ),
    ],
)
def test_scope_has_an_api_path_and_a_page(
    scope: ScopePath, api_path: str, web_url: str, said: str
) -> None:
    assert scope.api_path == api_path
    assert scope_web_url("https://api.github.com", scope) == web_url
    assert scope_from_web_url(web_url) == ("https://api.github.com", scope)
    assert str(scope) == said


@pytest.mark.parametrize(
    ("kind", "slug"),
    [
        (ScopeKind.REPOSITORY, "acme"),
        (ScopeKind.REPOSITORY, "a/b/c"),
        (ScopeKind.REPOSITORY, "acme/.."),
        (ScopeKind.REPOSITORY, "/web"),
        (ScopeKind.ORGANIZATION, "a/b"),
        (ScopeKind.ORGANIZATION, ""),
        (ScopeKind.ORGANIZATION, "a b"),
        (ScopeKind.ORGANIZATION, "a?b"),
        (ScopeKind.ENTERPRISE, "."),
    ],
)
def test_scope_that_cannot_exist_is_refused(kind: ScopeKind, slug: str) -> None:
    with pytest.raises(ValueError, match=str(kind)):
        ScopePath(kind, slug)


@pytest.mark.parametrize(
    ("url", "api", "scope"),
    [
        ("https://github.com/acme/web.git", "https://api.github.com", "repository acme/web"),
        (
            "https://github.com/acme/web/settings/actions/runners",
            "https://api.github.com",
            "repository acme/web",
        ),
        (
            "https://github.com/organizations/acme/settings/actions",
            "https://api.github.com",
            "organization acme",
        ),
        ("https://github.com/orgs/acme/people", "https://api.github.com", "organization acme"),
        (
            "https://github.com/acme?tab=repositories#x",
            "https://api.github.com",
            "organization acme",
        ),
        (
            "https://github.com/enterprises/acme-inc/settings",
            "https://api.github.com",
            "enterprise acme-inc",
        ),
        ("http://127.0.0.1:9/acme", "http://127.0.0.1:9/api/v3", "organization acme"),
        (" https://git.acme.example/a/b ", "https://git.acme.example/api/v3", "repository a/b"),
    ],
)
def test_pasted_page_tells_base_and_scope(url: str, api: str, scope: str) -> None:
    base, found = scope_from_web_url(url)

    assert (base, str(found)) == (api, scope)


@pytest.mark.parametrize("url", ["https://github.com", "https://github.com/", "https://h/a%20b"])
def test_page_without_a_scope_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"names no|organization"):
        scope_from_web_url(url)


def test_organizations_page_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="organization"):
        scope_from_web_url("https://github.com/organizations")

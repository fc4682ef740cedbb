"""Scopes: what a pasted address means, and what is refused."""

import pytest

from runners import scopes
from runners.errors import InvalidRequest
from runners.github.urls import ScopeKind
from runners.models import Event, Scope
from tests.factories import (
    NOW,
    CredentialFactory,
    PoolFactory,
    RunnerFactory,
    ScopeFactory,
)

pytestmark = pytest.mark.django_db


def add(url, ada, **wanted):
    return scopes.add_scope(url, credential=CredentialFactory(), by=ada, now=NOW, **wanted)


@pytest.mark.parametrize(
    ("url", "kind", "slug", "tidy"),
    [
        ("https://github.com/acme", "organization", "acme", "https://github.com/acme"),
        (" https://GitHub.com/acme/ ", "organization", "acme", "https://github.com/acme"),
        (
            "https://github.com/acme/web.git",
            "repository",
            "acme/web",
            "https://github.com/acme/web",
        ),
        (
            "https://github.com/acme/web?tab=readme#top",
            "repository",
            "acme/web",
            "https://github.com/acme/web",
        ),
        (
            "https://github.com/enterprises/big",
            "enterprise",
            "big",
            "https://github.com/enterprises/big",
        ),
        (
            "https://ghe.example.com:8443/acme",
            "organization",
            "acme",
            "https://ghe.example.com:8443/acme",
        ),
        ("http://127.0.0.1:8001/acme", "organization", "acme", "http://127.0.0.1:8001/acme"),
    ],
)
def test_address_names_its_scope(url, kind, slug, tidy, ada):
    scope = add(url, ada)

    row = Scope.objects.get()
    assert row == scope
    assert (row.kind, row.slug, row.web_url) == (kind, slug, tidy)
    assert scopes.scope_path_of(url).kind == ScopeKind(kind)
    assert Event.objects.get().detail == {"url": tidy}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "acme/web/deep/er",
        "https://github.com",
        "https://github.com/acme/web/settings",
        "https://github.com/acme/we b",
        "https://github.com/acme/..",
        "ftp://github.com/acme",
        "github.com/acme",
        "https:///acme",
        "https://ada:secret@github.com/acme",
        "https://github.com:port/acme",
        "https://[github.com/acme",
        "http://github.com/acme",
    ],
)
def test_address_that_is_no_scopes_or_not_safe_is_refused(url, ada):
    with pytest.raises(InvalidRequest):
        add(url, ada)

    assert not Scope.objects.exists()


def test_password_in_an_address_is_not_repeated(ada):
    with pytest.raises(InvalidRequest) as refusal:
        add("https://ada:hunter22@github.com/acme", ada)

    assert "hunter22" not in refusal.value.user_message


@pytest.mark.parametrize("again", ["https://github.com/acme", "https://github.com/ACME/"])
def test_scope_is_added_once_whatever_its_spelling(again, ada):
    add("https://github.com/acme", ada)

    with pytest.raises(InvalidRequest, match="already added"):
        add(again, ada)

    assert Scope.objects.count() == 1


def test_scope_added_by_somebody_else_in_the_same_moment_is_refused(ada, monkeypatch):
    ScopeFactory(web_url="https://github.com/acme")
    monkeypatch.setattr(Scope.objects, "filter", lambda **wanted: Scope.objects.none())

    with pytest.raises(InvalidRequest, match="already added"):
        add("https://github.com/acme", ada)


def test_runner_group_is_kept(ada):
    scope = add("https://github.com/acme", ada, runner_group_id=7, runner_group_name="Builders")

    assert (scope.runner_group_id, scope.runner_group_name) == (7, "Builders")


def test_unused_scope_is_removed_and_remembered_in_an_event(ada):
    scope = ScopeFactory()

    event = scopes.remove_scope(scope, by=ada, reason="Typo", now=NOW)

    assert not Scope.objects.exists()
    assert (event.action, event.object_name, event.reason) == ("scope.remove", scope.slug, "Typo")


@pytest.mark.parametrize("trait", [{}, {"failed": True}, {"removing": True}, {"removed": True}])
def test_scope_with_runners_or_their_history_is_kept(trait, ada):
    runner = RunnerFactory(**trait)

    with pytest.raises(InvalidRequest):
        scopes.remove_scope(runner.scope, by=ada, reason="", now=NOW)

    assert Scope.objects.exists()


def test_scope_with_a_pool_is_kept(ada):
    pool = PoolFactory()

    with pytest.raises(InvalidRequest, match="runners or pools"):
        scopes.remove_scope(pool.scope, by=ada, reason="", now=NOW)

"""Scopes: what a pasted address means, and what is refused."""

from datetime import timedelta

import pytest

from runners import scopes
from runners.errors import InvalidRequest
from runners.github.errors import GitHubUnavailable
from runners.github.types import Listing, RunnerGroup
from runners.github.urls import ScopeKind
from runners.models import Event, Job, Runner, Scope
from runners.vault import Vault
from tests.factories import (
    NOW,
    CredentialFactory,
    JobFactory,
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
        (
            "https://github.com/acme/web/settings/actions",
            "repository",
            "acme/web",
            "https://github.com/acme/web",
        ),
        ("https://github.com/orgs/acme/people", "organization", "acme", "https://github.com/acme"),
        ("http://127.0.0.1:8001/acme", "organization", "acme", "http://127.0.0.1:8001/acme"),
    ],
)
def test_address_names_its_scope(url, kind, slug, tidy, ada):
    scope = add(url, ada)

    row = Scope.objects.get()
    assert row == scope
    assert (row.kind, row.slug, row.web_url) == (kind, slug, tidy)
    assert scopes.read_web_url(url)[0].kind == ScopeKind(kind)
    assert Event.objects.get().detail == {"url": tidy}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "acme/web/deep/er",
        "https://github.com",
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


@pytest.mark.parametrize("trait", [{}, {"failed": True}, {"removing": True}])
def test_scope_with_runners_is_kept(trait, ada):
    runner = RunnerFactory(**trait)

    with pytest.raises(InvalidRequest, match="runners or pools"):
        scopes.remove_scope(runner.scope, by=ada, reason="", now=NOW)

    assert Scope.objects.exists()
    assert not Event.objects.exists()


def test_scope_goes_with_its_history_and_the_events_stay(ada):
    scope = RunnerFactory(removed=True).scope
    JobFactory(scope=scope)
    other = RunnerFactory(removed=True)

    event = scopes.remove_scope(scope, by=ada, reason="", now=NOW)

    assert (list(Runner.objects.all()), Job.objects.count()) == ([other], 0)
    assert Event.objects.get(pk=event.pk).detail == {"runners": 1, "jobs": 1}


def test_scope_with_a_pool_is_kept(ada):
    pool = PoolFactory()

    with pytest.raises(InvalidRequest, match="runners or pools"):
        scopes.remove_scope(pool.scope, by=ada, reason="", now=NOW)


@pytest.fixture(scope="module")
def vault():
    return Vault(["the key of this suite"])


def test_webhook_secret_is_made_and_kept_encrypted_only(ada, vault):
    scope = ScopeFactory()

    secret = scopes.make_webhook_secret(scope, vault=vault, by=ada, now=NOW)

    row = Scope.objects.get()
    assert vault.decrypt(row.webhook_secret_encrypted) == secret
    assert len(secret) >= 32
    assert secret not in f"{list(Scope.objects.values_list())}{list(Event.objects.values_list())}"
    assert scope.webhook_secret_encrypted == row.webhook_secret_encrypted


def test_webhook_secret_is_replaced_and_taken_away_each_with_its_event(ada, vault):
    scope = ScopeFactory()

    scopes.set_webhook_secret(scope, "a secret of an operator", vault=vault, by=ada, now=NOW)
    first = scope.webhook_secret_encrypted
    scopes.make_webhook_secret(scope, vault=vault, by=ada, now=NOW)
    assert vault.decrypt(scope.webhook_secret_encrypted) != vault.decrypt(first)
    scopes.remove_webhook_secret(scope, by=ada, now=NOW)
    again = scopes.remove_webhook_secret(scope, by=ada, now=NOW)

    assert (Scope.objects.get().webhook_secret_encrypted, again) == ("", None)
    assert list(Event.objects.order_by("pk").values_list("action", flat=True)) == [
        "scope.webhook-set",
        "scope.webhook-rotate",
        "scope.webhook-remove",
    ]


@pytest.mark.parametrize("secret", ["", "fifteen letters", "x" * 201, "sixteen letters\nand"])
def test_webhook_secret_that_is_none_is_refused_without_repeating_it(secret, ada, vault):
    scope = ScopeFactory()

    with pytest.raises(InvalidRequest) as refusal:
        scopes.set_webhook_secret(scope, secret, vault=vault, by=ada, now=NOW)

    assert not secret or secret not in refusal.value.user_message
    assert Scope.objects.get().webhook_secret_encrypted == ""


def organization(**wanted):
    return ScopeFactory(kind="organization", slug="acme", **wanted)


class Groups:
    """A GitHub with these runner groups, or one that refuses."""

    def __init__(self, *names, error=None):
        self.names, self.error = names, error

    def list_self_hosted_runner_groups(self, scope):
        if self.error:
            raise self.error
        groups = tuple(
            RunnerGroup(number, name, "all", number == 1, False, False, False, ())
            for number, name in enumerate(self.names, 1)
        )
        return Listing(groups)


def test_runner_groups_to_choose_from_are_githubs():
    choice = scopes.runner_groups(organization(), github=Groups("Default", "Builders"))

    assert (list(choice.groups), choice.problem) == ([(1, "Default"), (2, "Builders")], "")


def test_known_group_alone_is_offered_while_github_cannot_be_asked():
    scope = organization(runner_group_id=7, runner_group_name="Builders")
    github = Groups(error=GitHubUnavailable("GitHub cannot be reached."))

    choice = scopes.runner_groups(scope, github=github)

    assert (list(choice.groups), choice.problem) == (
        [(7, "Builders")],
        "GitHub cannot be reached.",
    )


def test_group_that_github_has_no_more_is_still_offered_and_told():
    scope = organization(runner_group_id=7, runner_group_name="Builders")

    choice = scopes.runner_groups(scope, github=Groups("Default"))

    assert list(choice.groups) == [(1, "Default"), (7, "Builders")]
    assert "no runner group Builders" in choice.problem


def test_repository_is_not_asked_for_groups():
    scope = ScopeFactory(kind="repository", slug="acme/web")

    choice = scopes.runner_groups(scope, github=Groups(error=AssertionError("asked")))

    assert list(choice.groups) == [(1, "Default")]
    assert "no runner groups" in choice.problem


def test_runner_group_is_changed_once(ada):
    scope = ScopeFactory()

    event = scopes.set_runner_group(scope, 7, " Builders ", by=ada, now=NOW)
    again = scopes.set_runner_group(scope, 7, "Builders", by=ada, now=NOW)

    row = Scope.objects.get()
    assert (row.runner_group_id, row.runner_group_name, again) == (7, "Builders", None)
    assert event is not None
    assert (event.action, event.was, event.became) == ("scope.group", "Default", "Builders")


@pytest.mark.parametrize(("group_id", "name"), [(0, "Default"), (7, " "), (7, "x" * 101)])
def test_runner_group_without_number_or_name_is_refused(group_id, name, ada):
    with pytest.raises(InvalidRequest):
        scopes.set_runner_group(ScopeFactory(), group_id, name, by=ada, now=NOW)


def test_scope_follows_its_server_to_another_address(ada):
    scope = add("http://127.0.0.1:8001/acme", ada)

    scopes.move_scope(scope, "http://127.0.0.1:8002/acme", by=ada, now=NOW)

    assert Scope.objects.get().web_url == "http://127.0.0.1:8002/acme"
    assert scopes.move_scope(scope, "http://127.0.0.1:8002/acme/", by=ada, now=NOW) is None


@pytest.mark.parametrize("url", ["https://github.com/other", "https://ghe.example.com/acme"])
def test_scope_does_not_become_another(url, ada):
    scope = add("https://github.com/acme", ada)
    add("https://ghe.example.com/acme", ada)

    with pytest.raises(InvalidRequest):
        scopes.move_scope(scope, url, by=ada, now=NOW)

    assert Scope.objects.get(pk=scope.pk).web_url == "https://github.com/acme"


STALE_AFTER = timedelta(seconds=90)
OLD, FRESH = NOW - timedelta(seconds=91), NOW - timedelta(seconds=90)


@pytest.mark.parametrize(
    ("added", "seen", "said_unknown", "since"),
    [
        (OLD, FRESH, None, None),
        (OLD, OLD, None, OLD),
        (OLD, OLD, FRESH, FRESH),
        (FRESH, None, None, None),
        (OLD, None, None, OLD),
    ],
)
def test_github_is_unknown_when_told_so_or_when_no_pass_came_to_an_end(
    added, seen, said_unknown, since
):
    scope = ScopeFactory.build(
        created_at=added, github_seen_at=seen, github_unknown_since=said_unknown
    )

    assert scopes.unknown_since(scope, NOW, stale_after=STALE_AFTER) == since

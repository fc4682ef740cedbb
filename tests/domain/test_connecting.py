"""Connecting GitHub: asked first, stored only when it agrees."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from runners import connecting, wiring
from runners.audit import Actor
from runners.connecting import CredentialRefused
from runners.credentials import NewCredential
from runners.errors import InvalidRequest
from runners.github.errors import GitHubUnavailable
from runners.github.types import AuthenticatedUser
from runners.github.urls import ScopePath
from runners.github.verdicts import VerdictCode
from runners.models import Credential, Event, Scope
from runners.simulator import Simulator
from tests.factories import NOW, CredentialFactory, ScopeFactory
from tests.fakes import FakeGitHub

pytestmark = pytest.mark.django_db
BY = Actor(Event.ActorKind.USER, "ci-admin")
SECRET = f"ghp_{'s' * 36}"
ACME = "https://github.com/acme"


@pytest.fixture
def github():
    return FakeGitHub()


def new(name="acme"):
    return NewCredential(name=name, kind=Credential.Kind.TOKEN, secret=SECRET)


def connect(github, web_url=ACME, credential=None):
    return connecting.connect(
        credential or new(), web_url, github=github, vault=wiring.vault(), by=BY, now=NOW
    )


def test_credential_scope_and_verdict_are_stored_together(github):
    connection = connect(github)

    assert connection.scope.credential == connection.credential
    assert connection.credential.verdict == connection.verdict.code.value
    assert connection.credential.verdict_at == NOW


def test_github_is_asked_before_anything_is_stored(github):
    github.hide(ScopePath.organization("acme"))

    with pytest.raises(CredentialRefused) as refused:
        connect(github)

    assert refused.value.fix
    assert (Credential.objects.count(), Event.objects.count()) == (0, 0)


def test_what_cannot_be_asked_is_not_stored(github):
    github.fail_next("get_authenticated_user", GitHubUnavailable("No answer."))

    with pytest.raises(CredentialRefused) as refused:
        connect(github)

    assert refused.value.code is VerdictCode.UNKNOWN
    assert Credential.objects.count() == 0


def test_a_scope_that_is_known_takes_the_credential_down_with_it(github):
    ScopeFactory(slug="acme")

    with pytest.raises(InvalidRequest, match="already added"):
        connect(github)

    assert not Credential.objects.filter(name="acme").exists()


def test_a_bad_address_is_refused_before_github_is_asked(github):
    with pytest.raises(InvalidRequest):
        connect(github, "https://github.com")

    assert github.calls == []


def test_another_scope_is_checked_too(github):
    credential = CredentialFactory()
    github.hide(ScopePath.organization("acme"))

    with pytest.raises(CredentialRefused):
        connecting.add_checked_scope(
            ACME,
            credential=credential,
            github=github,
            runner_group_id=1,
            runner_group_name="Default",
            by=BY,
            now=NOW,
        )

    assert Scope.objects.count() == 0


def test_the_worst_verdict_of_the_scopes_counts(github):
    credential = CredentialFactory()
    ScopeFactory(slug="fine", credential=credential)
    ScopeFactory(slug="hidden", credential=credential)
    github.hide(ScopePath.organization("hidden"))

    verdict = connecting.check_now(credential, github=github, by=BY, now=NOW)

    credential.refresh_from_db()
    assert verdict is not None
    assert credential.verdict == verdict.code.value
    assert not verdict.usable


def test_a_credential_without_scopes_is_not_judged(github):
    credential = CredentialFactory()

    assert connecting.check_now(credential, github=github, by=BY, now=NOW) is None
    assert credential.verdict_at is None


def test_an_expiry_is_kept_with_the_verdict(github):
    until = NOW + timedelta(days=90)
    github.user = AuthenticatedUser(1, "octocat", ("admin:org",), until)

    assert connect(github).credential.expires_at == until


def test_a_free_name_counts_up():
    CredentialFactory(name="acme")
    CredentialFactory(name="acme-2")

    assert connecting.free_name("acme") == "acme-3"
    assert connecting.free_name("other") == "other"


def test_a_refusal_never_holds_the_secret(github):
    github.hide(ScopePath.organization("acme"))

    with pytest.raises(CredentialRefused) as refused:
        connect(github)

    assert SECRET not in f"{refused.value!r} {refused.value.user_message}"


@pytest.fixture
def sim():
    with Simulator() as simulator:
        yield simulator


def app_of(sim, **wishes):
    """What a person enters of an App who does not know where its installation's number stands."""
    made = sim.add_app({"account": "acme", **wishes})
    return made["installation_id"], NewCredential(
        name="acme",
        kind=Credential.Kind.APP,
        secret=made["private_key"],
        api_url=sim.api_url,
        app_id=made["client_id"],
    )


def test_an_apps_installation_is_looked_up_where_none_was_entered(sim):
    number, app = app_of(sim)
    web_url = f"{sim.url}/acme"

    with wiring.client_with(app) as github:
        found = connecting.with_installation(app, web_url, github=github)
        entered = replace(app, installation_id=5)
        assert connecting.with_installation(entered, web_url, github=github) is entered
    with wiring.client_with(found) as github:
        connection = connect(github, web_url, found)

    assert connection.credential.installation_id == number
    assert connection.verdict.usable


def test_an_app_that_is_not_installed_there_is_told_so_and_not_stored(sim):
    _, app = app_of(sim)
    web_url = f"{sim.url}/elsewhere"

    with wiring.client_with(app) as github:
        assert connecting.with_installation(app, web_url, github=github) == app
        with pytest.raises(CredentialRefused) as refused:
            connect(github, web_url, app)

    assert refused.value.code is VerdictCode.APP_NOT_INSTALLED
    assert Credential.objects.count() == 0

"""What an admin does to scopes and credentials: webhook secret, runner group, dates, removal."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse

from runners import wiring
from runners.github.errors import GitHubUnavailable
from runners.models import Credential, Event, Scope
from tests.factories import NOW, CredentialFactory, ScopeFactory
from tests.fakes import FakeGitHub
from tests.views.conftest import HTMX
from tests.views.dom import parse

pytestmark = pytest.mark.django_db
CREDENTIALS = reverse("credential-list")


@pytest.fixture
def admin(sign_in):
    return sign_in("admin")


@pytest.fixture
def scope():
    return ScopeFactory(kind="organization", slug="acme")


@pytest.fixture
def github(monkeypatch):
    fake = FakeGitHub()
    monkeypatch.setattr(wiring, "github_client", lambda scope: fake)
    return fake


def at(name, row):
    return reverse(name, args=[row.pk])


def main_text(response):
    return parse(response.content).one("main").text


def test_webhook_secret_is_shown_once_with_its_address(admin, scope):
    asked = admin.get(at("scope-webhook", scope))
    assert Scope.objects.get().webhook_secret_encrypted == ""

    made = admin.post(at("scope-webhook", scope))

    secret = wiring.vault().decrypt(Scope.objects.get().webhook_secret_encrypted)
    page = parse(made.content)
    assert asked.status_code == 200
    assert page.by_id("webhook-secret").text == secret
    assert page.by_id("webhook-address").text.endswith(f"/webhooks/{scope.pk}/")
    assert "no-store" in made["Cache-Control"]
    assert secret.encode() not in admin.get(scope.get_absolute_url()).content


def test_webhook_secret_is_removed(admin, scope):
    admin.post(at("scope-webhook", scope))
    assert "Replace secret" in main_text(admin.get(scope.get_absolute_url()))

    response = admin.post(at("scope-webhook-remove", scope), follow=True)

    assert Scope.objects.get().webhook_secret_encrypted == ""
    assert "Make secret" in main_text(response)


def test_viewer_sees_no_way_to_change_a_scope(viewer, scope):
    text = main_text(viewer.get(scope.get_absolute_url()))

    assert "Make secret" not in text
    assert "Change" not in text


def test_runner_group_is_chosen_from_githubs(admin, scope, github):
    page = parse(admin.get(at("scope-group", scope)).content)
    assert [option.text for option in page.by_id("id_group").all("option")] == ["Default (#1)"]

    response = admin.post(at("scope-group", scope), {"group": "1"})

    assert response["Location"] == scope.get_absolute_url()


def test_runner_group_that_is_not_offered_is_refused(admin, scope, github):
    response = admin.post(at("scope-group", scope), {"group": "7"})

    assert (response.status_code, Scope.objects.get().runner_group_id) == (422, 1)


def test_known_runner_group_is_offered_while_github_is_away(admin, github, monkeypatch):
    scope = ScopeFactory(
        kind="organization", slug="acme", runner_group_id=7, runner_group_name="Builders"
    )

    def away(scope):
        raise GitHubUnavailable("GitHub cannot be reached.")

    monkeypatch.setattr(github, "list_self_hosted_runner_groups", away)
    page = parse(admin.get(at("scope-group", scope)).content)

    assert [option.text for option in page.by_id("id_group").all("option")] == ["Builders (#7)"]
    assert "GitHub cannot be reached." in page.one("main").text


def test_runner_group_is_offered_when_the_secret_cannot_be_read(admin):
    credential = CredentialFactory(secret_encrypted="sealed with a key nobody has")
    scope = ScopeFactory(kind="organization", slug="acme", credential=credential)

    text = main_text(admin.get(at("scope-group", scope)))

    assert "Add the old key" in text


def test_scope_is_unknown_when_no_pass_came_to_an_end(viewer):
    stale = NOW - wiring.github_stale_after() - timedelta(seconds=1)
    scope = ScopeFactory(created_at=stale, github_seen_at=stale)

    text = main_text(viewer.get(scope.get_absolute_url()))

    assert "Unknown" in text
    assert "Is the worker running?" in text


def test_credential_nobody_uses_is_removed(admin):
    credential = CredentialFactory()

    response = admin.post(at("credential-remove", credential), {"reason": "Old"})

    assert response["Location"] == CREDENTIALS
    assert not Credential.objects.exists()
    assert Event.objects.get(action="credential.remove").reason == "Old"


def test_credential_in_use_is_kept_and_says_for_whom(admin, scope):
    response = admin.post(at("credential-remove", scope.credential), headers=HTMX)

    assert response.status_code == 409
    assert b"speaks for acme" in response.content
    assert Credential.objects.exists()


def test_day_to_replace_a_key_is_saved_and_counted_down(admin):
    credential = CredentialFactory(kind="app")
    day = (NOW + timedelta(days=30)).date()

    admin.post(at("credential-replace-by", credential), {"day": day.isoformat()})

    row = Credential.objects.get()
    assert row.expires_at is not None
    assert row.expires_at.date() == day
    asked = parse(admin.get(at("credential-replace-by", credential)).content)
    assert asked.by_id("id_day")["value"] == day.isoformat()


@pytest.mark.parametrize(("kind", "days"), [("app", -1), ("token", 30)])
def test_day_that_cannot_be_is_refused(admin, kind, days):
    credential = CredentialFactory(kind=kind)
    day = (NOW + timedelta(days=days)).date()

    response = admin.post(at("credential-replace-by", credential), {"day": day.isoformat()})

    assert (response.status_code, Credential.objects.get().expires_at) == (422, None)

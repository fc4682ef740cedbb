"""Settings: scopes, credentials, enrolment codes and the environment."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse

from runners import wiring
from runners.github.errors import GitHubUnavailable
from runners.github.urls import ScopePath
from runners.models import Credential, EnrolmentCode, Event, Scope
from tests.factories import (
    NOW,
    CredentialFactory,
    EnrolmentCodeFactory,
    HostFactory,
    PoolFactory,
    RunnerFactory,
    RunnerPackageFactory,
    ScopeFactory,
)
from tests.fakes import FakeGitHub
from tests.views.conftest import HTMX
from tests.views.dom import parse

pytestmark = pytest.mark.django_db
SCOPES, NEW_SCOPE = reverse("scope-list"), reverse("scope-new")
CREDENTIALS, NEW_CREDENTIAL = reverse("credential-list"), reverse("credential-new")
CODES = reverse("code-list")
SECRET = f"ghp_{'s' * 36}"
NEW_SECRET = f"ghp_{'n' * 36}"


@pytest.fixture
def admin(sign_in):
    return sign_in("admin")


@pytest.fixture
def github(monkeypatch):
    """The GitHub behind every stored credential."""
    fake = FakeGitHub()
    monkeypatch.setattr(wiring, "client_for", lambda credential: fake)
    return fake


def rows(page):
    return [row.text for row in page.one("tbody").all("tr")]


def toasts(page):
    return [toast.one("b").text for toast in page.by_id("messages").all("div")]


# The way in


def test_settings_begin_with_the_scopes(viewer):
    assert viewer.get(reverse("settings"))["Location"] == SCOPES


@pytest.mark.parametrize(
    ("role", "sections"),
    [
        ("viewer", ["Scopes", "Deliveries"]),
        ("operator", ["Scopes", "Deliveries", "Enrolment codes", "Doctor"]),
        (
            "admin",
            [
                "Scopes",
                "Deliveries",
                "Credentials",
                "Enrolment codes",
                "Members",
                "Environment",
                "Doctor",
            ],
        ),
    ],
)
def test_a_role_sees_the_sections_it_may_open(sign_in, role, sections):
    page = parse(sign_in(role).get(SCOPES).content)

    assert [link.text for link in page.by_id("settings-sections").all("a")] == sections


# Scopes


def test_a_scope_tells_whether_github_answers(viewer):
    ScopeFactory(slug="acme", github_seen_at=NOW - timedelta(seconds=8))
    ScopeFactory(slug="busy", github_unknown_since=NOW - timedelta(minutes=6))
    ScopeFactory(slug="new")

    found = rows(parse(viewer.get(SCOPES).content))

    assert [
        "Answers 8 s ago" in found[0],
        "Unknown since 6 min ago" in found[1],
        "Not asked yet" in found[2],
    ] == [True] * 3


def test_a_scope_counts_what_registers_there_now(viewer):
    scope = ScopeFactory(foreign_runners=2)
    RunnerFactory(scope=scope)
    RunnerFactory(scope=scope, removed=True)
    PoolFactory(scope=scope)
    PoolFactory(scope=scope)

    cells = [cell.text for cell in parse(viewer.get(SCOPES).content).one("tbody").all("td")]

    assert cells[-3:] == ["1", "2", "2"]


def test_a_scope_page_tells_githubs_side(viewer):
    credential = CredentialFactory(
        name="acme-app",
        verdict="expiring",
        verdict_message="It expires in 9 days.",
        verdict_fix="Replace it.",
        budget_limit=5000,
        budget_remaining=4900,
    )
    scope = ScopeFactory(
        credential=credential, github_unknown_since=NOW, github_error="No answer (502)."
    )
    RunnerPackageFactory(scope=scope, version="2.336.0")

    text = parse(viewer.get(scope.get_absolute_url()).content).one("main").text

    for words in (
        "No answer (502).",
        "It expires in 9 days. Replace it.",
        "4900 of 5000",
        "2.336.0",
    ):
        assert words in text


def test_a_viewer_finds_no_button_to_change_a_scope(viewer):
    page = parse(viewer.get(ScopeFactory().get_absolute_url()).content)

    assert page.all("a", class_="btn is-danger") == []


def test_another_scope_is_added_when_its_credential_may(admin, github):
    credential = CredentialFactory()

    response = admin.post(
        NEW_SCOPE,
        {
            "web_url": "https://github.com/acme/web",
            "credential": credential.pk,
            "runner_group_id": "3",
            "runner_group_name": "Release",
        },
    )

    scope = Scope.objects.get()
    assert response["Location"] == scope.get_absolute_url()
    assert (scope.slug, scope.runner_group_id) == ("acme/web", 3)


def test_a_scope_that_the_credential_may_not_see_is_refused(admin, github):
    github.hide(ScopePath.organization("acme"))
    entered = {
        "web_url": "https://github.com/acme",
        "credential": CredentialFactory().pk,
        "runner_group_id": "1",
        "runner_group_name": "Default",
    }

    response = admin.post(NEW_SCOPE, entered)

    page = parse(response.content)
    assert response.status_code == 422
    assert page.one(class_="callout").text
    assert page.by_id("id_web_url")["value"] == "https://github.com/acme"
    assert Scope.objects.count() == 0


def test_without_a_credential_set_up_comes_first(admin):
    page = parse(admin.get(NEW_SCOPE).content)

    assert page.one("main").one("a", class_="btn is-primary")["href"] == reverse("setup")


def test_a_scope_nobody_uses_is_removed(admin):
    scope = ScopeFactory()

    response = admin.post(reverse("scope-remove", args=[scope.pk]), {"reason": "Moved"})

    assert response["Location"] == SCOPES
    assert Scope.objects.count() == 0
    assert Event.objects.get(action="scope.remove").reason == "Moved"


def test_a_scope_with_runners_stays_and_says_why(admin):
    scope = RunnerFactory().scope

    response = admin.post(reverse("scope-remove", args=[scope.pk]), follow=True)

    assert "still has runners" in toasts(parse(response.content))[0]
    assert Scope.objects.count() == 1


@pytest.mark.parametrize("count", [3, 30])
def test_scopes_cost_the_same_however_many(viewer, django_assert_num_queries, count):
    for _ in range(count):
        RunnerFactory(scope=ScopeFactory())

    with django_assert_num_queries(6):
        viewer.get(SCOPES)


# Credentials


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "Not checked yet"),
        ({"verdict": "valid"}, "All granted"),
        ({"verdict": "too-broad", "verdict_message": "It may do more."}, "Too broad It may do"),
        ({"verdict": "invalid", "verdict_fix": "Make a new one."}, "Invalid Make a new one."),
        ({"verdict": "unknown", "verdict_message": "No answer."}, "Unknown No answer."),
        ({"verdict": "of-tomorrow"}, "of-tomorrow"),
    ],
)
def test_a_verdict_is_said_with_its_fix(admin, facts, words):
    CredentialFactory(**facts)

    assert words in rows(parse(admin.get(CREDENTIALS).content))[0]


@pytest.mark.parametrize(
    ("left", "state", "word"),
    [
        (timedelta(days=15), "ok", "In 15 days"),
        (timedelta(days=14), "warning", "In 14 days"),
        (timedelta(days=1, hours=2), "warning", "In 1 day"),
        (timedelta(hours=2), "warning", "Within a day"),
        (timedelta(hours=-2), "failure", "Expired"),
    ],
)
def test_days_to_an_expiry_are_counted_and_two_weeks_warn(admin, left, state, word):
    CredentialFactory(expires_at=NOW + left)

    page = parse(admin.get(CREDENTIALS).content)

    shown = page.one("tbody").all("span", class_="status")[-1]
    assert (shown["data-state"], shown.text) == (state, word)


@pytest.mark.parametrize(("kind", "word"), [("token", "No end known"), ("app", "No day set")])
def test_a_credential_without_an_end_says_so(admin, kind, word):
    CredentialFactory(kind=kind)

    assert word in rows(parse(admin.get(CREDENTIALS).content))[0]


def test_a_credential_is_stored_sealed_and_never_shown(admin):
    response = admin.post(
        NEW_CREDENTIAL,
        {
            "name": "acme-token",
            "kind_choice": "token",
            "token": SECRET,
            "api_url": "https://ghe.example.com/api/v3",
        },
        follow=True,
    )

    credential = Credential.objects.get()
    assert SECRET not in credential.secret_encrypted
    assert wiring.vault().decrypt(credential.secret_encrypted) == SECRET
    assert credential.api_url == "https://ghe.example.com/api/v3"
    assert SECRET.encode() not in response.content


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": ""}, "Give it a name."),
        ({"token": ""}, "Paste the token."),
        ({"api_url": "http://ghe.example.com/api/v3"}, "Use https"),
        ({"name": "taken"}, "There is a credential named taken already."),
        ({"token": "ghs_installation"}, "it dies within the hour"),
    ],
)
def test_a_credential_that_cannot_be_is_refused_without_its_secret(admin, changes, words):
    CredentialFactory(name="taken")
    entered = {"name": "mine", "kind_choice": "token", "token": SECRET, **changes}

    response = admin.post(NEW_CREDENTIAL, entered)

    assert response.status_code == 422
    assert words in parse(response.content).one("main").text
    assert SECRET.encode() not in response.content


def test_a_secret_is_replaced_and_checked(admin, github):
    credential = CredentialFactory(secret_encrypted=wiring.vault().encrypt(SECRET))
    ScopeFactory(credential=credential)

    admin.post(reverse("credential-replace", args=[credential.pk]), {"token": NEW_SECRET})

    credential.refresh_from_db()
    assert wiring.vault().decrypt(credential.secret_encrypted) == NEW_SECRET
    assert credential.verdict_at == NOW
    assert Event.objects.filter(action="credential.replace").exists()


def test_an_apps_key_is_asked_for_instead_of_a_token(admin):
    credential = CredentialFactory(kind="app", app_id="Iv1", installation_id=7)

    page = parse(admin.get(reverse("credential-replace", args=[credential.pk])).content)

    assert page.by_id("id_private_key").name == "textarea"
    assert page.all(id="id_token") == []


def test_an_empty_secret_replaces_nothing(admin):
    credential = CredentialFactory(secret_encrypted="sealed")

    response = admin.post(reverse("credential-replace", args=[credential.pk]), {"token": ""})

    credential.refresh_from_db()
    assert response.status_code == 422
    assert credential.secret_encrypted == "sealed"


def test_a_check_notes_what_github_says_now(admin, github):
    credential = CredentialFactory(verdict="invalid")
    ScopeFactory(credential=credential)

    response = admin.post(reverse("credential-check", args=[credential.pk]), headers=HTMX)

    credential.refresh_from_db()
    assert credential.verdict != "invalid"
    assert toasts(parse(response.content)) == [credential.verdict_message]


def test_a_check_that_cannot_reach_github_is_unknown_and_not_bad(admin, github):
    credential = CredentialFactory(verdict="valid")
    ScopeFactory(credential=credential)
    github.fail_next("get_authenticated_user", GitHubUnavailable("It did not answer."))

    admin.post(reverse("credential-check", args=[credential.pk]))

    credential.refresh_from_db()
    assert credential.verdict == "unknown"


def test_a_credential_without_a_scope_waits_for_one(admin, github):
    credential = CredentialFactory()

    response = admin.post(reverse("credential-check", args=[credential.pk]), follow=True)

    assert toasts(parse(response.content)) == ["It is checked once a scope uses it."]


def test_a_secret_that_no_key_opens_is_a_conflict_with_its_fix(admin):
    credential = CredentialFactory(secret_encrypted="garbage")
    ScopeFactory(credential=credential)

    response = admin.post(reverse("credential-check", args=[credential.pk]))

    assert response.status_code == 409
    assert "FLEET_SECRET_KEY" in parse(response.content).one("main").text


# Enrolment codes


def test_codes_are_listed_by_what_became_of_them(operator):
    host = HostFactory(name="forge-01")
    EnrolmentCodeFactory(created_at=NOW)
    EnrolmentCodeFactory(created_at=NOW - timedelta(1), used_at=NOW, host=host)
    EnrolmentCodeFactory(created_at=NOW - timedelta(2), revoked_at=NOW)
    EnrolmentCodeFactory(created_at=NOW - timedelta(3), expires_at=NOW)

    statuses = parse(operator.get(CODES).content).one("tbody").all("td", data_c="status")

    assert [status.text for status in statuses] == [
        "Waiting for a machine",
        "Used",
        "Revoked",
        "Expired unused",
    ]


def test_an_open_code_is_revoked(operator):
    code = EnrolmentCodeFactory()

    response = operator.post(reverse("code-revoke", args=[code.pk]), headers=HTMX)

    assert EnrolmentCode.objects.get().revoked_at == NOW
    assert "Revoked" in parse(response.content).by_id("codes").text


def test_a_used_code_is_not_revoked(operator):
    code = EnrolmentCodeFactory(used_at=NOW)

    response = operator.post(reverse("code-revoke", args=[code.pk]))

    assert response.status_code == 409


@pytest.mark.parametrize("count", [3, 25])
def test_codes_cost_the_same_however_many(operator, django_assert_num_queries, count):
    for _ in range(count):
        EnrolmentCodeFactory(host=HostFactory())

    with django_assert_num_queries(7):
        operator.get(CODES)


# The environment


def test_the_environment_shows_what_is_in_force_and_where_it_is_from(admin):
    page = parse(admin.get(reverse("environment")).content)

    row = next(row for row in page.one("tbody").all("tr") if "FLEET_HEARTBEAT_SECONDS" in row.text)
    assert [cell.text for cell in row.all("td")][1:] == ["30", "default", "1 to 600 seconds"]


def test_secrets_of_the_environment_are_masked(admin, settings):
    response = admin.get(reverse("environment"))

    row = next(
        row
        for row in parse(response.content).one("tbody").all("tr")
        if row.text.startswith("FLEET_SECRET_KEY")
    )
    assert row.all("td")[1].text == "********"
    for key in settings.FLEET_SECRET_KEYS:
        assert key.encode() not in response.content

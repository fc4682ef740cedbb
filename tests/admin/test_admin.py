"""Django admin: every table is there to be read, by auditors and admins, and by nobody changed."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from runners import audit
from runners.access import Role, grant_role
from runners.audit import Actor
from runners.models import Credential, EnrolmentCode, Event, Host, Scope
from tests.factories import (
    NOW,
    CredentialFactory,
    EnrolmentCodeFactory,
    HostFactory,
    JobFactory,
    PoolFactory,
    RunnerFactory,
    ScopeFactory,
    UserFactory,
    give_token,
)

pytestmark = pytest.mark.django_db

OURS = [
    model
    for model in apps.get_models()
    if model._meta.app_label == "runners" and not model._meta.auto_created
]
REGISTERED = sorted(admin.site._registry, key=lambda model: model._meta.label)
READ_ONLY = [model for model in REGISTERED if model is not User]
SECRET_COLUMNS = {
    Host: {"token_sha256", "next_token_sha256"},
    Credential: {"secret_encrypted"},
    Scope: {"webhook_secret_encrypted", "webhook_secret_previous_encrypted"},
    EnrolmentCode: {"sha256"},
}


def browser(role: Role | None, *, superuser: bool = False) -> Client:
    user = UserFactory(is_superuser=superuser, is_staff=superuser)
    if role is not None:
        grant_role(user, role)
    client = Client()
    client.force_login(user)
    return client


def url_of(model, page, *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_every_table_of_ours_is_registered(model):
    assert model in admin.site._registry


@pytest.mark.parametrize("model", REGISTERED, ids=lambda model: model._meta.label)
def test_an_auditor_reads_every_table(model):
    assert browser(Role.AUDITOR).get(url_of(model, "changelist")).status_code == 200


@pytest.mark.parametrize("superuser", [False, True])
@pytest.mark.parametrize("model", READ_ONLY, ids=lambda model: model._meta.label)
def test_nobody_adds_a_row(model, superuser):
    client = browser(Role.ADMIN, superuser=superuser)

    assert client.get(url_of(model, "add")).status_code == 403


@pytest.mark.parametrize("verb", ["change", "delete"])
def test_nobody_changes_or_deletes_an_event(verb):
    event = audit.record(HostFactory(), "host.cordon", by=Actor.system("test"), at=NOW)

    response = browser(Role.ADMIN, superuser=True).post(
        url_of(Event, verb, event.pk), {"post": "yes", "action": "x"}
    )

    assert response.status_code == 403
    assert Event.objects.get(pk=event.pk).action == "host.cordon"


def test_no_action_is_offered_on_rows():
    HostFactory()

    response = browser(Role.ADMIN, superuser=True).get(url_of(Host, "changelist"))

    assert b'name="action"' not in response.content


@pytest.mark.parametrize("role", [None, Role.VIEWER, Role.OPERATOR])
def test_other_roles_do_not_get_in(role):
    response = browser(role).get(reverse("admin:index"))

    assert response.status_code == 302
    assert "login" in response["Location"]


def test_staff_without_a_role_sees_no_table():
    user = UserFactory(is_staff=True)
    client = Client()
    client.force_login(user)

    assert client.get(url_of(Event, "changelist")).status_code == 403


@pytest.mark.parametrize(
    "make",
    [
        HostFactory,
        CredentialFactory,
        ScopeFactory,
        EnrolmentCodeFactory,
        RunnerFactory,
        PoolFactory,
        JobFactory,
    ],
)
def test_a_row_opens(make):
    row = make()

    response = browser(Role.AUDITOR).get(url_of(type(row), "change", row.pk))

    assert response.status_code == 200


@pytest.mark.parametrize("model", SECRET_COLUMNS, ids=lambda model: model.__name__)
def test_columns_of_secrets_are_left_out(rf, model):
    request = rf.get("/")
    request.user = UserFactory(is_superuser=True, is_staff=True)
    table = admin.site._registry[model]

    shown = set(table.get_fields(request)) | set(table.list_display)

    assert not shown & SECRET_COLUMNS[model]


def test_no_digest_and_no_ciphertext_is_in_a_page():
    host = HostFactory()
    give_token(host)
    credential = CredentialFactory(secret_encrypted="ciphertext-of-the-secret")
    code = EnrolmentCodeFactory()
    client = browser(Role.ADMIN, superuser=True)

    pages = b"".join(
        client.get(url_of(type(row), "change", row.pk)).content for row in (host, credential, code)
    )

    for secret in (host.token_sha256, "ciphertext-of-the-secret", code.sha256):
        assert secret.encode() not in pages


@pytest.mark.parametrize("words", ["forge-77", "kernel", "ops-oncall", "host.drain"])
def test_events_are_searched_by_object_reason_actor_and_action(words):
    by = Actor(Event.ActorKind.USER, "ops-oncall")
    audit.record(HostFactory(name="forge-77"), "host.drain", by=by, at=NOW, reason="kernel")
    audit.record(HostFactory(name="other"), "host.online", by=Actor.system("x"), at=NOW)

    response = browser(Role.AUDITOR).get(url_of(Event, "changelist"), {"q": words})

    assert [event.object_name for event in response.context["cl"].result_list] == ["forge-77"]


def test_events_are_narrowed_by_day():
    audit.record(HostFactory(name="then"), "host.online", by=Actor.system("x"), at=NOW)

    found = browser(Role.AUDITOR).get(url_of(Event, "changelist"), {"at__year": "2026"})
    nothing = browser(Role.AUDITOR).get(url_of(Event, "changelist"), {"at__year": "2020"})

    assert (len(found.context["cl"].result_list), len(nothing.context["cl"].result_list)) == (1, 0)


# Members


def test_an_admin_changes_a_member_and_leaves_an_event():
    member = UserFactory(username="dev-lea")

    response = browser(Role.ADMIN).post(
        url_of(User, "change", member.pk),
        {
            "username": "dev-lena",
            "is_active": "on",
            "date_joined_0": "2026-11-23",
            "date_joined_1": "12:00:00",
        },
    )

    assert response.status_code == 302
    event = Event.objects.get(action="user.change")
    assert (event.object_name, event.reason) == ("dev-lena", "In Django admin")


def test_an_admin_sets_a_password_and_leaves_an_event():
    member = UserFactory()
    words = "a long passphrase nobody guesses"

    browser(Role.ADMIN).post(
        reverse("admin:auth_user_password_change", args=[member.pk]),
        {"password1": words, "password2": words, "usable_password": "true"},
    )

    member.refresh_from_db()
    assert member.check_password(words)
    assert Event.objects.filter(action="user.change", object_id=member.pk).exists()


def test_an_auditor_reads_members_but_not_their_password_hashes():
    member = UserFactory()

    response = browser(Role.AUDITOR).get(url_of(User, "change", member.pk))

    assert response.status_code == 200
    assert member.password.encode() not in response.content
    assert b"md5$" not in response.content


def test_an_auditor_changes_no_member():
    member = UserFactory(username="dev-lea")

    response = browser(Role.AUDITOR).post(
        url_of(User, "change", member.pk), {"username": "changed"}
    )

    member.refresh_from_db()
    assert response.status_code == 403
    assert member.username == "dev-lea"


def test_no_member_is_deleted_even_by_a_superuser():
    member = UserFactory()

    client = browser(Role.ADMIN, superuser=True)

    assert client.post(url_of(User, "delete", member.pk), {"post": "yes"}).status_code == 403


def test_the_four_roles_exist_from_the_start():
    assert set(Group.objects.values_list("name", flat=True)) >= {role.value for role in Role}

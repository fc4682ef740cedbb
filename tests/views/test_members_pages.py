"""Settings: members, their roles and the links by which they set a password."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from runners.access import Role, grant_role, role_of
from runners.models import Event
from tests.factories import UserFactory
from tests.views.conftest import HTMX
from tests.views.dom import parse

pytestmark = pytest.mark.django_db
LIST, NEW = reverse("member-list"), reverse("member-new")


@pytest.fixture
def admin(sign_in):
    return sign_in("admin")


def url_of(verb, user):
    return reverse(f"member-{verb}", args=[user.pk])


def link_in(response):
    return parse(response.content).by_id("member-link").text


def test_members_are_listed_with_their_role(admin):
    user = UserFactory(username="dev-lea", role="operator")

    row = parse(admin.get(LIST).content).by_id(f"member-{user.pk}")

    assert row.by_id(f"role-{user.pk}").one("option", value="operator").has("selected")
    assert "never" in row.text


def test_somebody_without_a_role_is_shown_so(admin):
    user = UserFactory()

    row = parse(admin.get(LIST).content).by_id(f"member-{user.pk}")

    assert row.by_id(f"role-{user.pk}").all("option")[0].text == "No role"


def test_a_superusers_role_is_not_for_this_page(admin):
    user = UserFactory(is_superuser=True)

    row = parse(admin.get(LIST).content).by_id(f"member-{user.pk}")

    assert "Admin (superuser)" in row.text
    assert row.all("select") == []


@pytest.mark.parametrize("count", [3, 30])
def test_members_cost_the_same_however_many(admin, django_assert_num_queries, count):
    for _ in range(count):
        UserFactory(role="viewer")

    with django_assert_num_queries(7):
        admin.get(LIST)


# Adding


def test_a_new_member_gets_a_role_and_a_link_and_no_password(admin):
    response = admin.post(NEW, {"username": "dev-lea", "email": "", "role": "operator"})

    user = User.objects.get(username="dev-lea")
    assert role_of(user) == Role.OPERATOR
    assert not user.has_usable_password()
    assert "no-store" in response["Cache-Control"]
    assert link_in(response).startswith("http://127.0.0.1:8000/accounts/password/")
    assert Event.objects.get(action="user.create").became == "operator"


def test_an_auditor_may_open_the_records(admin):
    admin.post(NEW, {"username": "auditor-ro", "role": "auditor"})

    assert User.objects.get(username="auditor-ro").is_staff


@pytest.mark.parametrize(
    ("entered", "words"),
    [
        ({"username": "taken", "role": "viewer"}, "already exists"),
        ({"username": "no blanks", "role": "viewer"}, "valid username"),
        ({"username": "", "role": "viewer"}, "required"),
        ({"username": "x", "role": "king"}, "king"),
        ({"username": "x", "role": "viewer", "email": "nonsense"}, "email"),
    ],
)
def test_a_member_who_cannot_be_is_refused(admin, entered, words):
    UserFactory(username="taken")

    response = admin.post(NEW, entered)

    assert response.status_code == 422
    assert words in parse(response.content).one("main").text


def test_the_link_sets_a_password_once(admin):
    words = "a long passphrase nobody guesses"
    link = link_in(admin.post(NEW, {"username": "dev-lea", "role": "viewer"}))
    path = link.removeprefix("http://127.0.0.1:8000")
    stranger = Client()

    form = stranger.get(path, follow=True)
    stranger.post(form.redirect_chain[-1][0], {"new_password1": words, "new_password2": words})

    assert User.objects.get(username="dev-lea").check_password(words)
    again = Client().get(path, follow=True)
    assert "This link is spent" in parse(again.content).text


def test_a_weak_password_is_refused_beside_its_field(admin):
    link = link_in(admin.post(NEW, {"username": "dev-lea", "role": "viewer"}))
    stranger = Client()
    form = stranger.get(link.removeprefix("http://127.0.0.1:8000"), follow=True)

    response = stranger.post(
        form.redirect_chain[-1][0], {"new_password1": "12345", "new_password2": "12345"}
    )

    assert "too short" in parse(response.content).by_id("id_new_password2_error").text
    assert not User.objects.get(username="dev-lea").has_usable_password()


def test_a_member_who_lost_their_password_gets_another_link(admin):
    user = UserFactory(role="viewer")

    response = admin.post(url_of("link", user))

    assert link_in(response)
    assert Event.objects.get(action="user.link").object_name == user.username


# Changing


def test_a_role_is_changed_and_recorded(admin):
    user = UserFactory(role="viewer")

    admin.post(url_of("role", user), {"role": "operator"})

    event = Event.objects.get(action="user.role")
    assert role_of(User.objects.get(pk=user.pk)) == Role.OPERATOR
    assert (event.was, event.became) == ("viewer", "operator")


def test_the_same_role_again_is_no_event(admin):
    user = UserFactory(role="viewer")

    admin.post(url_of("role", user), {"role": "viewer"})

    assert not Event.objects.filter(action="user.role").exists()


def test_a_role_that_is_none_is_refused(admin):
    response = admin.post(url_of("role", UserFactory(role="viewer")), {"role": "king"})

    assert response.status_code == 422
    assert "Choose one of the four roles." in parse(response.content).one("main").text


def test_the_list_comes_back_fresh_for_htmx(admin):
    user = UserFactory(role="viewer")

    page = parse(admin.post(url_of("role", user), {"role": "operator"}, headers=HTMX).content)

    assert (
        page.by_id("members")
        .by_id(f"role-{user.pk}")
        .one("option", value="operator")
        .has("selected")
    )


def test_the_last_admin_stays_admin():
    only = UserFactory()
    grant_role(only, Role.ADMIN)
    client = Client()
    client.force_login(only)

    demoted = client.post(url_of("role", only), {"role": "viewer"})
    switched_off = client.post(url_of("deactivate", only))

    only.refresh_from_db()
    assert (demoted.status_code, switched_off.status_code) == (409, 409)
    assert only.is_active
    assert role_of(User.objects.get(pk=only.pk)) == Role.ADMIN


def test_an_admin_leaves_when_another_stays(admin):
    other = UserFactory()
    grant_role(other, Role.ADMIN)

    admin.post(url_of("role", other), {"role": "viewer"})

    assert role_of(User.objects.get(pk=other.pk)) == Role.VIEWER


def test_switching_off_can_be_undone(admin):
    user = UserFactory(role="viewer")

    response = admin.post(url_of("deactivate", user), follow=True)
    off = User.objects.get(pk=user.pk).is_active
    admin.post(parse(response.content).by_id("messages").one("form")["action"])

    assert (off, User.objects.get(pk=user.pk).is_active) == (False, True)
    assert set(Event.objects.values_list("action", flat=True)) == {
        "user.deactivate",
        "user.activate",
    }

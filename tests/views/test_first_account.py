"""A new installation: nobody has an account, and a link leads to the first."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from runners import members
from runners.access import Role, grant_role, role_of
from runners.audit import Actor
from runners.models import Event
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery staple"
NOBODY = "Nobody has an account yet"


def first_admin():
    return members.first_admin(by=Actor.system("test"), now=timezone.now())


def person_with_password(**fields):
    user = UserFactory(**fields)
    user.set_password(PASSWORD)
    user.save()
    return user


def test_first_person_sets_a_password_by_link_and_is_admin():
    client, admin = Client(), first_admin()
    form = client.get(members.password_link(admin), follow=True)

    passwords = {"new_password1": PASSWORD, "new_password2": PASSWORD}
    client.post(form.redirect_chain[-1][0], passwords)

    assert client.login(username="admin", password=PASSWORD)
    assert client.get(reverse("setup")).status_code == 200
    assert role_of(User.objects.get()) == Role.ADMIN


def test_link_that_was_never_used_is_made_again_for_the_same_person():
    first_admin()

    assert first_admin() == User.objects.get()
    assert Event.objects.filter(action="user.create").count() == 1


def test_link_is_spent_once_it_was_used():
    admin = first_admin()
    link = members.password_link(admin)
    admin.set_password(PASSWORD)
    admin.save()

    assert "This link is spent" in Client().get(link, follow=True).content.decode()


def test_no_account_is_made_where_somebody_can_sign_in():
    person_with_password()

    assert first_admin() is None
    assert User.objects.count() == 1


def test_one_who_may_not_sign_in_any_more_is_not_somebody():
    person_with_password(is_active=False)

    assert first_admin() is not None


def test_namesake_is_not_made_an_admin():
    namesake = User(username="admin")
    namesake.set_unusable_password()
    namesake.save()
    grant_role(namesake, Role.VIEWER)

    assert first_admin() is None
    assert role_of(User.objects.get()) == Role.VIEWER


def test_sign_in_page_says_how_to_begin_until_somebody_can_sign_in():
    begin = Client().get(reverse("login")).content.decode()
    person_with_password()
    later = Client().get(reverse("login")).content.decode()

    assert (NOBODY in begin, "create_fleet_user" in begin) == (True, True)
    assert NOBODY not in later

"""create_fleet_user: people, roles and passwords."""

import pytest
from django.contrib.auth.models import User

from runners.access import Role, role_of
from runners.models import Event

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery staple"


def create(manage, *arguments, stdin=PASSWORD):
    return manage("create_fleet_user", "ada", *arguments, stdin=stdin)


@pytest.mark.parametrize("role", list(Role))
def test_person_is_made_with_a_role_and_can_sign_in(role, manage, client):
    done = create(manage, "--role", role.value, "--email", "ada@example.com", "--json")

    user = User.objects.get()
    assert done.data == {"user": "ada", "role": role.value, "changed": True}
    assert (role_of(user), user.email) == (role, "ada@example.com")
    assert client.login(username="ada", password=PASSWORD)


def test_password_comes_from_a_file_too(manage, tmp_path, client):
    secret = tmp_path / "password"
    secret.write_text(f"{PASSWORD}\n")

    create(manage, "--password-file", str(secret), stdin="")

    assert client.login(username="ada", password=PASSWORD)


def test_role_is_changed_and_the_password_kept(manage, client):
    create(manage)
    password = User.objects.get().password

    done = create(manage, "--role", "admin", "--keep-password", stdin="")
    again = create(manage, "--role", "admin", "--keep-password", "--json", stdin="")

    user = User.objects.get()
    assert (role_of(user), user.password) == (Role.ADMIN, password)
    assert (done.out.strip(), again.data["changed"]) == ("ada is admin", False)
    events = Event.objects.order_by("pk").values_list("action", "was", "became")
    assert list(events) == [
        ("user.create", "", "viewer"),
        ("user.password", "", ""),
        ("user.role", "viewer", "admin"),
    ]


def test_password_is_replaced_and_written_in_no_event(manage, client):
    create(manage)
    newer = "another long pass phrase"

    create(manage, stdin=newer)

    assert client.login(username="ada", password=newer)
    assert newer not in f"{Event.objects.values_list()}"
    assert User.objects.count() == 1


@pytest.mark.parametrize("password", ["kX9w", "password123", "12345678901234"])
def test_weak_password_is_refused_without_repeating_it(password, manage):
    done = create(manage, stdin=password)

    assert (done.code, password in done.error) == (1, False)
    assert not User.objects.exists()


def test_nothing_typed_makes_nobody(manage):
    assert create(manage, stdin="").code == 1


def test_unusable_name_is_refused(manage):
    done = manage("create_fleet_user", "a da", stdin=PASSWORD)

    assert (done.code, User.objects.count()) == (1, 0)


def test_keeping_the_password_of_nobody_is_exit_code_three(manage):
    assert create(manage, "--keep-password").code == 3


def test_unknown_role_is_refused(manage):
    assert create(manage, "--role", "king").code == 1
    assert not User.objects.exists()


def test_last_admin_stays_one(manage):
    create(manage, "--role", "admin")

    done = create(manage, "--role", "viewer", "--keep-password", stdin="")

    assert (done.code, role_of(User.objects.get())) == (1, Role.ADMIN)


def test_address_is_changed_and_a_wrong_one_refused(manage):
    create(manage)

    good = create(manage, "--email", "ada@example.com", "--keep-password", "--json", stdin="")
    bad = create(manage, "--email", "nonsense", "--keep-password", stdin="")

    assert (good.data["changed"], bad.code) == (True, 1)
    assert User.objects.get().email == "ada@example.com"

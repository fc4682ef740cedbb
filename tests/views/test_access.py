"""Who gets through: every address against every role."""

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.test import Client, RequestFactory
from django.urls import reverse

from runners.access import Role, grant_role, may, role_of
from tests.factories import RunnerFactory, UserFactory
from tests.views.conftest import HTMX
from tests.views.dom import parse

PAGES = ("overview", "runner-list", "runner-detail")
ACTIONS = ("runner-drain", "runner-stop-drain", "runner-deregister", "runner-labels", "runner-bulk")
ONLY_POST = ("runner-stop-drain", "runner-bulk")
WITHOUT_KEY = ("overview", "runner-list", "runner-bulk")

pytestmark = pytest.mark.django_db


def address(name: str) -> str:
    return reverse(name) if name in WITHOUT_KEY else reverse(name, args=[RunnerFactory().pk])


@pytest.mark.parametrize("role", ["viewer", "auditor", "operator", "admin"])
@pytest.mark.parametrize("name", PAGES)
def test_every_role_reads_the_pages(sign_in, name, role):
    assert sign_in(role).get(address(name)).status_code == 200


@pytest.mark.parametrize("name", PAGES)
def test_somebody_without_a_role_reads_nothing(sign_in, name):
    response = sign_in("").get(address(name))

    assert response.status_code == 403
    assert "no role was given to you" in parse(response.content).one("main").text


@pytest.mark.parametrize("role", ["viewer", "auditor"])
@pytest.mark.parametrize("name", ACTIONS)
def test_a_reader_is_refused_every_action(sign_in, name, role):
    assert sign_in(role).post(address(name)).status_code == 403


def test_a_refusal_is_one_line_of_the_log_with_who_what_and_the_role_it_needs(sign_in, caplog):
    url = address("runner-drain")

    sign_in("viewer").post(url)

    [line] = caplog.records
    name = User.objects.get().username
    assert line.getMessage() == (
        f"Refused: {name}, role viewer, asked for POST {url}, which needs the role operator."
    )
    assert (line.levelname, line.exc_info) == ("WARNING", None)


@pytest.mark.parametrize("role", ["operator", "admin"])
@pytest.mark.parametrize("name", ACTIONS)
def test_an_operator_is_not_refused_for_the_role(sign_in, name, role):
    assert sign_in(role).post(address(name)).status_code != 403


@pytest.mark.parametrize("name", [*PAGES, *ACTIONS])
def test_a_stranger_is_sent_to_sign_in_and_back(name):
    url = address(name)

    response = Client().get(url)

    assert response.status_code == 302
    assert response["Location"] == f"{reverse('login')}?next={url}"


def test_a_stranger_asking_for_a_fragment_leaves_the_page_for_the_sign_in():
    headers = {**HTMX, "HX-Current-URL": "http://testserver/runners/?q=forge"}

    response = Client().get(reverse("runner-list"), headers=headers)

    assert response["HX-Redirect"] == f"{reverse('login')}?next=/runners/%3Fq%3Dforge"
    assert response.content == b""


@pytest.mark.parametrize("name", ONLY_POST)
def test_what_changes_something_at_once_takes_no_get(operator, name):
    assert operator.get(address(name)).status_code == 405


@pytest.mark.parametrize("name", PAGES)
def test_a_page_takes_no_post(operator, name):
    assert operator.post(address(name)).status_code == 405


@pytest.mark.parametrize("name", ["runner-detail", "runner-drain", "runner-labels", "runner-log"])
def test_a_missing_runner_is_not_found(operator, name):
    assert operator.get(reverse(name, args=[4711])).status_code == 404


def test_a_superuser_is_an_admin():
    assert role_of(UserFactory(is_superuser=True)) is Role.ADMIN


def test_the_strongest_of_several_roles_counts():
    user = UserFactory(role="viewer")
    user.groups.add(UserFactory(role="operator").groups.get())

    assert role_of(user) is Role.OPERATOR


def test_an_inactive_user_has_no_role():
    assert role_of(UserFactory(role="admin", is_active=False)) is None


def test_nobody_may_do_nothing():
    assert not may(AnonymousUser(), Role.VIEWER)


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("viewer", {Role.VIEWER, Role.AUDITOR}),
        ("auditor", {Role.VIEWER, Role.AUDITOR}),
        ("operator", {Role.VIEWER, Role.AUDITOR, Role.OPERATOR}),
        ("admin", {Role.VIEWER, Role.AUDITOR, Role.OPERATOR, Role.ADMIN}),
    ],
)
def test_a_role_may_do_what_the_weaker_ones_may(role, allowed):
    user = UserFactory(role=role)

    assert {needed for needed in Role if may(user, needed)} == allowed


def test_a_granted_role_replaces_the_one_before():
    user = UserFactory(role="admin")

    grant_role(user, Role.VIEWER)

    assert role_of(user) is Role.VIEWER


@pytest.mark.parametrize(
    ("role", "staff"),
    [(Role.VIEWER, False), (Role.OPERATOR, False), (Role.AUDITOR, True), (Role.ADMIN, True)],
)
def test_only_auditors_and_admins_open_django_admin(role, staff):
    user = UserFactory()

    grant_role(user, role)

    user.refresh_from_db()
    assert user.is_staff is staff


def test_a_role_is_read_once_a_request(django_assert_num_queries):
    user = UserFactory(role="operator")

    with django_assert_num_queries(1):
        assert role_of(user) is role_of(user)


def test_the_sign_in_page_signs_in_and_goes_where_it_was_asked_to():
    UserFactory(username="vera", role="viewer")

    response = Client().post(
        f"{reverse('login')}?next=/runners/",
        {"username": "vera", "password": "correct horse battery", "next": "/runners/"},
    )

    assert response["Location"] == "/runners/"


def test_a_wrong_password_says_so_and_keeps_the_name():
    UserFactory(username="vera")

    response = Client().post(reverse("login"), {"username": "vera", "password": "wrong"})

    page = parse(response.content)
    assert page.by_id("id_username")["value"] == "vera"
    assert "value" not in page.by_id("id_password").attributes
    assert "correct username and password" in page.one(role="alert").text


def test_signing_out_is_a_post_that_ends_the_session(viewer):
    assert viewer.get(reverse("logout")).status_code == 405

    viewer.post(reverse("logout"))

    assert viewer.get(reverse("overview")).status_code == 302


def test_the_404_page_has_the_frame_and_a_way_out(viewer):
    response = viewer.get("/nowhere/")

    page = parse(response.content)
    assert response.status_code == 404
    assert page.one("main").one("a")["href"] == reverse("overview")


def test_a_stranger_sees_no_navigation_on_a_404():
    page = parse(Client().get("/nowhere/").content)

    assert page.one("nav", aria_label="Main").all("a") == []


def test_the_500_page_needs_nothing_of_the_request():
    from django.views.defaults import server_error

    response = server_error(RequestFactory().get("/"))

    assert response.status_code == 500
    assert parse(response.content).one("h1").text == "Something broke"

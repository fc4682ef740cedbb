"""The first run: connect GitHub, add a host, provision; each step taken up where it was left."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse

from runners import tokens, wiring
from runners.github.errors import GitHubUnavailable
from runners.github.urls import ScopePath
from runners.models import Credential, EnrolmentCode, Event, Host, Scope
from runners.simulator import Simulator
from tests.factories import (
    NOW,
    CredentialFactory,
    EnrolmentCodeFactory,
    HostFactory,
    RunnerFactory,
    ScopeFactory,
)
from tests.fakes import FakeGitHub
from tests.views.conftest import HTMX
from tests.views.dom import parse

pytestmark = pytest.mark.django_db
SETUP = reverse("setup")
CONNECT = reverse("setup-github")
NEW_HOST = reverse("host-new")
SECRET = f"ghp_{'s' * 36}"


@pytest.fixture
def admin(sign_in):
    return sign_in("admin")


@pytest.fixture
def github(monkeypatch):
    """The GitHub that is asked about a new credential."""
    fake = FakeGitHub()
    monkeypatch.setattr(wiring, "client_with", lambda new: fake)
    return fake


def wait_url(code):
    return reverse("code-wait", args=[code.pk])


def token_form(**changes):
    return {
        "web_url": "https://github.com/acme",
        "kind_choice": "token",
        "token": SECRET,
        **changes,
    }


def current_step(page):
    return page.one("li", aria_current="step").one("h2").text


# Where one stands


@pytest.mark.parametrize(
    ("exists", "step"),
    [
        ([], "Connect GitHub"),
        ([ScopeFactory], "Add a host"),
        ([ScopeFactory, HostFactory], "Provision a runner"),
    ],
)
def test_the_step_to_take_is_what_does_not_exist_yet(admin, exists, step):
    for make in exists:
        make()

    assert current_step(parse(admin.get(SETUP).content)) == step


def test_a_host_counts_once_its_heartbeat_came(admin):
    ScopeFactory()
    HostFactory(enrolling=True)

    assert current_step(parse(admin.get(SETUP).content)) == "Add a host"


def test_when_all_is_there_it_says_so(admin):
    RunnerFactory()

    page = parse(admin.get(SETUP).content)

    assert page.one("h1").text == "Your fleet is ready."
    assert page.all("li", aria_current="step") == []


def test_an_operator_is_told_that_an_admin_connects(operator):
    page = parse(operator.get(SETUP).content)

    assert page.all("form", action=CONNECT) == []
    assert "An admin connects GitHub." in page.one("main").text


# Step one


def test_a_good_token_is_stored_with_its_scope_and_verdict(admin, github):
    response = admin.post(CONNECT, token_form())

    scope = Scope.objects.select_related("credential").get()
    assert response["Location"] == SETUP
    assert (scope.slug, scope.web_url) == ("acme", "https://github.com/acme")
    assert scope.credential.name == "acme"
    assert scope.credential.verdict != ""
    assert wiring.vault().decrypt(scope.credential.secret_encrypted) == SECRET


def test_an_app_is_connected_without_its_installations_number(admin):
    with Simulator() as sim:
        app = sim.add_app({"account": "acme"})
        form = {"kind_choice": "app", "app_id": app["client_id"], "private_key": app["private_key"]}

        response = admin.post(CONNECT, {"web_url": f"{sim.url}/acme", **form})

    assert response["Location"] == SETUP
    assert Credential.objects.get().installation_id == app["installation_id"]


def test_connecting_is_on_record(admin, github):
    admin.post(CONNECT, token_form())

    assert set(Event.objects.values_list("action", flat=True)) >= {"credential.create", "scope.add"}


def test_a_name_that_is_taken_gets_a_number(admin, github):
    CredentialFactory(name="acme")

    admin.post(CONNECT, token_form())

    assert Credential.objects.filter(name="acme-2").exists()


def test_an_enterprise_server_is_asked_at_its_own_address(admin, github):
    admin.post(CONNECT, token_form(web_url="https://ghe.example.com/acme/web"))

    assert Credential.objects.get().api_url == "https://ghe.example.com/api/v3"
    assert Scope.objects.get().kind == Scope.Kind.REPOSITORY


def test_a_token_that_github_refuses_is_not_stored_and_not_shown(admin, github):
    github.hide(ScopePath.organization("acme"))

    response = admin.post(CONNECT, token_form())

    page = parse(response.content)
    assert response.status_code == 422
    assert "Nothing was stored" in page.one(role="alert").text
    assert page.by_id("id_web_url")["value"] == "https://github.com/acme"
    assert SECRET.encode() not in response.content
    assert (Credential.objects.count(), Scope.objects.count()) == (0, 0)


def test_a_github_that_does_not_answer_is_said_and_nothing_is_stored(admin, github):
    github.fail_next("get_authenticated_user", GitHubUnavailable("It did not answer."))

    response = admin.post(CONNECT, token_form())

    assert response.status_code == 422
    assert Credential.objects.count() == 0


@pytest.mark.parametrize(
    ("changes", "where", "words"),
    [
        ({"web_url": ""}, "id_web_url_error", "Paste the address"),
        ({"web_url": "https://github.com"}, "id_web_url_error", "organization, a repository"),
        ({"web_url": "http://github.com/acme"}, "id_web_url_error", "Use https"),
        ({"token": ""}, "id_token_error", "Paste the token."),
        ({"kind_choice": "app"}, "id_private_key_error", "Paste the App's private key."),
        ({"kind_choice": "app"}, "id_app_id_error", "needs its client ID"),
    ],
)
def test_a_mistake_is_said_beside_its_field(admin, github, changes, where, words):
    response = admin.post(CONNECT, token_form(**changes))

    assert response.status_code == 422
    assert words in parse(response.content).by_id(where).text
    assert SECRET.encode() not in response.content
    assert github.calls == []


def test_a_scope_that_is_there_already_is_refused(admin, github):
    ScopeFactory(slug="acme")

    response = admin.post(CONNECT, token_form(web_url="https://github.com/ACME"))

    assert "was already added" in parse(response.content).by_id("id_web_url_error").text


def test_a_key_that_is_none_is_refused_before_github_is_asked(admin):
    response = admin.post(
        CONNECT,
        token_form(kind_choice="app", app_id="Iv1", installation_id="7", private_key="not a key"),
    )

    assert response.status_code == 409
    assert b"not a key" not in response.content
    assert Credential.objects.count() == 0


# Step two, and any later host


def test_the_command_carries_a_code_that_works_and_is_shown_once(operator):
    response = operator.post(NEW_HOST, {"name": "forge-01", "site": "eu", "slots": "4"})

    page = parse(response.content)
    command = page.by_id("join-command").text
    code = EnrolmentCode.objects.get()
    assert (code.site, code.slots) == ("eu", 4)
    assert code.expires_at == NOW + timedelta(minutes=15)
    text = command.removeprefix("FLEET_ENROLMENT_CODE=").split()[0]
    assert tokens.matches(text, code.sha256)
    assert "no-store" in response["Cache-Control"]
    assert text.encode() not in operator.get(wait_url(code)).content


def test_the_code_travels_by_environment_and_the_rest_by_argument(operator):
    page = parse(operator.post(NEW_HOST, {"name": "forge-01"}).content)

    assignment, program, *arguments = page.by_id("join-command").text.replace("\\", "").split()
    assert assignment.startswith("FLEET_ENROLMENT_CODE=fle_")
    assert [program, *arguments] == [
        "fleet-agent",
        "join",
        "--server",
        "http://127.0.0.1:8000",
        "--name",
        "forge-01",
    ]


def test_without_a_name_the_machine_brings_its_own(operator):
    page = parse(operator.post(NEW_HOST, {}).content)

    assert "--name" not in page.by_id("join-command").text


@pytest.mark.parametrize(
    ("entered", "where", "words"),
    [
        ({"name": "no blanks"}, "id_name_error", "letters, digits"),
        ({"name": "taken"}, "id_name_error", "taken is enrolled already."),
        ({"name": "new"}, "id_name_error", "this page's address"),
        ({"slots": "0"}, "id_slots_error", "greater than or equal to 1"),
        ({"slots": "999"}, "id_slots_error", "less than or equal to 256"),
    ],
)
@pytest.mark.parametrize("setup", [{}, {"setup": "1"}])
def test_a_host_that_cannot_be_is_said_beside_the_field(operator, entered, where, words, setup):
    ScopeFactory()
    HostFactory(name="taken", enrolling=True)

    response = operator.post(NEW_HOST, {"site": "kept", **entered, **setup})

    page = parse(response.content)
    assert response.status_code == 422
    assert words in page.by_id(where).text
    assert page.by_id("id_site")["value"] == "kept"
    assert EnrolmentCode.objects.count() == 0


def test_the_name_of_a_retired_host_is_free(operator):
    HostFactory(name="forge-01", retired=True)

    assert operator.post(NEW_HOST, {"name": "forge-01"}).status_code == 200


def test_set_up_shows_the_command_among_its_steps(operator):
    ScopeFactory()

    page = parse(operator.post(NEW_HOST, {"setup": "1"}).content)

    assert page.by_id("join-command").text
    assert current_step(page) == "Add a host"


# The wait


def test_while_nothing_came_the_page_keeps_asking(operator):
    code = EnrolmentCodeFactory()

    root = parse(operator.get(wait_url(code), headers=HTMX).content).by_id("waiting")

    assert root["hx-get"] == f"{wait_url(code)}?shown=waiting"
    assert root["hx-trigger"] == "every 3s"


def test_a_wait_that_is_shown_already_is_204(operator):
    url = wait_url(EnrolmentCodeFactory())

    assert operator.get(f"{url}?shown=waiting", headers=HTMX).status_code == 204


def test_an_enrolled_host_is_named_until_its_heartbeat(operator):
    host = HostFactory(name="forge-01", enrolling=True)
    code = EnrolmentCodeFactory(host=host, used_at=NOW)

    response = operator.get(f"{wait_url(code)}?shown=waiting", headers=HTMX)

    assert "forge-01 enrolled." in parse(response.content).by_id("waiting").text


def test_the_first_heartbeat_flips_the_page_and_ends_the_asking(operator):
    host = HostFactory(name="forge-01")
    url = wait_url(EnrolmentCodeFactory(host=host, used_at=NOW))

    page = parse(operator.get(f"{url}?shown=enrolled", headers=HTMX).content)

    root = page.by_id("waiting")
    assert "forge-01 is connected." in root.text
    assert not root.has("hx-get")
    assert root.one("a", class_="btn is-sm is-primary")["href"] == (
        f"{reverse('runner-provision')}?host={host.pk}"
    )
    assert page.by_id("count-hosts").text == "1"
    assert page.by_id("count-hosts")["hx-swap-oob"] == "true"


def test_the_first_heartbeat_moves_the_whole_set_up_on(operator):
    ScopeFactory()
    url = wait_url(EnrolmentCodeFactory(host=HostFactory(name="forge-01"), used_at=NOW))

    response = operator.get(f"{url}?shown=enrolled&setup=1", headers=HTMX)

    page = parse(response.content)
    assert (response["HX-Retarget"], response["HX-Reswap"]) == ("#setup", "outerHTML")
    assert page.by_id("setup").one("h1").text == "Provision a runner."
    assert page.by_id("setup").one("svg", role="presentation").all("text")[4].text == "connected"
    assert page.by_id("count-hosts").text == "1"


def test_the_numbers_of_an_empty_fleet_have_their_place(operator):
    page = parse(operator.get(NEW_HOST).content)

    assert [page.by_id(f"count-{name}").text for name in ("runners", "hosts", "jobs")] == [""] * 3


def test_the_wait_within_set_up_goes_on_within_set_up(operator):
    ScopeFactory()

    shown = parse(operator.post(NEW_HOST, {"setup": "1"}).content).by_id("waiting")
    later = parse(
        operator.get(shown["hx-get"].replace("waiting&", "&"), headers=HTMX).content
    ).by_id("waiting")

    assert shown["hx-get"].endswith("&setup=1")
    assert later["hx-get"] == shown["hx-get"]


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"revoked_at": NOW}, "This code was revoked."),
        ({"expires_at": NOW}, "This code has run out."),
    ],
)
def test_a_code_that_leads_nowhere_offers_a_new_one(operator, facts, words):
    code = EnrolmentCodeFactory(**facts)

    root = parse(operator.get(wait_url(code), headers=HTMX).content).by_id("waiting")

    assert words in root.text
    assert root.one("a", href=NEW_HOST)
    assert not root.has("hx-get")


def test_without_script_the_wait_is_a_page(operator):
    code = EnrolmentCodeFactory()

    page = parse(operator.get(wait_url(code)).content)

    assert page.one("h1").text == "Add a host"
    assert page.by_id("waiting").one("a", href=wait_url(code)).text == "Look again"


def test_no_host_is_made_by_the_dashboard_itself(operator):
    operator.post(NEW_HOST, {"name": "forge-01"})

    assert Host.objects.count() == 0

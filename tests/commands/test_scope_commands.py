"""webhook_secret, runner_group, remove_scope, remove_credential: what becomes of a scope."""

from dataclasses import replace

import pytest

from runners import wiring
from runners.github.errors import GitHubUnavailable
from runners.github.types import Listing
from runners.github.urls import ScopePath
from runners.models import Credential, Event, Runner, Scope
from tests.factories import CredentialFactory, HostFactory, RunnerFactory, ScopeFactory

ORG = ScopePath.organization("acme")
pytestmark = pytest.mark.django_db


@pytest.fixture
def scope():
    return ScopeFactory(kind="organization", slug="acme")


def stored_secret():
    return wiring.vault().decrypt(Scope.objects.get().webhook_secret_encrypted)


def test_secret_is_made_and_said_once_with_the_address(manage, scope):
    made = manage("webhook_secret", "acme", "--json")

    assert (made.code, made.data["secret"]) == (0, stored_secret())
    assert made.data["url"].endswith(f"/webhooks/{scope.pk}/")
    assert Event.objects.get().action == "scope.webhook-set"


def test_secret_is_replaced_by_another_for_a_person(manage, scope):
    first = manage("webhook_secret", "acme").out
    second = manage("webhook_secret", "acme").out

    assert stored_secret() in second
    assert stored_secret() not in first


def test_secret_of_a_file_is_kept_and_not_repeated(manage, scope, tmp_path):
    file = tmp_path / "secret"
    file.write_text("a secret of an operator\n")

    done = manage("webhook_secret", "acme", "--secret-file", str(file), "--json")

    assert (stored_secret(), done.data["secret"]) == ("a secret of an operator", None)
    assert "operator" not in done.out


def test_short_secret_is_refused(manage, scope, tmp_path):
    file = tmp_path / "secret"
    file.write_text("short")

    done = manage("webhook_secret", "acme", "--secret-file", str(file))

    assert (done.code, Scope.objects.get().webhook_secret_encrypted) == (1, "")


def test_secret_is_removed_once(manage, scope):
    manage("webhook_secret", "acme")

    removed = manage("webhook_secret", "acme", "--remove", "--json")
    again = manage("webhook_secret", "acme", "--remove", "--json")

    assert (removed.data["changed"], again.data["changed"], again.code) == (True, False, 0)
    assert Scope.objects.get().webhook_secret_encrypted == ""


def test_groups_are_listed_and_one_is_chosen(manage, scope, github):
    groups = [(group.id, group.name) for group in github.list_self_hosted_runner_groups(ORG)]
    number, name = groups[-1]

    listed = manage("runner_group", "acme", "--json").data
    chosen = manage("runner_group", "acme", "--choose", str(number), "--json").data
    again = manage("runner_group", "acme", "--choose", name, "--json").data

    assert [(group["id"], group["name"]) for group in listed["groups"]] == groups
    assert chosen["group"] == {"id": number, "name": name}
    assert again["changed"] is False
    assert Scope.objects.get().runner_group_name == name


def test_group_that_does_not_exist_is_refused(manage, scope, github):
    done = manage("runner_group", "acme", "--choose", "Nobody")

    assert (done.code, "it has Default" in done.error) == (1, True)


def test_runners_are_provisioned_in_the_group_that_is_named(manage, scope, github, monkeypatch):
    [default] = github.list_self_hosted_runner_groups(ORG)
    groups = Listing((default, replace(default, id=3, name="GPU", default=False)))
    monkeypatch.setattr(github, "list_self_hosted_runner_groups", lambda scope: groups)
    HostFactory(slots=2)
    order = ("provision", "--scope", "acme", "--label", "linux", "--runner-group")

    made, refused = manage(*order, "GPU"), manage(*order, "TPU")

    assert (made.code, refused.code) == (0, 1)
    assert "no runner group 'TPU'; it has Default, GPU" in refused.error
    runner = Runner.objects.get()
    assert (runner.runner_group_id, runner.runner_group_name) == (3, "GPU")


def test_known_group_is_listed_while_github_is_away(manage, scope, github, monkeypatch):
    def away(scope):
        raise GitHubUnavailable("GitHub cannot be reached.")

    monkeypatch.setattr(github, "list_self_hosted_runner_groups", away)

    listed = manage("runner_group", "acme")
    refused = manage("runner_group", "acme", "--choose", "Builders")

    assert (listed.code, "* Default (#1)" in listed.out) == (0, True)
    assert "GitHub cannot be reached." in listed.out
    assert refused.code == 4


def test_unused_scope_and_then_its_credential_are_removed(manage, scope):
    name = scope.credential.name
    kept = manage("remove_credential", name)
    gone = manage("remove_scope", "acme", "--reason", "Typo", "--json")
    credential = manage("remove_credential", name, "--json")

    assert (kept.code, "speaks for acme" in kept.error) == (1, True)
    assert gone.data == {"scope": "acme", "changed": True}
    assert credential.data == {"credential": name, "changed": True}
    assert not Scope.objects.exists()
    assert not Credential.objects.exists()


def test_scope_with_a_runner_is_kept(manage, scope):
    RunnerFactory(scope=scope)

    assert manage("remove_scope", "acme").code == 1
    assert Scope.objects.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("webhook_secret", "nobody"),
        ("runner_group", "nobody"),
        ("remove_scope", "nobody"),
        ("remove_credential", "nobody"),
    ],
)
def test_what_is_not_there_is_exit_code_three(arguments, manage):
    assert manage(*arguments).code == 3


def test_app_key_gets_a_day_and_a_token_does_not(manage):
    CredentialFactory(name="token", kind="token")

    refused = manage(
        "add_credential",
        "token",
        "--replace",
        "--replace-by",
        "2099-01-31",
        stdin="ghp_" + "a" * 36,
    )

    assert (refused.code, Credential.objects.get().expires_at) == (1, None)
    assert not Event.objects.exists()

"""Credentials, scopes, reconcile and rotation from the command line."""

import pytest

from runners import leases, reconcile, wiring
from runners.github.errors import GitHubUnavailable
from runners.models import Credential, Event, Runner, Scope
from runners.registry import path_of
from tests.factories import NOW, CredentialFactory, RunnerFactory, ScopeFactory

pytestmark = pytest.mark.django_db

TOKEN = "ghp_" + "kX9w" * 9


# add_credential


def test_credential_is_stored_from_standard_input(manage):
    done = manage("add_credential", "acme", "--kind", "token", "--json", stdin=f"{TOKEN}\n")

    assert done.data == {"credential": "acme", "kind": "token", "changed": True}
    row = Credential.objects.get()
    assert wiring.vault().decrypt(row.secret_encrypted) == TOKEN
    assert TOKEN not in done.out


def test_credential_is_stored_from_a_file(manage, tmp_path):
    secret = tmp_path / "token"
    secret.write_text(TOKEN)

    manage(
        *("add_credential", "acme", "--secret-file", str(secret)),
        *("--api-url", "https://ghe.example.com/api/v3"),
    )

    row = Credential.objects.get()
    assert (row.api_url, wiring.vault().decrypt(row.secret_encrypted)) == (
        "https://ghe.example.com/api/v3",
        TOKEN,
    )


def test_credential_typed_at_a_terminal_is_taken(manage):
    assert manage("add_credential", "acme", typed=TOKEN).code == 0
    assert wiring.vault().decrypt(Credential.objects.get().secret_encrypted) == TOKEN


@pytest.mark.parametrize("arguments", [("acme", TOKEN), (TOKEN,), ("acme", "anything", "more")])
def test_secret_among_the_arguments_is_refused_and_not_repeated(arguments, manage):
    done = manage("add_credential", *arguments, stdin=TOKEN)

    assert (done.code, "command line" in done.error) == (2, True)
    assert TOKEN not in done.error
    assert not Credential.objects.exists()


@pytest.mark.parametrize(
    ("stdin", "words"),
    [("", "nothing to use"), ("  \n", "nothing to use"), ("x" * 70_000, "nothing to use")],
)
def test_credential_without_a_secret_is_refused(stdin, words, manage):
    done = manage("add_credential", "acme", stdin=stdin)

    assert (done.code, words in done.error) == (1, True)


def test_secret_file_that_cannot_be_read_is_named(manage, tmp_path):
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")

    for path, words in ((tmp_path / "none", "No such file"), (binary, "not text")):
        done = manage("add_credential", "acme", "--secret-file", str(path))
        assert (done.code, words in done.error) == (1, True)


def test_unusable_secret_is_refused_without_repeating_it(manage):
    done = manage("add_credential", "acme", stdin="two words")

    assert (done.code, "two words" in done.error) == (1, False)


def test_name_is_taken_unless_the_secret_is_to_be_replaced(manage):
    manage("add_credential", "acme", stdin=TOKEN)
    newer = TOKEN[::-1].replace("_phg", "") + "zz"

    taken = manage("add_credential", "acme", stdin=newer)
    replaced = manage("add_credential", "acme", "--replace", stdin=newer)

    assert (taken.code, replaced.code) == (1, 0)
    assert wiring.vault().decrypt(Credential.objects.get().secret_encrypted) == newer


def test_replacing_what_is_not_there_is_exit_code_three(manage):
    assert manage("add_credential", "acme", "--replace", stdin=TOKEN).code == 3


# add_scope


def test_scope_is_added_once(manage):
    CredentialFactory(name="acme")

    first = manage("add_scope", "https://github.com/acme", "--credential", "acme", "--json")
    again = manage("add_scope", "https://GitHub.com/Acme/", "--credential", "acme", "--json")

    assert first.data == {
        "scope": "acme",
        "kind": "organization",
        "url": "https://github.com/acme",
        "credential": "acme",
        "changed": True,
    }
    assert (again.code, again.data["changed"]) == (0, False)
    assert Scope.objects.count() == 1


def test_scope_of_another_credential_is_refused(manage):
    ScopeFactory(web_url="https://github.com/acme")
    CredentialFactory(name="other")

    done = manage("add_scope", "https://github.com/acme", "--credential", "other")

    assert (done.code, "already added" in done.error) == (1, True)


def test_runner_group_of_a_scope_is_kept(manage):
    CredentialFactory(name="acme")

    manage(
        *("add_scope", "https://github.com/acme", "--credential", "acme"),
        *("--runner-group-id", "7", "--runner-group-name", "Builders"),
    )

    assert (Scope.objects.get().runner_group_id, Scope.objects.get().runner_group_name) == (
        7,
        "Builders",
    )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("nonsense/with/parts", "--credential", "acme"), 1),
        (("http://github.com/acme", "--credential", "acme"), 1),
        (("https://github.com/acme", "--credential", "nobody"), 3),
    ],
)
def test_scope_that_cannot_be_added_is_refused(arguments, code, manage):
    CredentialFactory(name="acme")

    assert manage("add_scope", *arguments).code == code
    assert not Scope.objects.exists()


# reconcile


def test_reconcile_runs_a_pass_now_and_says_what_it_saw(manage, github):
    runner = RunnerFactory(starting=True, scope__slug="acme")
    github.add_runner(path_of(runner.scope), runner.name, online=True)

    done = manage("reconcile", "--scope", "acme", "--json")

    assert done.data["scopes"] == [
        {
            "scope": "acme",
            "listed": 1,
            "complete": True,
            "foreign": 0,
            "moved": 1,
            "deleted": 0,
            "drifts": 0,
            "mended": 0,
            "error": "",
        }
    ]
    assert Runner.objects.get().state == "active"
    assert (
        manage("reconcile").out.strip()
        == "acme: 1 listed, 0 not ours, 0 moved, 0 deleted, 0 drifts, 0 mended"
    )


def test_reconcile_says_so_when_there_is_nothing(manage, github):
    assert manage("reconcile").out.strip() == "There is no scope yet"
    assert manage("reconcile", "--scope", "nobody").code == 3


def test_github_that_cannot_be_asked_is_exit_code_four_and_the_other_scopes_go_on(manage, github):
    ScopeFactory(slug="a")
    ScopeFactory(slug="b")
    github.fail_next("list_self_hosted_runners", GitHubUnavailable("GitHub answered 502."))

    done = manage("reconcile", "--json")

    assert (done.code, done.error) == (4, "a: GitHub answered 502.")
    assert [row["error"] for row in done.data["scopes"]] == ["GitHub answered 502.", ""]


def test_pass_beside_another_one_is_refused(manage, github):
    scope = ScopeFactory(slug="acme")
    leases.acquire(reconcile.lease_name(scope.pk), "elsewhere:1", 60, NOW)

    done = manage("reconcile")

    assert (done.code, "under way" in done.error) == (1, True)
    assert github.calls == []


def test_scope_is_found_by_slug_or_address_and_two_of_a_name_need_the_address(manage, github):
    ScopeFactory(slug="acme")
    assert manage("reconcile", "--scope", "https://GitHub.com/acme/").code == 0

    ScopeFactory(slug="acme", web_url="https://ghe.example.com/acme")
    both = manage("reconcile", "--scope", "acme")

    assert (both.code, "https://ghe.example.com/acme" in both.error) == (1, True)
    assert manage("reconcile", "--scope", "https://ghe.example.com/acme").code == 0


def test_credential_that_no_key_opens_is_refused_in_words(manage):
    ScopeFactory(slug="acme")

    done = manage("reconcile")

    assert (done.code, "FLEET_SECRET_KEY" in done.error) == (1, True)


# rotate_secrets


def test_secrets_are_encrypted_anew_and_twice_is_harmless(manage):
    manage("add_credential", "acme", stdin=TOKEN)
    before = Credential.objects.get().secret_encrypted

    for _ in range(2):
        assert manage("rotate_secrets", "--json").data == {"rewritten": 1}

    after = Credential.objects.get().secret_encrypted
    assert after != before
    assert wiring.vault().decrypt(after) == TOKEN


def test_secret_that_no_key_opens_stops_the_rotation(manage):
    CredentialFactory(secret_encrypted="sealed")

    done = manage("rotate_secrets")

    assert (done.code, "can't be read" in done.error) == (1, True)
    assert not Event.objects.exists()

"""Credentials and the vault: encrypted at rest, replaced, rotated, never shown."""

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from runners import credentials
from runners.credentials import NewCredential
from runners.errors import InvalidRequest
from runners.github.verdicts import Verdict, VerdictCode
from runners.models import Credential, Event, Scope
from runners.vault import SecretUnreadable, Vault
from tests.factories import NOW, CredentialFactory, ScopeFactory

pytestmark = pytest.mark.django_db

TOKEN = "ghp_" + "kX9w" * 9
NEXT = "github_pat_" + "Zz81" * 20
OLD_KEY, NEW_KEY = "the old key of this suite", "the new key of this suite"


@pytest.fixture(scope="module")
def vault():
    return Vault([OLD_KEY])


@pytest.fixture(scope="module")
def pem():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def create(ada, vault, **wanted):
    new = {"name": "acme", "kind": Credential.Kind.TOKEN, "secret": TOKEN, **wanted}
    return credentials.create(NewCredential(**new), vault=vault, by=ada, now=NOW)


def everything():
    return f"{list(Credential.objects.values_list())}{list(Event.objects.values_list())}"


def test_secret_is_stored_encrypted_and_nowhere_else(ada, vault):
    credential = create(ada, vault, secret=f"  {TOKEN}\n")

    assert TOKEN not in everything() + repr(credential)
    assert vault.decrypt(Credential.objects.get().secret_encrypted) == TOKEN
    assert credential.secret_hint == f"…{TOKEN[-4:]}"
    assert Event.objects.get().detail == {"kind": "token"}


def test_what_a_person_entered_does_not_show_in_its_repr():
    new = NewCredential("acme", Credential.Kind.TOKEN, TOKEN)

    assert TOKEN not in repr(new)


def test_app_is_stored_with_its_ids_and_says_only_that_it_has_a_key(ada, vault, pem):
    credential = create(
        ada, vault, kind=Credential.Kind.APP, secret=pem, app_id=" Iv1.8a61 ", installation_id=5
    )

    assert (credential.app_id, credential.installation_id) == ("Iv1.8a61", 5)
    assert credential.secret_hint == "private key"
    assert "PRIVATE" not in everything()


@pytest.mark.parametrize(
    "wanted",
    [
        {"name": "  "},
        {"secret": ""},
        {"secret": "two words"},
        {"secret": "ghs_" + "a" * 36},
        {"secret": "tökén"},
        {"api_url": "http://api.github.com"},
        {"api_url": "https://user:pass@api.github.com"},
        {"api_url": "nonsense"},
        {"kind": Credential.Kind.APP},
        {"kind": Credential.Kind.APP, "app_id": "Iv1"},
        {"kind": Credential.Kind.APP, "installation_id": 5},
        {"kind": Credential.Kind.APP, "app_id": "Iv1", "installation_id": 5},
    ],
)
def test_unusable_credential_is_refused_without_repeating_it(wanted, ada, vault):
    with pytest.raises(InvalidRequest) as refusal:
        create(ada, vault, **wanted)

    assert wanted.get("secret", TOKEN) not in refusal.value.user_message or not wanted["secret"]
    assert not Credential.objects.exists()


def test_name_is_taken_once(ada, vault):
    create(ada, vault)

    with pytest.raises(InvalidRequest, match="already"):
        create(ada, vault, secret=NEXT)

    assert vault.decrypt(Credential.objects.get().secret_encrypted) == TOKEN


def test_replaced_secret_forgets_what_github_said_of_the_old_one(ada, vault):
    credential = create(ada, vault)
    say(credential, VerdictCode.EXPIRING, ada)

    credentials.replace_secret(credential, NEXT, vault=vault, by=ada, now=NOW)

    row = Credential.objects.get()
    assert vault.decrypt(row.secret_encrypted) == NEXT
    assert (row.verdict, row.verdict_message, row.verdict_fix) == ("", "", "")
    assert (row.verdict_at, row.expires_at, row.secret_hint) == (None, None, f"…{NEXT[-4:]}")
    assert NEXT not in everything()
    assert credential.secret_encrypted == row.secret_encrypted


def test_unusable_replacement_changes_nothing(ada, vault):
    credential = create(ada, vault)

    with pytest.raises(InvalidRequest):
        credentials.replace_secret(credential, "two words", vault=vault, by=ada, now=NOW)

    assert vault.decrypt(Credential.objects.get().secret_encrypted) == TOKEN


def say(credential, code, ada, expires_at=NOW + timedelta(days=3)):
    verdict = Verdict(code=code, message=f"It is {code}.", fix="Renew it.", expires_at=expires_at)
    credentials.note_verdict(credential, verdict, by=ada, now=NOW)


def test_verdict_is_kept_and_an_event_only_when_it_changed(ada):
    credential = CredentialFactory()

    for code in (VerdictCode.VALID, VerdictCode.VALID, VerdictCode.INVALID):
        say(credential, code, ada)

    row = Credential.objects.get()
    assert (row.verdict, row.verdict_message, row.verdict_fix) == (
        "invalid",
        "It is invalid.",
        "Renew it.",
    )
    assert (row.verdict_at, row.expires_at) == (NOW, NOW + timedelta(days=3))
    changes = list(Event.objects.order_by("pk").values_list("was", "became"))
    assert changes == [("", "valid"), ("valid", "invalid")]


def test_rotation_encrypts_credentials_and_webhook_secrets_with_the_first_key(ada, vault):
    create(ada, vault)
    ScopeFactory(
        credential=Credential.objects.get(), webhook_secret_encrypted=vault.encrypt("hook")
    )
    ScopeFactory(credential=Credential.objects.get())

    count = credentials.rotate_encryption(vault=Vault([NEW_KEY, OLD_KEY]), by=ada, now=NOW)

    new = Vault([NEW_KEY])
    assert count == 2
    assert new.decrypt(Credential.objects.get().secret_encrypted) == TOKEN
    hooked = Scope.objects.exclude(webhook_secret_encrypted="").get()
    assert new.decrypt(hooked.webhook_secret_encrypted) == "hook"
    with pytest.raises(SecretUnreadable):
        vault.decrypt(hooked.webhook_secret_encrypted)


def test_rotation_is_all_or_nothing(ada, vault):
    create(ada, vault)
    before = Credential.objects.get().secret_encrypted
    CredentialFactory(secret_encrypted="sealed with a key nobody has")

    with pytest.raises(SecretUnreadable):
        credentials.rotate_encryption(vault=Vault([NEW_KEY, OLD_KEY]), by=ada, now=NOW)

    assert Credential.objects.get(name="acme").secret_encrypted == before
    assert Event.objects.count() == 1


def test_secret_replaced_during_the_rotation_is_left_as_it_is(ada, vault):
    class Slow(Vault):
        """Somebody replaces each secret while it is rotated."""

        def rotate(self, stored: str) -> str:
            rotated = super().rotate(stored)
            Credential.objects.filter(secret_encrypted=stored).update(secret_encrypted="newer")
            Scope.objects.filter(webhook_secret_encrypted=stored).update(
                webhook_secret_encrypted="newer"
            )
            return rotated

    credential = create(ada, vault)
    ScopeFactory(credential=credential, webhook_secret_encrypted=vault.encrypt("hook"))

    count = credentials.rotate_encryption(vault=Slow([NEW_KEY, OLD_KEY]), by=ada, now=NOW)

    assert count == 0
    assert Credential.objects.get().secret_encrypted == "newer"
    assert Scope.objects.get().webhook_secret_encrypted == "newer"


def test_vault_reads_what_any_of_its_keys_wrote():
    sealed = [Vault([key]).encrypt("secret") for key in (OLD_KEY, NEW_KEY)]

    assert [Vault([NEW_KEY, OLD_KEY]).decrypt(each) for each in sealed] == ["secret"] * 2
    assert sealed[0] != Vault([OLD_KEY]).encrypt("secret")


def test_vault_says_what_to_do_about_a_secret_it_cannot_read():
    with pytest.raises(SecretUnreadable, match="Add the old key"):
        Vault([NEW_KEY]).decrypt(Vault([OLD_KEY]).encrypt("secret"))


@pytest.mark.parametrize("keys", [[], ["short"], [NEW_KEY, "short"]])
def test_vault_refuses_short_keys(keys):
    with pytest.raises(ValueError, match="16 characters"):
        Vault(keys)


def test_vault_shows_no_key():
    assert OLD_KEY not in f"{Vault([OLD_KEY])!r}{vars(Vault([OLD_KEY]))}"


def test_end_of_a_token_is_noted_from_an_ordinary_answer():
    credential = CredentialFactory()

    credentials.note_token_expiry(credential.pk, NOW + timedelta(days=40))

    assert Credential.objects.get().expires_at == NOW + timedelta(days=40)
    assert not Event.objects.exists()


def test_end_of_an_apps_installation_token_is_nobodys_business():
    credential = CredentialFactory(kind=Credential.Kind.APP)

    credentials.note_token_expiry(credential.pk, NOW + timedelta(minutes=40))

    assert Credential.objects.get().expires_at is None


def test_check_that_did_not_get_through_keeps_the_known_end(ada):
    credential = CredentialFactory(expires_at=NOW + timedelta(days=9))

    say(credential, VerdictCode.UNKNOWN, ada, expires_at=None)
    assert Credential.objects.get().expires_at == NOW + timedelta(days=9)
    say(credential, VerdictCode.VALID, ada, expires_at=None)
    assert Credential.objects.get().expires_at is None


def test_day_to_replace_an_apps_key_by_outlives_the_hourly_check(ada):
    credential = CredentialFactory(kind=Credential.Kind.APP)
    day = (NOW + timedelta(days=90)).date()

    event = credentials.set_replace_by(credential, day, by=ada, now=NOW)
    again = credentials.set_replace_by(credential, day, by=ada, now=NOW)
    say(credential, VerdictCode.VALID, ada, expires_at=None)

    assert event is not None
    assert (event.was, event.became) == ("", day.isoformat())
    assert again is None
    row = Credential.objects.get()
    assert row.expires_at is not None
    assert row.expires_at.date() == day


def test_day_to_replace_by_can_be_taken_away(ada):
    credential = CredentialFactory(kind=Credential.Kind.APP, expires_at=NOW + timedelta(days=3))

    credentials.set_replace_by(credential, None, by=ada, now=NOW)

    assert Credential.objects.get().expires_at is None


@pytest.mark.parametrize(("kind", "days"), [("token", 30), ("app", 0), ("app", -5)])
def test_day_to_replace_by_is_refused_for_tokens_and_days_not_ahead(kind, days, ada):
    credential = CredentialFactory(kind=kind)

    with pytest.raises(InvalidRequest):
        credentials.set_replace_by(credential, (NOW + timedelta(days=days)).date(), by=ada, now=NOW)

    assert Credential.objects.get().expires_at is None


def test_unused_credential_is_removed_and_remembered_in_an_event(ada, vault):
    credential = create(ada, vault)

    event = credentials.remove(credential, by=ada, reason="Typo", now=NOW)

    assert not Credential.objects.exists()
    removed = Event.objects.get(pk=event.pk)
    assert (removed.action, removed.object_name, removed.reason) == (
        "credential.remove",
        "acme",
        "Typo",
    )


def test_credential_in_use_is_kept_and_its_scopes_are_named(ada):
    scope = ScopeFactory(slug="acme")

    with pytest.raises(InvalidRequest, match="speaks for acme"):
        credentials.remove(scope.credential, by=ada, reason="", now=NOW)

    assert Credential.objects.exists()
    assert not Event.objects.exists()


@pytest.mark.parametrize(
    ("left", "days"),
    [
        (timedelta(days=14), 14),
        (timedelta(days=13, hours=23), 13),
        (timedelta(hours=1), 0),
        (timedelta(hours=-1), -1),
    ],
)
def test_days_left_are_whole_ones(left, days):
    assert credentials.days_left(CredentialFactory.build(expires_at=NOW + left), NOW) == days


def test_days_left_of_no_known_end_are_none():
    assert credentials.days_left(CredentialFactory.build(expires_at=None), NOW) is None

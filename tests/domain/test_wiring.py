"""Settings and credentials made into ready objects."""

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from runners import wiring
from runners.credentials import NewCredential
from runners.errors import InvalidRequest
from runners.github.auth import AppAuth, TokenAuth
from runners.github.limits import Budget
from runners.models import Credential
from runners.vault import SecretUnreadable
from tests.factories import NOW, CredentialFactory, ScopeFactory

pytestmark = pytest.mark.django_db

TOKEN = "ghp_" + "kX9w" * 9


def sealed(secret):
    return wiring.vault().encrypt(secret)


def test_client_of_a_scope_speaks_with_its_credential():
    scope = ScopeFactory(
        credential__secret_encrypted=sealed(TOKEN),
        credential__api_url="https://ghe.example.com/api/v3",
    )

    with wiring.github_client(scope) as github:
        assert github.base_url == "https://ghe.example.com/api/v3"
        assert isinstance(github.auth, TokenAuth)
        assert TOKEN not in repr(github)


def test_app_keeps_its_installation_token_between_clients():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    credential = CredentialFactory(
        kind="app", secret_encrypted=sealed(pem), app_id="Iv1", installation_id=5
    )

    with wiring.client_for(credential) as first, wiring.client_for(credential) as second:
        assert isinstance(first.auth, AppAuth)
        assert first.auth is second.auth


def test_replaced_secret_makes_another_authorisation():
    credential = CredentialFactory(secret_encrypted=sealed(TOKEN))
    with wiring.client_for(credential) as before:
        credential.secret_encrypted = sealed(TOKEN[::-1].replace("_phg", ""))
    with wiring.client_for(credential) as after:
        assert before.auth is not after.auth


def test_secret_that_no_key_opens_is_told():
    with pytest.raises(SecretUnreadable):
        wiring.client_for(CredentialFactory(secret_encrypted="sealed"))


def test_client_for_a_credential_not_stored_yet():
    new = NewCredential("acme", Credential.Kind.TOKEN, TOKEN)

    with wiring.client_with(new) as github:
        assert github.base_url == "https://api.github.com"
    with pytest.raises(InvalidRequest):
        wiring.client_with(NewCredential("acme", Credential.Kind.TOKEN, "two words"))


def test_budget_of_the_rest_api_is_noted_and_others_are_not(monkeypatch):
    monkeypatch.setattr("runners.wiring.now", lambda: NOW)
    credential = CredentialFactory()
    reset = NOW + timedelta(minutes=30)

    wiring._note_budget(credential.pk, Budget("search", 30, 29, 1, reset))
    assert Credential.objects.get().budget_limit is None
    wiring._note_budget(credential.pk, Budget("core", 5000, 4999, 1, reset))

    row = Credential.objects.get()
    assert (row.budget_limit, row.budget_remaining) == (5000, 4999)
    assert (row.budget_reset_at, row.last_used_at) == (reset, NOW)


def test_clock_tells_utc():
    assert wiring.now().utcoffset() == timedelta(0)

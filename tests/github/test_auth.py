"""Credentials: kinds of tokens, an App's signature, installation tokens kept fresh."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from runners.github.auth import AppAuth, CredentialKind, TokenAuth, kind_of_token
from runners.github.errors import BadCredential, GitHubUnavailable, NotFound, Unauthorized
from runners.github.types.apps import InstallationToken
from runners.github.urls import ScopePath
from tests.github import bodies
from tests.github.conftest import FakeClock, MakeClient
from tests.github.scripted import Received, Reply, ScriptedServer

ORG = ScopePath.organization("acme")
NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
LONG_TOKEN = f"ghs_1234567_{'eyJhbGciOi' * 16}.{'c2lnbmF0dX' * 34}"


def claims(key: rsa.RSAPrivateKey, authorization: str) -> dict[str, object]:
    """The claims of a signed header, its signature verified."""
    form = PublicFormat.SubjectPublicKeyInfo
    public = key.public_key().public_bytes(Encoding.PEM, form)
    token = authorization.removeprefix("Bearer ")
    decoded: dict[str, object] = jwt.decode(
        token, public, algorithms=["RS256"], options={"verify_exp": False, "verify_iat": False}
    )
    return decoded


def minted(token: str, expires_at: datetime) -> Reply:
    return Reply(201, {"token": token, "expires_at": expires_at.isoformat()})


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        ("ghp_" + "a" * 36, CredentialKind.CLASSIC),
        ("0123456789abcdef" * 2 + "01234567", CredentialKind.CLASSIC),
        ("github_pat_" + "a" * 82, CredentialKind.FINE_GRAINED),
        ("gho_" + "a" * 36, CredentialKind.OAUTH),
        ("ghu_" + "a" * 36, CredentialKind.APP_USER),
        ("ghs_" + "a" * 36, CredentialKind.INSTALLATION),
        (LONG_TOKEN, CredentialKind.INSTALLATION),
        ("something-else", CredentialKind.UNKNOWN),
    ],
)
def test_kind_of_a_token_is_told_by_its_shape(token: str, kind: CredentialKind) -> None:
    assert kind_of_token(token) is kind
    assert TokenAuth(f" {token}\n").kind is kind


@pytest.mark.parametrize("token", ["", "  ", "two words", "ghp_ä", "ghp_a\nX-Evil: 1"])
def test_token_that_no_header_may_hold_is_refused(token: str) -> None:
    with pytest.raises(BadCredential):
        TokenAuth(token)


def test_credentials_never_show_their_secret(pem: str) -> None:
    token = TokenAuth("ghp_" + "s" * 36)
    app = AppAuth("Iv23abc", pem, 7)

    assert "sss" not in f"{token!r} {token} {token.fingerprint}"
    assert "KEY" not in f"{app!r} {app}"
    assert "Iv23abc" in repr(app)


def test_different_tokens_have_different_fingerprints() -> None:
    assert TokenAuth("ghp_" + "a" * 36).fingerprint != TokenAuth("ghp_" + "b" * 36).fingerprint


def test_token_cannot_speak_as_an_app(make_client: MakeClient) -> None:
    with pytest.raises(BadCredential, match="classic personal access token"):
        make_client().get_authenticated_app()


def test_unreadable_key_is_refused_with_the_fix(pem: str) -> None:
    for text in ("", "nonsense", pem[: len(pem) // 2]):
        with pytest.raises(BadCredential, match="BEGIN and END"):
            AppAuth("Iv23abc", text, 7)


def test_key_of_another_kind_is_refused() -> None:
    curve = ec.generate_private_key(ec.SECP256R1())
    text = curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    with pytest.raises(BadCredential, match="private key"):
        AppAuth("Iv23abc", text, 7)


def test_app_without_an_id_is_refused(pem: str) -> None:
    with pytest.raises(BadCredential, match="client ID"):
        AppAuth(" ", pem, 7)


def test_app_signature_is_backdated_and_short(key: rsa.RSAPrivateKey, pem: str) -> None:
    found = claims(key, AppAuth(12345, pem, 7).app_authorization(NOW))

    assert found["iss"] == "12345"
    assert found["iat"] == int(NOW.timestamp()) - 60
    expires = found["exp"]
    assert isinstance(expires, int)
    assert 0 < expires - int(NOW.timestamp()) <= 600


def test_app_signs_by_githubs_clock_once_it_is_known(key: rsa.RSAPrivateKey, pem: str) -> None:
    auth = AppAuth("Iv23abc", pem, 7)
    auth.note_clock_skew(3600.0)

    found = claims(key, auth.app_authorization(NOW))
    assert found["iat"] == int(NOW.timestamp()) + 3600 - 60


def test_app_fetches_an_installation_token_once(
    make_client: MakeClient, server: ScriptedServer, clock: FakeClock, pem: str
) -> None:
    client = make_client(auth=AppAuth("Iv23abc", pem, 7))
    server.will(
        minted(LONG_TOKEN, clock.now + timedelta(hours=1)),
        Reply(200, bodies.runner()),
        Reply(200, bodies.runner()),
    )
    client.get_self_hosted_runner(ORG, 1)
    client.get_self_hosted_runner(ORG, 1)

    assert [received.path for received in server.received] == [
        "/app/installations/7/access_tokens",
        "/orgs/acme/actions/runners/1",
        "/orgs/acme/actions/runners/1",
    ]
    assert server.received[1].headers["authorization"] == f"Bearer {LONG_TOKEN}"


def test_installation_token_is_renewed_before_it_expires(
    make_client: MakeClient, server: ScriptedServer, clock: FakeClock, pem: str
) -> None:
    auth = AppAuth("Iv23abc", pem, 7)
    client = make_client(auth=auth)
    server.will(
        minted("ghs_" + "1" * 36, clock.now + timedelta(hours=1)),
        Reply(200, bodies.runner()),
        minted("ghs_" + "2" * 36, clock.now + timedelta(hours=2)),
        Reply(200, bodies.runner()),
    )
    client.get_self_hosted_runner(ORG, 1)
    clock.now += timedelta(minutes=56)
    client.get_self_hosted_runner(ORG, 1)

    assert server.received[3].headers["authorization"].endswith("2" * 36)
    assert auth.installation_token is not None
    assert "222" not in repr(auth.installation_token)


def test_old_token_serves_to_its_end_while_none_can_be_had(
    make_client: MakeClient, server: ScriptedServer, clock: FakeClock, pem: str
) -> None:
    client = make_client(auth=AppAuth("Iv23abc", pem, 7), max_wait_seconds=0)
    server.will(
        minted("ghs_" + "1" * 36, clock.now + timedelta(hours=1)),
        Reply(200, bodies.runner()),
        Reply(503, bodies.error("down")),
        Reply(200, bodies.runner()),
        Reply(503, bodies.error("down")),
    )
    client.get_self_hosted_runner(ORG, 1)
    clock.now += timedelta(minutes=58)
    assert client.get_self_hosted_runner(ORG, 1).id == 1

    clock.now += timedelta(minutes=3)
    with pytest.raises(GitHubUnavailable) as caught:
        client.create_registration_token(ORG)
    assert not caught.value.may_have_happened


def test_revoked_installation_token_is_replaced_once(
    make_client: MakeClient, server: ScriptedServer, clock: FakeClock, pem: str
) -> None:
    client = make_client(auth=AppAuth("Iv23abc", pem, 7))
    later = clock.now + timedelta(hours=1)
    refused = Reply(401, bodies.error("Bad credentials"))
    server.will(
        minted("ghs_" + "1" * 36, later),
        refused,
        minted("ghs_" + "2" * 36, later),
        Reply(200, bodies.runner()),
    )
    assert client.get_self_hosted_runner(ORG, 1).id == 1

    server.will(refused, minted("ghs_" + "3" * 36, later), refused)
    with pytest.raises(Unauthorized):
        client.get_self_hosted_runner(ORG, 1)


def test_refused_token_of_a_person_is_not_tried_again(
    make_client: MakeClient, server: ScriptedServer
) -> None:
    server.will(Reply(401, bodies.error("Bad credentials")))

    with pytest.raises(Unauthorized, match="expired or revoked"):
        make_client().get_self_hosted_runner(ORG, 1)
    assert len(server.received) == 1


def test_refused_change_is_not_tried_again(
    make_client: MakeClient, server: ScriptedServer, clock: FakeClock, pem: str
) -> None:
    client = make_client(auth=AppAuth("Iv23abc", pem, 7))
    token = minted("ghs_" + "1" * 36, clock.now + timedelta(hours=1))
    server.will(token, Reply(401, bodies.error("Bad credentials")))

    with pytest.raises(Unauthorized):
        client.create_registration_token(ORG)
    assert len(server.received) == 2


def date_header(moment: datetime) -> dict[str, str]:
    return {"Date": moment.strftime("%a, %d %b %Y %H:%M:%S GMT")}


def test_signature_of_a_wrong_clock_is_made_again_by_githubs(
    make_client: MakeClient,
    server: ScriptedServer,
    clock: FakeClock,
    key: rsa.RSAPrivateKey,
    pem: str,
) -> None:
    client = make_client(auth=AppAuth("Iv23abc", pem, 7))
    there = clock.now + timedelta(hours=1)
    too_far = "'Expiration time' claim ('exp') is too far in the future"
    server.will(
        Reply(401, bodies.error(too_far), date_header(there)),
        minted("ghs_" + "1" * 36, there + timedelta(hours=1)),
        Reply(201, bodies.token()),
    )

    client.create_registration_token(ORG)
    assert claims(key, server.received[1].headers["authorization"])["iat"] == (
        int(there.timestamp()) - 60
    )


def test_signature_refused_by_a_right_clock_is_an_error(
    make_client: MakeClient, server: ScriptedServer, clock: FakeClock, pem: str
) -> None:
    client = make_client(auth=AppAuth("Iv23abc", pem, 7))
    server.will(Reply(401, bodies.error("could not be decoded"), date_header(clock.now)))

    with pytest.raises(Unauthorized):
        client.get_self_hosted_runner(ORG, 1)
    assert len(server.received) == 1


def test_app_call_by_a_wrong_clock_is_made_again(
    make_client: MakeClient, server: ScriptedServer, clock: FakeClock, pem: str
) -> None:
    client = make_client(auth=AppAuth("Iv23abc", pem, 7))
    there = clock.now - timedelta(minutes=20)
    refused = Reply(401, bodies.error("expired"), date_header(there))
    server.will(refused, refused)

    with pytest.raises(Unauthorized):
        client.get_authenticated_app()
    assert len(server.received) == 2


def test_missing_installation_is_said_plainly(
    make_client: MakeClient, server: ScriptedServer, pem: str
) -> None:
    with pytest.raises(BadCredential, match="install it first"):
        make_client(auth=AppAuth("Iv23abc", pem, None)).get_self_hosted_runner(ORG, 1)

    server.will(Reply(404, bodies.error("Not Found")))
    with pytest.raises(NotFound):
        make_client(auth=AppAuth("Iv23abc", pem, 8)).create_registration_token(ORG)


def test_many_threads_fetch_one_token(pem: str) -> None:
    auth = AppAuth("Iv23abc", pem, 7)
    made: list[str] = []
    started = threading.Barrier(5)
    seen: list[str] = []

    def exchange(installation_id: int, json_web_token: str) -> InstallationToken:
        made.append(json_web_token)
        return InstallationToken(f"ghs_{installation_id}", NOW + timedelta(hours=1))

    def ask() -> None:
        started.wait(5)
        seen.append(auth.authorization(NOW, exchange))

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert set(seen) == {"Bearer ghs_7"}


def test_credential_is_not_taken_from_netrc(
    make_client: MakeClient,
    server: ScriptedServer,
    tmp_path: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    netrc = f"{tmp_path}/netrc"
    with open(netrc, "w", encoding="utf-8") as file:
        file.write("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", netrc)
    server.responder = lambda received: Reply(200, bodies.runner())

    make_client(auth=None).get_self_hosted_runner(ORG, 1)
    make_client().get_self_hosted_runner(ORG, 1)
    seen = [_authorization(received) for received in server.received]
    assert seen[0] == ""
    assert seen[1].startswith("Bearer ghp_")


def _authorization(received: Received) -> str:
    return received.headers.get("authorization", "")

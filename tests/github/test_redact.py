"""Redaction: every shape of secret goes, and plain words stay."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runners.github.redact import redact

JWT = f"eyJ{'hbGciOiJSUzI1NiJ9'}.eyJ{'pc3MiOiIxMjM0NTYifQ'}.{'sIgNaTuRe-_' * 8}"
STATELESS = f"ghs_1234567_eyJ{'a1B2' * 60}.eyJ{'c3D4' * 20}.{'e5F6' * 40}"
JIT = base64.b64encode(json.dumps({".runner": "e30=" * 40, ".credentials": "x"}).encode()).decode()
PRETTY_JIT = base64.b64encode(json.dumps({".runner": "e30=" * 40}, indent=1).encode()).decode()
REGISTRATION = "AABF3JGZDX3P5PMEXLND6TS6FCWO6"
PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA1234567890\nabcdef\n"
    "-----END RSA PRIVATE KEY-----"
)

SECRETS = [
    "ghp_" + "aB3dE6gH9j" * 3 + "aB3dE6",
    "gho_" + "a1" * 18,
    "ghu_" + "a1" * 18,
    "ghs_" + "a1" * 18,
    "ghr_" + "a1" * 38,
    "github_pat_11ABCDEFG0" + "a1B2_c3D4" * 8,
    "v1." + "0123456789abcdef" * 2 + "01234567",
    STATELESS,
    JWT,
    JIT,
    PRETTY_JIT,
    REGISTRATION,
    PEM,
]


def test_the_long_token_is_as_long_as_githubs() -> None:
    assert len(STATELESS) > 480


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "text", ["{}", "before {} after", '{{"x":"{}"}}', "Bearer {}", "a={},b", "'{}'", "url/{}?x"]
)
def test_secret_of_a_known_shape_goes_wherever_it_stands(secret: str, text: str) -> None:
    said = redact(text.format(secret))

    assert "***" in said
    for part in secret.split("."):
        assert len(part) < 8 or part not in said


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer 0123456789abcdef",
        "authorization: token 0123456789abcdef",
        '"token": "0123456789abcdef"',
        "'registration_token': '0123456789abcdef'",
        "--token 0123456789abcdef0123",
        "client_secret=0123456789abcdef",
        '{"webhook_secret":"0123456789abcdef"}',
        "password=0123456789abcdef",
        '"encoded_jit_config": "0123456789abcdef"',
        "ACTIONS_RUNNER_INPUT_JITCONFIG=0123456789abcdef",
        "FLEET_SECRET_KEY=0123456789abcdef",
        "https://someone:0123456789abcdef@proxy:3128/",
        "RemoteAuth 0123456789abcdef0123",
    ],
)
def test_labelled_secret_goes(text: str) -> None:
    said = redact(text)

    assert "0123456789abcdef" not in said
    assert "***" in said


@pytest.mark.parametrize(
    "text",
    [
        "The token expired yesterday.",
        "the registration token for organization acme",
        "secret scanning found nothing",
        "password authentication was removed",
        "runner host-a-1 is busy; run 1234567890 of acme/web",
        "https://api.github.com/orgs/acme/actions/runners/12",
        "0123456789abcdef0123456789abcdef01234567 is a commit",
        "A runner exists with the same name",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "GHP is not a token",
        "tokens: 3 used",
    ],
)
def test_plain_words_stay(text: str) -> None:
    assert redact(text) == text


def test_secrets_named_by_the_caller_go() -> None:
    said = redact("hook signed with hunter-22 and hunter-2", ["hunter-2", "hunter-22"])

    assert said == "hook signed with *** and ***"


def test_named_secret_too_short_to_be_one_stays() -> None:
    assert redact("a b c", ["a", ""]) == "a b c"


def test_cut_off_private_key_goes() -> None:
    assert "MIIE" not in redact(f"key: {PEM[:60]}")


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "piece",
    [
        "eyI",
        "eyI-",
        "a.",
        "a_",
        "token ",
        "-----BEGIN A",
        "A1",
        "http://a:",
        "x-",
        "ghp_",
        " ",
        "=",
    ],
)
def test_hostile_text_is_read_in_one_go(piece: str) -> None:
    redact(piece * 100_000)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=300))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = redact(text)

    assert redact(once) == once


@given(st.text(max_size=40), st.sampled_from(SECRETS), st.text(max_size=40))
def test_secret_between_separators_never_survives(before: str, secret: str, after: str) -> None:
    assert secret not in redact(f"{before} {secret} {after}")

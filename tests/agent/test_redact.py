"""Nothing that looks like a credential gets past the redactor; ordinary text does."""

from __future__ import annotations

import base64
import json
import logging

import pytest
from fleet_agent.redact import JsonFormatter, RedactingFormatter, redact

JIT = base64.b64encode(b'{".runner":"e30=",".credentials":"e30="}' * 4).decode()


@pytest.mark.parametrize(
    "secret",
    [
        "fla_ABCDEF123456_" + "s" * 43,
        "fle_ABCDEF123456_" + "s" * 43,
        "ghp_" + "a" * 36,
        "gho_" + "a" * 36,
        "ghs_123456_eyJhbGciOiJSUzI1NiJ9." + "a.b-_" * 100,
        "github_pat_" + "a" * 82,
        JIT,
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIxIn0aaaaaaaaaaaa.c2lnbmF0dXJl",
    ],
)
@pytest.mark.parametrize("around", ["{}", "token {}.", '"{}"', "a\n{}\nb"])
def test_secret_is_masked(secret: str, around: str) -> None:
    masked = redact(around.format(secret))
    assert secret not in masked
    assert secret[20:60] not in masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Authorization: Bearer abc", "Authorization: Bearer ***"),
        ("RemoteAuth AABBCC", "RemoteAuth ***"),
        ("https://user:hunter2@proxy:8080/x", "https://***@proxy:8080/x"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----", "***"),
    ],
)
def test_secret_by_its_place_is_masked(text: str, masked: str) -> None:
    assert redact(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23 19:01:12Z: Listening for Jobs",
        "√ Connected to GitHub",
        "https://github.com/actions/runner/releases/download/v2.336.0/x.tar.gz",
        "slot forge-01-1a2b, 0123456789abcdef0123456789abcdef01234567",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert redact(text) == text


def test_log_line_and_traceback_are_masked() -> None:
    secret = "fla_ABCDEF123456_" + "s" * 43
    try:
        raise ValueError(secret)
    except ValueError as err:
        record = logging.LogRecord(
            "x", logging.ERROR, "f", 1, "with %s", (secret,), (ValueError, err, err.__traceback__)
        )
    line = RedactingFormatter("%(message)s").format(record)
    assert "Traceback" in line
    assert secret not in line


def test_json_line_names_host_and_runner_and_masks_each_text() -> None:
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "Bearer %s", ("hunter2",), None)
    record.runner_id = 7
    formatter = JsonFormatter()
    formatter.host = "forge-01"

    line = json.loads(formatter.format(record))

    assert (line["message"], line["host"], line["runner_id"]) == ("Bearer ***", "forge-01", 7)
    assert line["at"].endswith("Z")

"""Webhook deliveries: signature first, then content, in both content types."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from runners.github.webhooks import (
    BadDelivery,
    parse_payload,
    read_delivery,
    sign,
    verify_signature,
)

SECRET = "It's a Secret to Everybody"
RECORDED = sorted((Path(__file__).parents[1] / "payloads/github/webhooks").glob("*.*.json"))
JSON_TYPE = "application/json"
FORM_TYPE = "application/x-www-form-urlencoded"


def headers(body: bytes, **changes: str) -> CaseInsensitiveDict[str]:
    sent = {
        "x-github-event": "workflow_job",
        "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "x-github-hook-id": "292430182",
        "x-github-hook-installation-target-id": "79929171",
        "x-github-hook-installation-target-type": "organization",
        "x-hub-signature-256": sign(SECRET, body),
        "content-type": JSON_TYPE,
    }
    return CaseInsensitiveDict(sent | {k.replace("_", "-"): v for k, v in changes.items()})


def test_signature_is_githubs_own_example() -> None:
    wanted = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"

    assert sign(SECRET, b"Hello, World!") == wanted
    assert verify_signature(SECRET, b"Hello, World!", wanted)


@pytest.mark.parametrize(
    "signature",
    ["", "sha256=", "757107ea", "sha1=757107ea", "sha256=" + "0" * 64, "sha256=ü", "\udcff"],
)
def test_other_signature_is_refused(signature: str) -> None:
    assert not verify_signature(SECRET, b"Hello, World!", signature)


def test_empty_secret_verifies_nothing() -> None:
    assert not verify_signature("", b"x", sign("", b"x"))
    assert not verify_signature([], b"x", sign("", b"x"))


def test_either_secret_of_a_rotation_verifies() -> None:
    for secret in ("old secret", "new secret"):
        assert verify_signature(["new secret", "old secret"], b"x", sign(secret, b"x"))


@given(st.binary(max_size=200), st.integers(0, 7), st.data())
def test_any_changed_bit_breaks_the_signature(body: bytes, bit: int, data: st.DataObject) -> None:
    changed = bytearray(body or b"x")
    at = data.draw(st.integers(0, len(changed) - 1))
    good = sign(SECRET, bytes(changed))
    changed[at] ^= 1 << bit

    assert not verify_signature(SECRET, bytes(changed), good)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
@pytest.mark.parametrize("content_type", [JSON_TYPE, FORM_TYPE])
def test_recorded_delivery_is_read_in_both_content_types(path: Path, content_type: str) -> None:
    text = path.read_text(encoding="utf-8")
    body = text.encode() if content_type == JSON_TYPE else urlencode({"payload": text}).encode()
    found = read_delivery(headers(body, content_type=content_type), body, SECRET)

    assert found.payload == json.loads(text)
    assert found.action == json.loads(text).get("action", "")
    assert found.hook_id == 292430182
    assert found.target_id == 79929171
    assert found.target_type == "organization"
    assert found.guid.startswith("72d3162e")


def test_delivery_shows_no_payload_in_its_repr() -> None:
    body = b'{"action": "queued", "private": "thing"}'

    assert "thing" not in repr(read_delivery(headers(body), body, SECRET))


@pytest.mark.parametrize(
    ("body", "changes", "status"),
    [
        (b"{}" + b" " * 100, {}, 413),
        (b"{}", {"x_hub_signature_256": "sha256=0"}, 401),
        (b"{}", {"x_github_event": ""}, 400),
        (b"{}", {"x_github_delivery": ""}, 400),
        (b"nonsense", {}, 400),
        (b"[]", {}, 400),
        (b"payload=1&payload=2", {"content_type": FORM_TYPE}, 400),
        (b"other=1", {"content_type": FORM_TYPE}, 400),
        (b"\xff", {"content_type": FORM_TYPE}, 400),
        (b"payload=[]", {"content_type": f"{FORM_TYPE}; charset=utf-8"}, 400),
    ],
)
def test_bad_delivery_is_refused_with_its_status(
    body: bytes, changes: dict[str, str], status: int
) -> None:
    with pytest.raises(BadDelivery) as caught:
        read_delivery(headers(body, **changes), body, SECRET, max_body_bytes=64)
    assert caught.value.status == status


def test_unsigned_body_is_never_parsed() -> None:
    body = b"nonsense"

    with pytest.raises(BadDelivery) as caught:
        read_delivery(headers(body, x_hub_signature_256=""), body, SECRET)
    assert caught.value.status == 401


def test_hook_id_may_be_missing() -> None:
    found = read_delivery(headers(b"{}", x_github_hook_id=""), b"{}", SECRET)

    assert found.hook_id is None
    assert found.action == ""


def test_form_payload_may_hold_plus_and_percent() -> None:
    body = urlencode({"payload": '{"a": "1+1 = 100%"}'}).encode()

    assert parse_payload(body, FORM_TYPE) == {"a": "1+1 = 100%"}

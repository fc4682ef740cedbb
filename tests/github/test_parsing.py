"""Answers read into values; whatever else they hold, a broken one is a BadAnswer."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest

from runners.github.errors import BadAnswer
from runners.github.parsing import Fields, moment_from, parse_json, text_of
from runners.github.types import Listing
from runners.github.types.account import (
    expiry_from_header,
    parse_meta,
    parse_rate_limits,
    parse_repository,
)
from runners.github.types.apps import (
    parse_installation,
    parse_installation_token,
    parse_manifest_app,
)
from runners.github.types.hooks import parse_delivery_detail, parse_webhook, parse_webhook_config
from runners.github.types.listing import PageOf
from runners.github.types.releases import parse_release
from runners.github.types.runners import (
    parse_jit_config,
    parse_label,
    parse_runner,
    parse_runner_application,
    parse_runner_group,
    parse_runner_token,
)
from runners.github.types.runs import parse_dispatched_run, parse_job, parse_workflow_run
from tests.github import bodies
from tests.github.examples import R, example_of

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BREAKERS: list[Any] = [None, True, "text", 1.5, -1, [], {}, [None], [1], {"a": 1}]

CASES: list[tuple[Callable[[Any], object], str, str]] = [
    (PageOf(parse_runner, "runners"), "GET", "/orgs/{org}/actions/runners"),
    (parse_runner, "GET", "/orgs/{org}/actions/runners/{runner_id}"),
    (parse_jit_config, "POST", "/orgs/{org}/actions/runners/generate-jitconfig"),
    (parse_runner_token, "POST", "/orgs/{org}/actions/runners/registration-token"),
    (PageOf(parse_runner_application), "GET", "/orgs/{org}/actions/runners/downloads"),
    (parse_runner_group, "GET", "/orgs/{org}/actions/runner-groups/{runner_group_id}"),
    (parse_workflow_run, "GET", f"{R}/actions/runs/{{run_id}}"),
    (parse_job, "GET", f"{R}/actions/jobs/{{job_id}}"),
    (parse_installation, "GET", "/orgs/{org}/installation"),
    (parse_installation_token, "POST", "/app/installations/{installation_id}/access_tokens"),
    (parse_manifest_app, "POST", "/app-manifests/{code}/conversions"),
    (parse_webhook, "GET", "/orgs/{org}/hooks/{hook_id}"),
    (parse_delivery_detail, "GET", "/orgs/{org}/hooks/{hook_id}/deliveries/{delivery_id}"),
    (parse_release, "GET", f"{R}/releases/latest"),
    (parse_rate_limits, "GET", "/rate_limit"),
    (parse_meta, "GET", "/meta"),
    (parse_repository, "GET", R),
]


@pytest.mark.parametrize(("parse", "method", "template"), CASES)
def test_broken_answer_is_read_or_refused_but_never_crashes(
    parse: Callable[[Any], object], method: str, template: str
) -> None:
    whole = example_of(method, template).body
    parse(whole)
    refusals = []
    for broken in _broken_copies(whole):
        try:
            parse(broken)
        except BadAnswer as err:
            refusals.append(err.user_message)
    assert len(refusals) > 3
    assert all("GitHub's answer" in said for said in refusals)


def _broken_copies(whole: Any) -> list[Any]:
    """The answer with each field dropped or replaced, one at a time, two levels deep."""
    copies: list[Any] = list(BREAKERS)
    if isinstance(whole, list):
        return copies + [[inner] for inner in _broken_copies(whole[0])]
    for name, value in whole.items():
        copies.append({key: kept for key, kept in whole.items() if key != name})
        copies += [whole | {name: breaker} for breaker in BREAKERS]
        if isinstance(value, dict):
            copies += [
                whole | {name: inner}
                for inner in [{k: v for k, v in value.items() if k != gone} for gone in value]
            ]
        if isinstance(value, list) and value and isinstance(value[0], dict):
            first = deepcopy(value[0])
            copies += [
                whole | {name: [first | {key: breaker}]} for key in first for breaker in BREAKERS
            ]
    return copies


def test_error_names_the_field_that_is_wrong() -> None:
    with pytest.raises(BadAnswer, match=r"whole number at runner\.id"):
        parse_runner(bodies.runner() | {"id": "7"})


def test_runner_of_an_older_server_is_read() -> None:
    runner = parse_runner(bodies.runner())

    assert (runner.runner_group_id, runner.ephemeral, runner.version) == (None, None, "")
    assert runner.online
    assert runner.label_names == ("self-hosted",)


def test_job_without_its_newer_fields_is_read() -> None:
    body = example_of("GET", f"{R}/actions/jobs/{{job_id}}").body
    for name in ("created_at", "run_attempt"):
        body.pop(name, None)
    job = parse_job(body | {"runner_id": 0, "runner_group_id": 0, "runner_name": ""})

    assert job.created_at == job.started_at
    assert (job.run_attempt, job.runner_id, job.runner_group_id) == (1, None, None)


def test_label_may_have_no_type_and_no_id() -> None:
    label = parse_label({"name": "gpu"})

    assert (label.name, label.type, label.id) == ("gpu", "", None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-23T12:00:00Z", NOON),
        ("2026-11-23T14:00:00+02:00", NOON),
        ("2026-11-23T12:00:00.000Z", NOON),
        ("2026-11-23T12:00:00", NOON),
        (int(NOON.timestamp()), NOON),
        (float(NOON.timestamp()), NOON),
        (True, None),
        ("yesterday", None),
        (1e300, None),
        (None, None),
        ([], None),
    ],
)
def test_moment_is_read_in_every_spelling(value: Any, expected: datetime | None) -> None:
    assert moment_from(value) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("2026-11-23 12:00:00 UTC", NOON),
        ("2026-11-23 14:00:00 +0200", NOON),
        ("2026-11-23 07:00:00 -0500", NOON),
        ("", None),
        ("never", None),
    ],
)
def test_token_expiry_header_is_read(header: str, expected: datetime | None) -> None:
    assert expiry_from_header(header) == expected


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff\xfe", b"[" * 200_000])
def test_body_that_is_not_json_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(BadAnswer, match="not JSON"):
        parse_json(body, "here")


def test_list_of_something_else_than_texts_is_a_bad_answer() -> None:
    with pytest.raises(BadAnswer, match="not a text"):
        text_of(7)


def test_number_of_seconds_is_read_and_a_flag_is_none() -> None:
    assert Fields({"duration": 2}, "x").seconds("duration") == 2.0
    with pytest.raises(BadAnswer):
        Fields({"duration": True}, "x").seconds("duration")


@pytest.mark.parametrize(
    ("value", "expected"), [("0", False), (0, False), (None, False), ("1", True), (1, True)]
)
def test_insecure_ssl_is_read_in_every_spelling(value: Any, expected: bool) -> None:
    assert parse_webhook_config({"insecure_ssl": value}).insecure_ssl is expected


def test_payload_of_a_delivery_is_kept_as_json_text() -> None:
    template = "/orgs/{org}/hooks/{hook_id}/deliveries/{delivery_id}"
    body = example_of("GET", template).body
    body["request"] = {"headers": None, "payload": {"a": "ü"}}
    detail = parse_delivery_detail(body)

    assert detail.payload == '{"a":"ü"}'
    assert detail.request_headers == {}


def test_dispatch_answer_may_be_empty() -> None:
    assert parse_dispatched_run(None) is None
    run = parse_dispatched_run({"workflow_run_id": 5, "run_url": "u", "html_url": "h"})
    assert run is not None
    assert run.workflow_run_id == 5


def test_installation_of_an_enterprise_is_named_by_its_slug() -> None:
    body = example_of("GET", "/orgs/{org}/installation").body

    assert parse_installation(body | {"account": {"slug": "acme-inc"}}).account == "acme-inc"
    assert parse_installation(body | {"account": None}).account == ""


def test_listing_is_a_sequence() -> None:
    listing = Listing((1, 2, 3))

    assert len(listing) == 3
    assert list(listing) == [1, 2, 3]
    assert listing[0] == 1
    assert listing[1:] == (2, 3)
    assert 2 in listing
    assert not Listing(())


def test_list_that_is_none_is_a_bad_answer() -> None:
    with pytest.raises(BadAnswer, match="not a list"):
        PageOf(parse_runner)({"runners": []})

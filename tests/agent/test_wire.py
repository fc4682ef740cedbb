"""Answers of the server: the contract's examples are understood, half answers are not."""

from __future__ import annotations

from typing import Any

import pytest
from fleet_agent.exit_codes import describe
from fleet_agent.wire import (
    BadAnswer,
    parse_enrolment,
    parse_heartbeat,
    parse_registration,
    parse_wanted,
)

from tests.agent.shapes import example


def test_wanted_set_of_the_contract_is_understood() -> None:
    answer = parse_heartbeat(example("heartbeat.response.json"))
    assert answer.wanted is not None
    assert [(w.runner_id, w.run, w.mode) for w in answer.wanted] == [
        (12, True, "jit"),
        (13, True, "persistent"),
        (11, False, "jit"),
    ]
    assert answer.wanted[0].package is not None
    assert answer.wanted[2].package is None
    assert [(w.gpu, w.emulates) for w in answer.wanted] == [
        ("GPU-1f2e3d4c-0000-0000-0000-000000000001", ""),
        ("", "arm64"),
        ("", ""),
    ]
    assert answer.github_url == ""


def test_address_of_github_is_taken_from_the_answer() -> None:
    told = example("heartbeat.response.json") | {"github_url": "https://github.com/robots.txt"}
    assert parse_heartbeat(told).github_url == "https://github.com/robots.txt"


def test_unchanged_answer_of_the_contract_is_understood() -> None:
    answer = parse_heartbeat(example("heartbeat.unchanged.response.json"))
    assert (answer.wanted, answer.journal_seq) == (None, None)


def test_rotated_token_of_the_contract_is_understood() -> None:
    answer = parse_heartbeat(example("heartbeat.rotated.response.json"))
    assert answer.token == example("heartbeat.rotated.response.json")["token"]
    assert answer.want_facts is True


@pytest.mark.parametrize("field", ["version", "journal_seq", "next_seconds", "wanted"])
def test_heartbeat_answer_without_a_field_is_dropped_whole(field: str) -> None:
    answer = example("heartbeat.response.json")
    del answer[field]
    with pytest.raises(BadAnswer, match=field):
        parse_heartbeat(answer)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("runner_id", True),
        ("runner_id", "12"),
        ("wanted", "restart"),
        ("mode", "container"),
        ("force", 1),
        ("package", []),
        ("package", {"version": "2.336.0"}),
    ],
)
def test_wanted_runner_that_is_not_understood_is_refused(field: str, value: Any) -> None:
    wanted = example("heartbeat.response.json")["wanted"][0] | {field: value}
    with pytest.raises(BadAnswer):
        parse_wanted(wanted)


def test_unknown_fields_are_ignored() -> None:
    wanted = example("heartbeat.response.json")["wanted"][0] | {"colour": "blue"}
    assert parse_wanted(wanted).runner_id == 12


def test_secrets_are_in_no_representation() -> None:
    enrolment = parse_enrolment(example("enrol.response.json"))
    registration = parse_registration(example("registration.response.json"))
    assert enrolment.token not in repr(enrolment)
    assert registration.token not in repr(registration)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "done"),
        (1, "terminated error"),
        (2, "retryable"),
        (3, "updating"),
        (5, "session conflict"),
        (7, "version deprecated"),
        (127, "could not be started"),
        (137, "SIGKILL"),
        (139, "SIGSEGV"),
        (250, "signal 122"),
        (99, "unknown exit code 99"),
        (None, "unknown"),
    ],
)
def test_exit_codes_are_told_in_words(code: int | None, words: str) -> None:
    assert words in describe(code)

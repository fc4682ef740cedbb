"""The words of events: none that the fleet records is left to be spelled from its name."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from runners.models import Event
from runners.states import RunnerState
from runners.views.event_words import WORDS, happening, is_person, words_of
from tests.factories import NOW
from tests.views.stylesheets import glyph_ids

RUNNERS = Path(__file__).resolve().parents[2] / "runners"
ACTION = re.compile(r"[a-z]+\.[a-z]+(-[a-z]+)*")


def recorded_actions() -> set[str]:
    """Every literal action handed to `audit.record`, and the ones made of a state."""
    found = {f"runner.{state.value}" for state in RunnerState if state != RunnerState.PROVISIONING}
    for path in RUNNERS.rglob("*.py"):
        if {"simulator", "agent"} & set(path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("record"):
                constants = [part for argument in node.args for part in ast.walk(argument)]
                found |= {
                    part.value
                    for part in constants
                    if isinstance(part, ast.Constant)
                    and isinstance(part.value, str)
                    and ACTION.fullmatch(part.value)
                }
    return found


def event(**facts):
    return Event(
        at=NOW, actor_kind="user", actor_name="ops", action="host.cordon", object_name="h", **facts
    )


def test_actions_were_found():
    assert {"host.cordon", "runner.provision", "pool.change", "runner.failed"} <= recorded_actions()


@pytest.mark.parametrize("action", sorted(recorded_actions()))
def test_every_action_has_its_words(action):
    assert action in WORDS


@pytest.mark.parametrize("state", sorted({state for state, _ in WORDS.values()}))
def test_every_state_of_an_event_has_a_glyph(state):
    assert f"g-{state}" in glyph_ids()


def test_an_unknown_action_is_spelled_out():
    assert words_of("cache.clear-old") == ("info", "Cache clear old")


def test_a_line_of_a_timeline_names_object_actor_and_reason():
    line = happening(event(reason="Kernel"))

    assert (line.title, line.text) == ("Cordoned host h", "ops · Kernel")


def test_a_reason_may_be_missing():
    assert happening(event()).text == "ops"


@pytest.mark.parametrize(
    ("kind", "person"),
    [("user", True), ("command", True), ("system", False), ("agent", False), ("github", False)],
)
def test_people_are_told_from_programs(kind, person):
    assert is_person(Event(actor_kind=kind)) == person

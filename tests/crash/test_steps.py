"""No step is left out of the crash matrix unless somebody wrote down why."""

from __future__ import annotations

import pytest

from tests.crash.covered import EXEMPT, EXEMPT_MODULES, IN_MATRIX
from tests.crash.operations import OPERATIONS
from tests.crash.scenarios import SCENARIOS
from tests.crash.steps import every_step


def is_exempt(step: str) -> bool:
    return step in EXEMPT or step.partition(".")[0] in EXEMPT_MODULES


def test_every_step_is_in_the_matrix_or_says_why_not():
    left_out = [step for step in every_step() if step not in IN_MATRIX and not is_exempt(step)]

    assert left_out == [], "add a scenario and name it in `covered`, or exempt it with a reason"


def test_nothing_is_both_in_the_matrix_and_exempt_or_no_step_any_more():
    steps = set(every_step())

    assert [step for step in IN_MATRIX if is_exempt(step)] == []
    assert set(IN_MATRIX) | set(EXEMPT) <= steps
    assert set(EXEMPT_MODULES) <= {step.partition(".")[0] for step in steps}


def test_every_covered_step_names_a_scenario_that_is_there():
    names = {scenario.name for scenario in (*SCENARIOS, *OPERATIONS)}

    assert set(IN_MATRIX.values()) <= names


@pytest.mark.parametrize(
    "step",
    ["tasks.scale_pools", "api agent-heartbeat", "lifecycle.drain", "fleet.quiesce"],
)
def test_steps_are_found_in_the_code(step):
    assert step in every_step()

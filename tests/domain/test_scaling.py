"""How many runners each pool starts: the arithmetic over every small case, and its words."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runners.scaling import Decision, Plan, PoolSupply, plan

SMALL = range(4)
CASES = [
    (min_idle, maximum, idle, starting, busy)
    for min_idle, maximum, idle, starting, busy in product(SMALL, repeat=5)
    if min_idle <= maximum
]


def supply(min_idle=1, maximum=3, idle=0, starting=0, busy=0, held_back="", pool_id=1):
    return PoolSupply(
        pool_id=pool_id,
        name="linux-x64",
        min_idle=min_idle,
        max_runners=maximum,
        idle=idle,
        starting=starting,
        busy=busy,
        held_back=held_back,
    )


def decide(pool):
    (decision,) = plan([pool]).decisions
    return decision


def test_every_small_case_starts_what_is_missing_within_the_maximum():
    for min_idle, maximum, idle, starting, busy in CASES:
        decision = decide(supply(min_idle, maximum, idle, starting, busy))

        ready = idle + starting
        assert decision.start >= 0
        assert decision.start <= max(0, min_idle - ready)
        assert decision.start == 0 or ready + busy + decision.start <= maximum
        reached = ready + decision.start >= min_idle
        full = ready + busy + decision.start >= maximum
        assert reached or full


@pytest.mark.parametrize("case", CASES[::7])
def test_pool_held_back_starts_nothing_and_says_why(case):
    decision = decide(replace(supply(*case), held_back="paused, kernel"))

    assert decision == Decision(1, 0, "linux-x64: paused, kernel.")


@pytest.mark.parametrize(
    ("pool", "start", "why"),
    [
        (supply(2, 5), 2, "linux-x64: 0 of 2 ready: starting 2."),
        (supply(2, 5, idle=1, starting=1), 0, "linux-x64: 2 of 2 ready."),
        (supply(2, 5, idle=1, busy=3), 1, "linux-x64: 1 of 2 ready: starting 1."),
        (supply(2, 3, busy=3), 0, "linux-x64: 0 of 2 ready, but at its maximum of 3."),
        (supply(2, 3, idle=1, busy=2), 0, "linux-x64: 1 of 2 ready, but at its maximum of 3."),
        (supply(0, 0), 0, "linux-x64: 0 of 0 ready."),
        (supply(1, 2, busy=5), 0, "linux-x64: 0 of 1 ready, but at its maximum of 2."),
    ],
)
def test_decision_says_why_in_a_sentence_a_person_can_check(pool, start, why):
    assert decide(pool) == Decision(1, start, why)


def test_plan_has_one_decision_a_pool_in_the_order_given():
    decided = plan([supply(pool_id=3), supply(pool_id=1), supply(pool_id=2)])

    assert [decision.pool_id for decision in decided.decisions] == [3, 1, 2]
    assert plan([]) == Plan()


@given(
    st.integers(0, 50),
    st.integers(0, 50),
    st.integers(0, 100),
    st.integers(0, 100),
    st.integers(0, 100),
)
def test_carrying_the_plan_out_leaves_nothing_to_do(min_idle, more, idle, starting, busy):
    pool = supply(min_idle, min_idle + more, idle, starting, busy)
    started = decide(pool).start

    after = supply(min_idle, min_idle + more, idle, starting + started, busy)

    assert decide(after).start == 0

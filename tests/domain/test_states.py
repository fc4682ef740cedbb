"""What a person sees, over every combination of what we want, what the host and what GitHub say."""

from itertools import product

import pytest
from django.db.models import F

from runners.models import Runner
from runners.states import (
    HOST_TONE,
    LIVE,
    ORDER,
    SERVING,
    TONE,
    TRANSITIONS,
    DisplayState,
    GitHubStatus,
    HostState,
    Phase,
    RunnerFacts,
    RunnerState,
    display_state,
    is_busy,
)
from tests.factories import NOW, HostFactory, ScopeFactory

COMBINATIONS = [
    RunnerFacts(*each)
    for each in product(
        RunnerState, Phase, GitHubStatus, (False, True), (False, True), (False, True)
    )
]
OVER = (RunnerState.REMOVED, RunnerState.REMOVING, RunnerState.FAILED)


def where(**wanted):
    """The combinations with these values."""
    return [
        facts
        for facts in COMBINATIONS
        if all(getattr(facts, name) == value for name, value in wanted.items())
    ]


@pytest.mark.django_db
def test_filter_annotation_and_display_state_agree_on_every_combination():
    scope = ScopeFactory()
    loud, silent = HostFactory(), HostFactory(offline=True)
    Runner.objects.bulk_create(
        Runner(
            name=f"runner-{number}",
            scope=scope,
            host=silent if facts.host_silent else loud,
            state=facts.state,
            state_changed_at=NOW,
            phase=facts.phase,
            github_status=facts.github_status,
            github_busy=facts.github_busy,
            quarantined_at=NOW if facts.quarantined else None,
            created_at=NOW,
        )
        for number, facts in enumerate(COMBINATIONS)
    )

    rows = Runner.objects.with_display_state(NOW).order_by("pk")
    filtered = list(rows.values_list(F("display"), flat=True))

    assert len(filtered) == 6 * 11 * 4 * 2 * 2 * 2
    assert filtered == [display_state(facts).value for facts in COMBINATIONS]
    assert filtered == [runner.display_at(NOW).value for runner in rows.select_related("host")]
    urgencies = Runner.objects.with_urgency(NOW).order_by("pk").values_list(F("urgency"), flat=True)
    assert list(urgencies) == [ORDER[display_state(facts)] for facts in COMBINATIONS]


@pytest.mark.parametrize("state", OVER)
def test_state_at_its_end_is_what_a_person_sees_whatever_else_is_said(state):
    seen = {display_state(facts) for facts in where(state=state, quarantined=False)}

    assert seen == {DisplayState(state.value)}


def test_failed_runner_that_crashed_too_often_is_quarantined_and_no_other_is():
    quarantined = [
        facts for facts in COMBINATIONS if display_state(facts) == DisplayState.QUARANTINED
    ]

    assert quarantined == where(state=RunnerState.FAILED, quarantined=True)


@pytest.mark.parametrize("state", [state for state in RunnerState if state not in OVER])
def test_runner_on_a_silent_host_is_lost(state):
    seen = {display_state(facts) for facts in where(state=state, host_silent=True)}

    assert seen == {DisplayState.LOST}


def test_draining_runner_is_draining_even_while_it_works():
    seen = {display_state(facts) for facts in where(state=RunnerState.DRAINING, host_silent=False)}

    assert seen == {DisplayState.DRAINING}


def test_active_runner_is_busy_if_either_the_host_or_github_says_so():
    for facts in where(state=RunnerState.ACTIVE, host_silent=False):
        said = facts.phase == Phase.BUSY or facts.github_busy
        assert (display_state(facts) == DisplayState.BUSY) == said
        assert is_busy(facts) == said


def test_active_runner_is_idle_only_when_nobody_says_otherwise():
    idle = [
        (facts.phase, facts.github_status)
        for facts in where(state=RunnerState.ACTIVE, host_silent=False, github_busy=False)
        if display_state(facts) == DisplayState.IDLE
    ]

    assert {status for _, status in idle} == {GitHubStatus.ONLINE, GitHubStatus.UNKNOWN}
    assert {phase for phase, _ in idle}.isdisjoint({Phase.EXITED, Phase.FAILED, Phase.GONE})


def test_every_word_has_an_order_and_a_tone():
    assert set(ORDER) == set(TONE) == set(DisplayState)
    assert set(HOST_TONE) == set(HostState)


def test_transitions_name_every_state_and_removed_is_the_only_end():
    assert set(TRANSITIONS) == set(RunnerState)
    assert [state for state, to in TRANSITIONS.items() if not to] == [RunnerState.REMOVED]


def test_every_state_can_be_reached_and_can_reach_the_end():
    reached = {RunnerState.PROVISIONING}
    while more := {to for state in reached for to in TRANSITIONS[state]} - reached:
        reached |= more
    assert reached == set(RunnerState)

    ending = {RunnerState.REMOVED}
    while more := {s for s, to in TRANSITIONS.items() if to & ending} - ending:
        ending |= more
    assert ending == set(RunnerState)


def test_live_and_serving_states_are_those_with_work_left():
    assert set(LIVE) == set(RunnerState) - {RunnerState.FAILED, RunnerState.REMOVED}
    assert set(SERVING) < set(LIVE)

"""Why a job waits, over every kind of supply."""

from __future__ import annotations

import pytest

from runners.waiting import ASSIGNED_WITHIN_SECONDS, Supply, reason

LABELS = frozenset({"self-hosted", "linux"})


def why(wanted, *supplies, waited_seconds=5.0):
    return reason(wanted, supplies, waited_seconds=waited_seconds)


@pytest.mark.parametrize(
    ("supply", "state", "cause"),
    [
        ({"idle": 1}, "starting", "1 idle runner matches. GitHub usually assigns within 10 s."),
        ({"idle": 7}, "starting", "7 idle runners match. GitHub usually assigns within 10 s."),
        ({"starting": 1, "busy": 4}, "starting", "1 matching runner is starting."),
        ({"starting": 2}, "starting", "2 matching runners are starting."),
        ({"busy": 1}, "queued", "The one matching runner is busy."),
        ({"busy": 4}, "queued", "All 4 matching runners are busy."),
        ({"busy": 4, "down": 1}, "queued", "All 4 matching runners are busy; 1 more is down."),
        ({"busy": 1, "down": 2}, "queued", "The one matching runner is busy; 2 more are down."),
        ({"down": 1}, "failed", "The one matching runner is down."),
        ({"down": 3}, "failed", "All 3 matching runners are down."),
    ],
)
def test_the_best_of_the_supply_decides(supply, state, cause):
    found = why(["self-hosted", "linux"], Supply(LABELS, **supply))

    assert (found.state, found.cause) == (state, cause)


def test_supplies_with_the_same_labels_add_up():
    found = why(["linux"], Supply(LABELS, busy=2), Supply(LABELS | {"x64"}, busy=1))

    assert found.cause == "All 3 matching runners are busy."


def test_a_label_nobody_has_is_named():
    found = why(["linux", "cuda-13"], Supply(LABELS, idle=5))

    assert (found.state, found.cause) == ("failed", "No runner has the label cuda-13.")
    assert found.fix


def test_labels_that_never_come_together_are_told_from_missing_ones():
    found = why(["x64", "gpu"], Supply(frozenset({"x64"})), Supply(frozenset({"gpu"})))

    assert found.cause == "No runner has all of its labels together."


def test_labels_match_without_regard_to_case():
    assert why(["Self-Hosted", "LINUX"], Supply(LABELS, idle=1)).state == "starting"


def test_a_runner_with_more_labels_serves_too():
    assert why(["linux"], Supply(LABELS | {"gpu"}, idle=1)).state == "starting"


def test_no_runner_at_all_names_the_first_label():
    assert why(["self-hosted"]).cause == "No runner has the label self-hosted."


def test_an_idle_runner_that_gets_no_job_for_long_points_at_the_group():
    found = why(["linux"], Supply(LABELS, idle=1), waited_seconds=ASSIGNED_WITHIN_SECONDS + 1)

    assert found.cause == "1 idle runner matches, yet GitHub has not assigned the job."
    assert "runner group" in found.fix

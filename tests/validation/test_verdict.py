"""Each criterion of the validation is met by good evidence, and by nothing less."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.validation.verdict import Evidence, IdleSeen, JobSeen, as_json, as_text, judge

T = 1_700_000_000.0


def job(number: int, *, queued_at: float | None = None, conclusion: str = "success") -> JobSeen:
    at = T + 6 * number if queued_at is None else queued_at
    return JobSeen(f"job-{number}", at, at + 8, conclusion, f"ci-{number}")


GOOD = Evidence(
    preset="aggressive",
    idle_timeout_seconds=300,
    timeout_is_the_presets=True,
    set_up_actions=["pool.create"],
    burst=[job(number) for number in range(10)],
    burst_runners=12,
    warm_spares=2,
    idle=[IdleSeen("ci-a", T + 50, T + 355), IdleSeen("ci-b", T + 66, T + 370)],
    hosts_left=[],
    runners_before=0,
    fresh=job(11, queued_at=T + 400),
    fresh_online_at=T + 405,
    operator_actions=[],
)
MODE, BURST, LEAVING, FRESH, HANDS_OFF = range(5)


def test_good_evidence_meets_every_criterion():
    assert judge(GOOD).holds
    assert [each.met for each in judge(GOOD).criteria] == [True] * 5


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({"idle_timeout_seconds": 30, "idle": [IdleSeen("a", T + 60, T + 95)]}, MODE),
        ({"timeout_is_the_presets": False}, MODE),
        ({"set_up_actions": ["pool.create", "pool.update"]}, MODE),
        ({"set_up_actions": []}, MODE),
        ({"burst": [job(number) for number in range(9)]}, BURST),
        ({"burst": [*GOOD.burst[:9], job(9, conclusion="failure")]}, BURST),
        ({"burst": [*GOOD.burst[:9], replace(job(9), conclusion="", completed_at=None)]}, BURST),
        ({"burst": [*GOOD.burst[:9], job(9, queued_at=T + 61)]}, BURST),
        ({"burst_runners": 13}, BURST),
        ({"idle": []}, LEAVING),
        ({"idle": [IdleSeen("a", T + 50, None)]}, LEAVING),
        ({"idle": [IdleSeen("a", T + 50, T + 340)]}, LEAVING),
        ({"idle": [IdleSeen("a", T + 50, T + 420)]}, LEAVING),
        ({"hosts_left": ["process 12 of forge-01"]}, LEAVING),
        ({"runners_before": 1}, FRESH),
        ({"fresh_online_at": None}, FRESH),
        ({"fresh_online_at": T + 521}, FRESH),
        ({"fresh": job(11, queued_at=T + 400, conclusion="cancelled")}, FRESH),
        ({"operator_actions": ["runner.provision"]}, HANDS_OFF),
    ],
)
def test_one_shortcoming_breaks_its_criterion_alone(changes, broken):
    verdict = judge(replace(GOOD, **changes))
    assert not verdict.holds
    assert [number for number, each in enumerate(verdict.criteria) if not each.met] == [broken]


@pytest.mark.parametrize(("actions", "word"), [([], "holds"), (["host.drain"], "does not hold")])
def test_verdict_is_written_for_programs_and_for_people(actions, word):
    seen = replace(GOOD, operator_actions=actions)
    told = json.loads(json.dumps(as_json(judge(seen), seen, began=T, ended=T + 450)))
    assert told["holds"] is (not actions)
    text = as_text(judge(seen), seen, began=T, ended=T + 450)
    assert f"**{word}**" in text
    assert "| job-11 | 2023-11-14 22:20:00 UTC | 8 s | success | ci-11 |" in text

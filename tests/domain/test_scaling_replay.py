"""Policies tried on traces whose answer is known, on a clock that jumps."""

from __future__ import annotations

from datetime import time, timedelta

import pytest

from runners import scaling_replay
from runners.scaling import HostRoom, Policy, Presets, ScopeView, Size, Window
from runners.scaling.policy import DAYS
from runners.scaling_replay import Arrival, Outcome, Surroundings, Trace, replay
from runners.scaling_traces import JOBS_A_DAY, made_up
from tests.factories import NOW

SCOPE = ScopeView(1, "organization", "acme")
LABELS = frozenset({"linux", "x64"})
HOUR = timedelta(hours=1)


def host(number=1, slots=8, **facts):
    return HostRoom(number, f"forge-{number:02d}", slots, slots, architecture="x64", **facts)


AROUND = Surroundings((host(),), start_seconds=20, end_seconds=5, beat_seconds=5)


def trace(*jobs, length=HOUR):
    """Jobs as (second they are queued, seconds they run)."""
    arrivals = [Arrival(NOW + timedelta(seconds=at), ran, LABELS) for at, ran in jobs]
    return Trace(SCOPE, NOW, NOW + length, tuple(arrivals))


def play(jobs, around=AROUND, **policy) -> Outcome:
    policy = {"min_idle": 0, "max_runners": 10, **policy}
    return replay("linux-x64", Policy(LABELS, **policy), jobs, around)


def test_from_zero_a_job_waits_for_the_beat_and_the_start():
    outcome = play(trace((12, 60)))

    # Queued at 12, seen at 15, online at 35
    assert outcome.waits == (23.0,)
    assert (outcome.jobs, outcome.left, outcome.started, outcome.peak) == (1, 0, 1, 1)
    # Ordered at 15, online at 35, at work until 95, slot free at 100
    assert (outcome.runner_seconds, outcome.busy_seconds) == (85.0, 60.0)
    assert outcome.idle_share == pytest.approx(25 / 85)


def test_an_idle_runner_takes_a_job_at_once():
    assert play(trace((60, 60)), min_idle=1).waits == (0.0,)


def test_kept_idle_runners_cost_their_hours():
    outcome = play(trace(), min_idle=2)

    assert (outcome.runner_hours, outcome.idle_share, outcome.peak) == (2.0, 1.0, 2)


def test_jobs_beyond_the_maximum_wait_for_those_before_them():
    outcome = play(trace((0, 100), (0, 100)), max_runners=1)

    assert outcome.peak == 1
    # 20 s of start; then a job of 100 s, the next beat, and a start of its own
    assert outcome.waits == (20.0, 20.0 + 100.0 + 20.0)


def test_two_runners_take_half_the_time_of_one_for_equal_jobs():
    jobs = trace(*[(0, 600)] * 4)

    one, two = (max(play(jobs, max_runners=runners).waits) + 600 for runners in (1, 2))

    assert two == one / 2 == 2 * (20.0 + 600.0)


def test_jobs_beyond_the_hosts_wait_for_a_free_slot():
    outcome = play(trace((0, 100), (0, 100)), Surroundings((host(slots=1),)))

    assert outcome.peak == 1
    assert outcome.waits[1] == 20.0 + 100.0 + 5.0 + 20.0


def test_sized_runners_wait_for_room_on_the_host():
    around = Surroundings((host(left=Size(cpus=4)),))

    assert play(trace((0, 100), (0, 100)), around, size=Size(cpus=4)).peak == 1
    assert play(trace((0, 100), (0, 100)), around, size=Size(cpus=2)).peak == 2


def test_an_idle_runner_leaves_after_its_time_out():
    outcome = play(trace((0, 60)), ephemeral=False, idle_timeout_seconds=300)

    # Ordered at 0, online at 20, at work until 80, idle until 380, gone at 385
    assert outcome.runner_seconds == 385.0


def test_idle_time_stays_within_the_time_out_for_each_busy_period():
    periods = 6
    jobs = trace(*((number * 1800, 120) for number in range(periods)), length=4 * HOUR)

    outcome = play(jobs, ephemeral=False, idle_timeout_seconds=300)

    idle = outcome.runner_seconds - outcome.busy_seconds
    # A start, the time-out, a beat and the end of each period
    assert idle <= periods * (20 + 300 + 5 + 5)


def test_a_lazy_pool_lets_one_job_wait_and_a_burst_not():
    alone = play(trace((0, 60)), preset=Presets.LAZY)
    burst = play(trace(*[(0, 60)] * 5), preset=Presets.LAZY)

    assert alone.waits == (120.0 + 20.0,)
    assert burst.waits == (20.0,) * 5


def test_a_cooldown_and_a_step_slow_a_pool_down():
    jobs = trace((0, 600), (0, 600), (0, 600))

    assert play(jobs, scale_up_step=1).waits == (20.0, 25.0, 30.0)
    assert play(jobs, scale_up_step=1, cooldown_seconds=60).waits == (20.0, 80.0, 140.0)


def test_hours_with_other_limits_hold_in_the_replay():
    # NOW is 12:00: from 12:30 on one is kept idle
    window = Window(frozenset(DAYS), time(12, 30), time(13), 1, None)

    outcome = play(trace((300, 60), (2400, 60)), windows=(window,))

    assert outcome.waits[0] == 0.0
    assert outcome.waits[1] > 0.0


def test_a_job_that_still_waits_at_the_end_counts_as_long_as_it_waited():
    outcome = play(trace((3000, 60)), max_runners=0)

    assert (outcome.waits, outcome.left, outcome.long_waits) == ((600.0,), 1, 1)


def test_no_job_is_lost_and_none_runs_twice():
    jobs = made_up(SCOPE, LABELS, begin=NOW, end=NOW + timedelta(days=1))

    outcome = play(jobs, max_runners=4)

    assert outcome.jobs == len(jobs.arrivals)
    assert outcome.peak <= 4
    assert outcome.busy_seconds == pytest.approx(sum(job.seconds for job in jobs.arrivals))


@pytest.mark.parametrize("number", [0, 1, 7])
def test_percentiles_are_those_of_the_nearest_rank(number):
    outcome = Outcome(tuple(float(each) for each in range(number)), 0, 0, 0, 0.0, 0.0, ())

    assert outcome.wait(50) == {0: 0.0, 1: 0.0, 7: 3.0}[number]
    assert outcome.wait(95) == {0: 0.0, 1: 0.0, 7: 6.0}[number]


POLICIES = [
    {},
    {"min_idle": 3},
    {"min_idle": 1, "warm_spares": 2},
    {"preset": Presets.LAZY, "max_runners": 3},
    {"preset": Presets.BALANCED, "ephemeral": False, "idle_timeout_seconds": 120},
    {"scale_up_step": 1, "cooldown_seconds": 30},
    {"ephemeral": False, "max_lifetime_seconds": 900, "min_idle": 1},
]


class _EveryBeat(scaling_replay._Play):
    """Plans on each beat, as the live loop does."""

    def _next_beat(self, now):
        self._look = True
        return now + self._beat


@pytest.mark.parametrize("policy", POLICIES)
def test_beats_that_are_skipped_would_have_changed_nothing(policy):
    jobs = made_up(SCOPE, LABELS, begin=NOW, end=NOW + HOUR)
    tried = Policy(LABELS, **policy)

    assert _EveryBeat("x", tried, jobs, AROUND).run() == replay("x", tried, jobs, AROUND)


def test_the_same_trace_gives_the_same_outcome():
    def once():
        return play(made_up(SCOPE, LABELS, begin=NOW, end=NOW + 3 * HOUR))

    assert once() == once()


def test_a_made_up_day_is_busy_in_its_working_hours():
    midnight = NOW.replace(hour=0)
    jobs = made_up(SCOPE, LABELS, begin=midnight, end=midnight + timedelta(days=1)).arrivals

    working = [job for job in jobs if 8 <= job.at.hour < 18]
    assert len(jobs) == JOBS_A_DAY
    assert len(working) > 0.7 * len(jobs)
    assert list(jobs) == sorted(jobs, key=lambda job: job.at)


def test_the_curve_ends_where_everything_is_done():
    outcome = play(trace((0, 60)))

    assert [(moment.busy, moment.runners, moment.waiting) for moment in outcome.curve] == [
        (0, 1, 1),
        (1, 1, 0),
        (0, 0, 0),
    ]

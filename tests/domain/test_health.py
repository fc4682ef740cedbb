"""Health checks: each thing that breaks turns its own check, and no other."""

from datetime import timedelta

import pytest

from runners.countdowns import Offer
from runners.doctor import Verdict, health
from runners.host_facts import parse_facts
from runners.states import GitHubStatus, Phase, RunnerState
from tests.factories import NOW, HostFactory, RunnerFactory

SOUND = {"agent_version": "0.2.0", "clock_skew_seconds": 0.4}
PRESENT = Offer("2.336.0", NOW - timedelta(days=40))
MINUTE = timedelta(minutes=1)


def not_well(findings):
    return {
        each.name: each.verdict.value
        for each in findings
        if each.verdict in (Verdict.BAD, Verdict.WARN)
    }


def of_host(**broken):
    host = HostFactory.build(**(SOUND | broken))
    return health.of_host(host, shipped_agent="0.2.0", now=NOW)


def of_runner(offer=PRESENT, host=None, scope=None, **broken):
    host = HostFactory.build(**SOUND, **(host or {}))
    runner = RunnerFactory.build(host=host, **broken)
    for name, value in (scope or {}).items():
        setattr(runner.scope, name, value)
    return health.of_runner(runner, offer=offer, now=NOW)


def test_sound_host_and_runner_pass_every_check():
    checks = [*of_host(), *of_runner()]

    assert {each.verdict for each in checks} == {Verdict.OK}
    assert all(each.seen and not each.fix for each in checks)


@pytest.mark.parametrize(
    ("broken", "red"),
    [
        ({"late": True}, {"heartbeat": "warn"}),
        ({"offline": True}, {"heartbeat": "bad"}),
        ({"disk_total_bytes": 100, "disk_used_bytes": 85}, {"disk": "warn"}),
        ({"disk_total_bytes": 100, "disk_used_bytes": 90}, {"disk": "bad"}),
        ({"memory_bytes": 100, "memory_used_bytes": 91}, {"memory": "warn"}),
        ({"memory_bytes": 100, "memory_used_bytes": 98}, {"memory": "bad"}),
        ({"clock_skew_seconds": -31.0}, {"clock": "warn"}),
        ({"clock_skew_seconds": 600.0}, {"clock": "bad"}),
        ({"gpu": True, "gpu_source": "pci, no driver in use (nvidia-smi is not installed)"},
         {"GPU": "bad"}),
        ({"gpus": [{"state": "ok"}, {"state": "lost", "model": "NVIDIA L4"}],
          "gpu_source": "nvidia-smi"}, {"GPU": "bad"}),
        ({"gpu_source": "none: nvidia-smi ended with 9: No devices were found; sysfs shows no"},
         {"GPU": "bad"}),
        ({"gpu_source": "none: nvidia-smi did not answer in 10 s; sysfs shows no"}, {"GPU": "bad"}),
        ({"agent_version": "0.1.9"}, {"agent version": "warn"}),
    ],
)  # fmt: skip
def test_what_breaks_on_a_host_turns_its_check_and_no_other(broken, red):
    checks = of_host(**broken)

    assert not_well(checks) == red
    assert all(each.fix for each in checks if each.name in red)


def test_lost_gpu_is_told_with_the_reason_that_the_agent_sent():
    card = {"vendor": "nvidia", "model": "NVIDIA L4", "state": "lost", "reason": "fell off the bus"}
    host = HostFactory.build(**SOUND, gpus=parse_facts({"gpus": [card]}).gpus)

    checks = health.of_host(host, shipped_agent="0.2.0", now=NOW)

    (gpu,) = [each for each in checks if each.name == "GPU"]
    assert gpu.seen == "1 of 1 lost: NVIDIA L4, fell off the bus"


@pytest.mark.parametrize(
    "fine",
    [
        {"gpu": True, "gpu_source": "nvidia-smi"},
        {"gpu_source": "none: nvidia-smi is not installed; sysfs shows no AMD or Intel card"},
        {"disk_total_bytes": None},
        {"memory_used_bytes": None},
        {"clock_skew_seconds": None},
        {"agent_version": ""},
        {"agent_version": "0.3.0"},
        {"enrolling": True},
    ],
)
def test_what_is_not_there_or_not_told_is_not_bad(fine):
    assert not_well(of_host(**fine)) == {}


@pytest.mark.parametrize(
    ("broken", "red"),
    [
        ({"phase": Phase.EXITED, "exit_code": 134}, {"process tree": "bad"}),
        ({"phase_reason": "it lost its connection to GitHub"}, {"listener": "bad"}),
        ({"github_status": GitHubStatus.ABSENT}, {"registration": "bad"}),
        (
            {"github_status": GitHubStatus.OFFLINE, "github_offline_since": NOW - 2 * MINUTE},
            {"registration": "bad"},
        ),
        ({"runner_version": "2.335.0", "offer": Offer("2.336.0", NOW)}, {"version": "warn"}),
        ({"runner_version": "2.335.0"}, {"version": "bad"}),
    ],
)
def test_what_breaks_of_a_runner_turns_its_check_and_no_other(broken, red):
    checks = of_runner(**broken)

    assert not_well(checks) == red
    assert all(each.fix for each in checks if each.name in red)


@pytest.mark.parametrize(
    "unknown",
    [
        {"host": {"offline": True}},
        {"scope": {"github_unknown_since": NOW}, "github_status": GitHubStatus.OFFLINE},
        {"github_status": GitHubStatus.OFFLINE, "github_offline_since": NOW - MINUTE},
        {"new": True},
        {"starting": True},
        {"runner_version": ""},
        {"offer": None},
    ],
)
def test_what_nobody_can_tell_is_not_bad(unknown):
    assert not_well(of_runner(**unknown)) == {}


def test_runner_that_did_its_one_job_is_well():
    assert not_well(of_runner(phase=Phase.EXITED, exit_code=0, jobs_done=1)) == {}


@pytest.mark.parametrize("state", [RunnerState.REMOVING, RunnerState.REMOVED, RunnerState.FAILED])
def test_runner_that_should_not_work_has_no_checks(state):
    assert of_runner(state=state) == []

"""The agent is killed at every step it takes, started again, and everything is as it should be.

The steps are enumerated by running each scenario once (``crash_server``: every moment before
something takes effect outside the process, told apart by event and by the lines of the agent's
code that led there). Then the scenario is run again for every step and the agent dies at that
step's first occurrence, and, where it occurs more than once, at the second. None is left out. A
step that another order of threads did not reach is said in the table, and the agent dies at the end
of the scenario instead.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import pytest
from fleet_agent.config import NotEnrolled, StateDir
from fleet_agent.marks import marked_trees, new_mark
from fleet_agent.process_table import MARK_VARIABLE

from tests.agent.crash_lab import RUNNER, Forge, Lab

SIDE_BY_SIDE = 5


@dataclass(frozen=True)
class Scenario:
    """``prepare`` brings the world to where crashes begin; ``drive`` goes on to the end.

    ``drive`` may be called again after a crash, and returns early when the agent dies.
    """

    prepare: Callable[[Lab], None]
    drive: Callable[[Lab], None]
    jobs: int = 0
    parts: int = 1


def ensure_running(lab: Lab) -> None:
    """Start the agent unless it runs, and wait until it has talked."""
    if not lab.alive():
        heard = len(lab.dashboard.heartbeats)
        lab.start()
        lab.until_or_dead(lambda: len(lab.dashboard.heartbeats) > heard, "a heartbeat")


def enrol_and_run(lab: Lab) -> None:
    """Enrol unless that was done, then run until the dashboard hears of it."""
    try:
        StateDir(lab.state).load()
    except NotEnrolled:
        lab.enrol()
        lab.until(lambda: not lab.alive(), "the end of the enrolment")
        if lab.doomed and not (lab.state / "agent.json").exists():
            return
    lab.start()
    lab.until_or_dead(lambda: lab.dashboard.heartbeats, "the first heartbeat")


def wanted(lab: Lab) -> None:
    """Prepare a host that is to start a runner."""
    lab.enrolled()
    lab.want()


def start_a_runner(lab: Lab) -> None:
    """Run until the runner listens."""
    ensure_running(lab)
    lab.until_or_dead(lambda: lab.phase() == "listening", "listening")


def forget(lab: Lab) -> None:
    """Take the runner out of the wanted set and wait until nothing of it is there."""
    if RUNNER in lab.dashboard.wanted:
        lab.dashboard.unwant(RUNNER)
    slot = lab.state / "slots" / str(RUNNER)
    lab.until_or_dead(lambda: not slot.exists(), "the end of the slot's directory")


def let_it_end(lab: Lab) -> None:
    """Give the runner its job, let that end, and forget the runner once its end was told."""
    ensure_running(lab)
    if RUNNER in lab.dashboard.wanted:
        lab.signal_runner("job")
        lab.signal_runner("gate")
        if not lab.until_or_dead(lambda: lab.phase() == "exited", "the end of the runner"):
            return
    forget(lab)


def stop_it(lab: Lab) -> None:
    """Have the runner stopped and forget it once that was told."""
    ensure_running(lab)
    if RUNNER in lab.dashboard.wanted:
        lab.want(wanted="stop")
        if not lab.until_or_dead(lambda: lab.phase() == "gone", "gone"):
            return
    forget(lab)


def busy(lab: Lab) -> None:
    """Prepare a runner with a job."""
    lab.bring_up()
    lab.signal_runner("job")
    lab.until(lambda: lab.phase() == "busy", "busy")


def drain_it(lab: Lab) -> None:
    """Have the busy runner stopped, and end its job some heartbeats later."""
    ensure_running(lab)
    if RUNNER in lab.dashboard.wanted and not (lab.root / "released").exists():
        lab.want(wanted="stop")
        heard = len(lab.dashboard.heartbeats)
        if not lab.until_or_dead(lambda: len(lab.dashboard.heartbeats) > heard + 2, "heartbeats"):
            return
        assert lab.listeners(), "a runner was stopped in its job"
        lab.signal_runner("gate")
        (lab.root / "released").touch()
    stop_it(lab)


def restart(lab: Lab) -> None:
    """Have the agent end and start it again: the same runner goes on."""
    [pid] = lab.listeners()
    lab.terminate()
    heard = len(lab.dashboard.heartbeats)
    lab.start()
    lab.until_or_dead(
        lambda: len(lab.dashboard.heartbeats) > heard + 1 and lab.phase() == "listening",
        "listening",
    )
    assert lab.listeners() == [pid]


def left_over(lab: Lab) -> None:
    """Prepare a host with a strange directory and a stray process that carries our mark."""
    lab.enrolled()
    strange = lab.state / "slots" / "keep-me"
    (strange / "deep").mkdir(parents=True)
    (strange / "deep" / ".credentials").write_text("secret")
    mark = new_mark(lab.state / "slots", 99)
    stray = subprocess.Popen(["sleep", "600"], env={**os.environ, MARK_VARIABLE: mark})
    threading.Thread(target=stray.wait, daemon=True).start()
    lab.start()
    lab.until(lambda: left(lab), "the leftovers")


def left(lab: Lab) -> list[str]:
    """Return the leftovers as last told."""
    told = [body["leftovers"] for body in list(lab.dashboard.heartbeats) if "leftovers" in body]
    return [one["name"] for one in told[-1]] if told else []


def clean_up(lab: Lab) -> None:
    """Ask for what is left over to be cleaned."""
    lab.dashboard.clean = left(lab) or lab.dashboard.clean
    ensure_running(lab)
    lab.until_or_dead(lambda: left(lab) == [], "the clean-up")


SCENARIOS = {
    "enrol": Scenario(lambda lab: None, enrol_and_run),
    "start": Scenario(wanted, start_a_runner, parts=4),
    "end": Scenario(Lab.bring_up, let_it_end, jobs=1, parts=2),
    "stop": Scenario(Lab.bring_up, stop_it, parts=2),
    "drain": Scenario(busy, drain_it, jobs=1, parts=2),
    "restart": Scenario(Lab.bring_up, restart, parts=2),
    "clean": Scenario(left_over, clean_up),
}
PARTS = [(name, part) for name, scenario in SCENARIOS.items() for part in range(scenario.parts)]


def steps_of(scenario: Scenario, forge: Forge, root: Path) -> list[tuple[str, int]]:
    """Run a scenario without a crash and return every step to die at, with its occurrence."""
    with Lab(forge, root) as lab:
        scenario.prepare(lab)
        lab.armed.touch()
        scenario.drive(lab)
        assert lab.alive(), lab.log.read_text()
        lab.kill()
        finish(scenario, lab)
        counts = Counter(lab.record.read_text().splitlines())
    return [(name, nth) for name, count in counts.items() for nth in range(1, min(count, 2) + 1)]


def crash(scenario: Scenario, forge: Forge, root: Path, step: tuple[str, int]) -> bool:
    """Die at one step, start again, and check; returns whether the step was reached."""
    with Lab(forge, root, *step) as lab:
        scenario.prepare(lab)
        lab.armed.touch()
        scenario.drive(lab)
        reached = lab.record.read_text().splitlines().count(step[0]) >= step[1]
        lab.kill()
        finish(scenario, lab)
    return reached


def finish(scenario: Scenario, lab: Lab) -> None:
    """Drive a scenario to its end with an agent that meets no crash, stop everything, and check."""
    lab.doomed = False
    scenario.drive(lab)
    if RUNNER in lab.dashboard.wanted:
        stop_it(lab)
    assert lab.alive(), lab.log.read_text()
    lab.terminate()
    slots = lab.state / "slots"
    assert marked_trees(slots) == []
    assert [path.name for path in slots.iterdir()] == []
    assert list(lab.state.rglob(".credentials")) == []
    check_journal(scenario, lab)


def check_journal(scenario: Scenario, lab: Lab) -> None:
    """Fail if a number of the journal was used twice, or something was told as two events."""
    entries: dict[int, object] = {}
    for body in lab.dashboard.heartbeats:
        for entry in body["journal"]:
            assert entries.setdefault(entry["seq"], entry) == entry
    kinds = Counter(lab.dashboard.kinds(RUNNER))
    assert kinds["job-completed"] == scenario.jobs, kinds
    assert kinds["exited"] <= 1, kinds


@pytest.fixture
def forge() -> Iterator[Forge]:
    """What forks the agents."""
    with Forge() as process:
        yield process


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_agent_killed_at_any_step_leaves_nothing_wrong(
    name: str,
    part: int,
    forge: Forge,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    scenario = SCENARIOS[name]
    # By name, not by order: the parts see their steps in orders of their own, and none may be lost.
    steps = steps_of(scenario, forge, tmp_path / "whole")
    points = [step for step in steps if crc32(str(step).encode()) % scenario.parts == part]
    assert points
    failures: dict[tuple[str, int], str] = {}
    missed = []

    def attempt(numbered: tuple[int, tuple[str, int]]) -> None:
        number, point = numbered
        try:
            if not crash(scenario, forge, tmp_path / str(number), point):
                missed.append(point)
        except AssertionError as err:
            failures[point] = str(err)

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        list(pool.map(attempt, enumerate(points)))
    print(f"{name:8} part {part + 1}: {len(points)} steps, {len(missed)} not reached again")  # noqa: T201
    for step, occurrence in points:
        result = "FAILED" if (step, occurrence) in failures else "survived"
        print(f"  {result:8} {occurrence} {step}")  # noqa: T201
    record_property("ends tried", len(points) - len(missed))
    record_property("ends recovered from", len(points) - len(missed) - len(failures))
    assert failures == {}, "\n\n".join(f"{key}: {value}" for key, value in failures.items())

"""The simulator's clock and the timers that follow it."""

import threading
from datetime import UTC, datetime

import pytest
import requests

from runners.simulator import Clock, Simulator
from runners.simulator.timers import Timers
from tests.simulator.receiver import until

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_frozen_clock_moves_only_when_told() -> None:
    clock = Clock(NOON)
    clock.freeze()
    before = clock.time()
    clock.advance(60)
    assert clock.time() == before + 60
    clock.set(NOON)
    assert clock.now() == NOON


def test_running_clock_goes_on_from_where_it_was_set() -> None:
    clock = Clock(NOON)
    clock.freeze()
    clock.thaw()
    assert not clock.frozen
    first = clock.time()
    until(lambda: clock.time() > first)
    assert first >= NOON.timestamp()


def test_timer_fires_when_the_clock_reaches_it() -> None:
    clock, fired = Clock(NOON), []
    clock.freeze()
    timers = Timers(clock, threading.RLock())
    timers.at(clock.time() + 60, lambda: fired.append("second"))
    timers.at(clock.time() + 30, lambda: fired.append("first"))
    clock.advance(29)
    assert fired == []
    clock.advance(31)
    assert fired == ["first", "second"]


def test_timer_armed_by_a_timer_fires_too() -> None:
    clock, fired = Clock(NOON), []
    clock.freeze()
    timers = Timers(clock, threading.RLock())
    timers.at(clock.time() + 1, lambda: timers.at(0, lambda: fired.append("inner")))
    clock.advance(1)
    assert fired == ["inner"]


def test_timer_fires_by_itself_as_time_goes_by() -> None:
    clock, fired = Clock(), threading.Event()
    timers = Timers(clock, threading.RLock())
    timers.start()
    timers.at(clock.time() + 0.01, fired.set)
    assert fired.wait(5)
    timers.stop()


def test_clock_is_set_from_outside(sim: Simulator) -> None:
    url = f"{sim.url}/_sim/clock"
    answer = requests.post(url, json={"set": "2026-11-23T12:00:00+00:00"}, timeout=5).json()
    assert answer == {"now": "2026-11-23T12:00:00Z", "frozen": True}
    answer = requests.post(url, json={"advance_seconds": 90}, timeout=5).json()
    assert answer["now"] == "2026-11-23T12:01:30Z"
    assert requests.post(url, json={"freeze": False}, timeout=5).json()["frozen"] is False


@pytest.mark.parametrize("wrong", [{"set": "noon"}, {"set": "2026-11-23T12:00:00"}])
def test_time_nobody_can_read_is_refused(sim: Simulator, wrong: dict[str, str]) -> None:
    assert requests.post(f"{sim.url}/_sim/clock", json=wrong, timeout=5).status_code == 422

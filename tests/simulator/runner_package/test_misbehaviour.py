"""Each misbehaviour, asked for by the environment or by the job."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.simulator.runner_package.conftest import Start, eventually
from tests.simulator.runner_package.protocol_server import ProtocolServer
from tests.simulator.runner_package.test_one_job import logged

DEPRECATED = "Runner version v2.336.0 is deprecated and cannot receive messages."


def test_crash_kills_the_listener_in_mid_job(server: ProtocolServer, start: Start) -> None:
    job = server.add_job("true", misbehave="crash")
    assert start().wait() == -signal.SIGKILL
    assert job in server.book.started
    assert server.book.completed == {}
    assert server.book.sessions_closed == 0


def test_crash_exit_ends_the_listener_with_1_in_mid_job(
    server: ProtocolServer, start: Start
) -> None:
    server.add_job("true", misbehave="crash-exit")
    assert start().wait() == 1
    assert server.book.completed == {}


def test_crash_by_environment_holds_for_the_job(server: ProtocolServer, start: Start) -> None:
    server.add_job("true")
    assert start(STANDIN_MISBEHAVE="crash").wait() == -signal.SIGKILL


def test_crash_at_start_says_nothing_and_opens_no_session(
    server: ProtocolServer, start: Start
) -> None:
    runner = start(STANDIN_MISBEHAVE="crash-at-start")
    assert runner.wait() == 1
    assert runner.output == ""
    assert server.book.sessions_opened == 0


def test_hang_at_start_opens_no_session_and_needs_sigkill(
    server: ProtocolServer, start: Start
) -> None:
    runner = start(STANDIN_MISBEHAVE="hang")
    listener = runner.one("Runner.Listener")
    eventually(lambda: signal.SIGTERM in _caught(listener.pid))
    runner.process.send_signal(signal.SIGTERM)
    eventually(lambda: signal.SIGTERM not in _pending(listener.pid))
    assert runner.process.poll() is None
    assert server.book.sessions_opened == 0


def test_hang_of_a_job_stops_its_signs_of_life(server: ProtocolServer, start: Start) -> None:
    job = server.add_job("true", misbehave="hang")
    runner = start()
    eventually(lambda: job in server.book.started)
    worker = runner.one("Runner.Worker")
    eventually(lambda: worker.children())
    before = eventually(lambda: _settled(server, job))
    polls = len([path for _, path in server.book.requests if "wait=0" in path])
    eventually(lambda: len([p for _, p in server.book.requests if "wait=0" in p]) > polls)
    assert _renewals(server, job) == before - 1
    assert worker.is_running()
    assert server.book.completed == {}


def test_ignore_sigterm_needs_sigkill(server: ProtocolServer, start: Start) -> None:
    runner = start(STANDIN_MISBEHAVE="ignore-sigterm")
    runner.says("Listening for Jobs")
    for number in (signal.SIGTERM, signal.SIGINT):
        runner.process.send_signal(number)
    job = server.add_job("true")
    assert runner.wait() == 0
    assert server.book.completed[job]["result"] == "Succeeded"


def test_ignore_sigterm_of_a_job_holds_for_listener_worker_and_step(
    server: ProtocolServer, start: Start
) -> None:
    job = server.add_job("echo ready; sleep 60", misbehave="ignore-sigterm")
    runner = start()
    eventually(lambda: job in server.book.log and "ready" in logged(server, job))
    top = psutil.Process(runner.process.pid)
    family = [top, *top.children(recursive=True)]
    assert len(family) >= 3
    for process in family:
        assert {signal.SIGTERM, signal.SIGINT} <= _ignored(process.pid)


def test_left_children_survive_the_job_and_the_runner(
    server: ProtocolServer, start: Start, root: Path
) -> None:
    job = server.add_job("true", misbehave="leave-children")
    assert start().wait() == 0
    assert server.book.completed[job]["result"] == "Succeeded"
    left = [process for process in psutil.process_iter() if _left_in(process, root)]
    assert len(left) == 2
    for process in left:
        assert {signal.SIGTERM, signal.SIGINT, signal.SIGHUP} <= _ignored(process.pid)
        assert os.getsid(process.pid) != os.getsid(0)


def test_flood_at_start_writes_without_end(server: ProtocolServer, start: Start) -> None:
    runner = start(STANDIN_MISBEHAVE="flood")
    eventually(lambda: (runner.root / "test-output.txt").stat().st_size > 5_000_000)
    runner.process.kill()


def test_flood_of_a_job_ends_with_the_job(server: ProtocolServer, start: Start) -> None:
    job = server.add_job("sleep 0.2", misbehave="flood")
    runner = start()
    assert runner.wait() == 0
    assert server.book.completed[job]["result"] == "Succeeded"
    assert (runner.root / "test-output.txt").stat().st_size > 100_000


def test_deprecated_at_start_is_never_listening(server: ProtocolServer, start: Start) -> None:
    ask = {"ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE": "1"}
    runner = start(STANDIN_MISBEHAVE="deprecated", **ask)
    assert runner.wait() == 7
    assert f"An error occurred: {DEPRECATED}" in runner.output
    assert "Listening for Jobs" not in runner.output


def test_deprecated_of_a_job_comes_after_it(server: ProtocolServer, start: Start) -> None:
    job = server.add_job("true", misbehave="deprecated")
    jit = server.jit_config(Ephemeral="False")
    runner = start(ACTIONS_RUNNER_INPUT_JITCONFIG=jit)
    assert runner.wait() == 1
    assert server.book.completed[job]["result"] == "Succeeded"
    assert DEPRECATED in runner.output


def test_oom_kills_the_worker_and_fails_the_job(
    server: ProtocolServer, start: Start, root: Path
) -> None:
    job = server.add_job("true", misbehave="oom")
    assert start().wait() == 0
    assert server.book.completed[job] == {"result": "Failed", "steps": []}
    diag = next((root / "_diag").glob("Runner_*")).read_text("utf-8")
    assert "Worker process exited with code -9" in diag


def test_slow_start_delays_the_session_and_can_be_stopped(
    server: ProtocolServer, start: Start
) -> None:
    runner = start(STANDIN_MISBEHAVE="slow-start", STANDIN_SLOW_START_SECONDS="600")
    listener = runner.one("Runner.Listener")
    eventually(lambda: signal.SIGTERM in _caught(listener.pid))
    assert server.book.sessions_opened == 0
    runner.process.send_signal(signal.SIGTERM)
    assert runner.wait() == 0
    assert server.book.sessions_opened == 0


def test_slow_start_comes_online_in_the_end(server: ProtocolServer, start: Start) -> None:
    server.add_job("true")
    runner = start(STANDIN_MISBEHAVE="slow-start", STANDIN_SLOW_START_SECONDS="0.2")
    assert runner.wait() == 0


def test_session_conflict_on_command(server: ProtocolServer, start: Start) -> None:
    runner = start(STANDIN_MISBEHAVE="session-conflict", STANDIN_CONFLICT_LIMIT_SECONDS="0")
    assert runner.wait() == 5
    assert server.book.sessions_opened == 0


def test_faults_may_be_combined(server: ProtocolServer, start: Start) -> None:
    server.add_job("true", misbehave="leave-children, crash")
    assert start().wait() == -signal.SIGKILL


def test_an_unknown_fault_of_a_job_is_complained_about_and_the_job_runs(
    server: ProtocolServer, start: Start
) -> None:
    job = server.add_job("true", misbehave="dance")
    runner = start()
    assert runner.wait() == 0
    assert "unknown misbehaviour: dance" in runner.output
    assert server.book.completed[job]["result"] == "Succeeded"


def _left_in(process: psutil.Process, root: Path) -> bool:
    try:
        return "STANDIN_LEFT_BEHIND_BY" in process.environ() and str(root) in process.cwd()
    except psutil.Error:
        return False


def _renewals(server: ProtocolServer, job: str) -> int:
    return len([path for _, path in server.book.requests if path.endswith(f"{job}/renew")])


def _settled(server: ProtocolServer, job: str) -> int:
    """One more than the number of renewals, once that stays the same over some listener polls."""
    before = _renewals(server, job)
    polls = len(server.book.requests)
    eventually(lambda: len(server.book.requests) > polls)
    return before + 1 if _renewals(server, job) == before else 0


def _status_signals(pid: int, field: str) -> set[int]:
    for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith(f"{field}:"):
            bits = int(line.split()[1], 16)
            return {number for number in range(1, 65) if bits & (1 << (number - 1))}
    return set()


def _ignored(pid: int) -> set[int]:
    return _status_signals(pid, "SigIgn")


def _caught(pid: int) -> set[int]:
    return _status_signals(pid, "SigCgt")


def _pending(pid: int) -> set[int]:
    return _status_signals(pid, "ShdPnd")


pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")

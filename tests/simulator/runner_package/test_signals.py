"""Stopping: what signals do to listener, worker, step and the job's result."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.simulator.runner_package.conftest import Runner, Start, eventually
from tests.simulator.runner_package.protocol_server import ProtocolServer
from tests.simulator.runner_package.test_one_job import conclusions, logged

SHUTDOWN = "##[error]The runner has received a shutdown signal."


def running_step(server: ProtocolServer, start: Start, script: str, *words: str) -> Runner:
    """A runner whose job's first step said `ready`."""
    job = server.add_job(f"echo ready; {script}")
    runner = start(*words)
    eventually(lambda: "ready" in logged(server, job) if job in server.book.log else False)
    return runner


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_idle_listener_closes_its_session_and_exits_0(
    server: ProtocolServer, start: Start, number: signal.Signals
) -> None:
    runner = start(STANDIN_POLL_WAIT_SECONDS="50")
    runner.says("Listening for Jobs")
    runner.process.send_signal(number)
    assert runner.wait() == 0
    assert server.book.sessions_closed == 1


@pytest.mark.parametrize(("number", "said"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_only_sigint_is_answered_with_a_word(
    start: Start, number: signal.Signals, said: bool
) -> None:
    runner = start()
    runner.says("Listening for Jobs")
    runner.process.send_signal(number)
    runner.wait()
    assert ("Exiting..." in runner.output.splitlines()) is said


def test_a_listener_that_waits_for_a_lost_server_stops_at_once(
    server: ProtocolServer, start: Start
) -> None:
    server.book.refuse_connections = True
    runner = start(STANDIN_RECONNECT_SECONDS="600")
    runner.says("Retrying until reconnected.")
    runner.process.send_signal(signal.SIGTERM)
    assert runner.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_fails_the_running_job(
    server: ProtocolServer, start: Start, number: signal.Signals
) -> None:
    runner = running_step(server, start, "sleep 60")
    runner.process.send_signal(number)
    assert runner.wait() == 0
    (job, report), *_ = server.book.completed.items()
    assert report["result"] == "Failed"
    assert SHUTDOWN in logged(server, job)
    assert "completed with result: Failed" in runner.output


def test_always_steps_do_not_run_after_a_shutdown(server: ProtocolServer, start: Start) -> None:
    steps = [{"run": "echo ready; sleep 60"}, {"run": "echo tidy", "if": "always()"}]
    job = server.add_job(steps=steps)
    runner = start()
    eventually(lambda: job in server.book.log and "ready" in logged(server, job))
    runner.process.send_signal(signal.SIGTERM)
    runner.wait()
    assert conclusions(server, job) == ["cancelled", "skipped"]


def test_local_files_stay_when_a_job_was_stopped(
    server: ProtocolServer, start: Start, root: Path
) -> None:
    runner = running_step(server, start, "sleep 60")
    runner.process.send_signal(signal.SIGTERM)
    runner.wait()
    assert (root / ".credentials").exists()


def test_the_listener_waits_for_a_step_that_takes_its_time_to_stop(
    server: ProtocolServer, start: Start
) -> None:
    trap = "trap 'sleep 1; echo stopped; exit 1' INT; echo ready"
    job = server.add_job(f"{trap}; while true; do sleep 0.05; done")
    runner = start(STANDIN_SIGINT_GRACE_SECONDS="60")
    eventually(lambda: job in server.book.log and "ready" in logged(server, job))
    runner.process.send_signal(signal.SIGTERM)
    assert runner.wait() == 0
    assert "stopped" in logged(server, job).splitlines()


def test_sigint_to_the_worker_alone_does_nothing(server: ProtocolServer, start: Start) -> None:
    runner = running_step(server, start, "sleep 1; echo survived")
    runner.one("Runner.Worker").send_signal(signal.SIGINT)
    assert runner.wait() == 0
    (job, report), *_ = server.book.completed.items()
    assert report["result"] == "Succeeded"
    assert "survived" in logged(server, job)


def test_sigterm_to_the_worker_alone_fails_the_job(server: ProtocolServer, start: Start) -> None:
    runner = running_step(server, start, "sleep 60")
    runner.one("Runner.Worker").send_signal(signal.SIGTERM)
    assert runner.wait() == 0
    assert [report["result"] for report in server.book.completed.values()] == ["Failed"]


def test_killed_worker_fails_the_job_and_the_listener_says_so(
    server: ProtocolServer, start: Start
) -> None:
    runner = running_step(server, start, "sleep 60")
    runner.one("Runner.Worker").kill()
    assert runner.wait() == 0
    assert [report["result"] for report in server.book.completed.values()] == ["Failed"]
    assert "completed with result: Failed" in runner.output


def test_killed_listener_takes_the_worker_along_but_not_the_step(
    server: ProtocolServer, start: Start
) -> None:
    runner = running_step(server, start, "sleep 60")
    worker = runner.one("Runner.Worker")
    step = worker.children()[0]
    runner.process.kill()
    psutil.wait_procs([worker], timeout=30)
    assert not worker.is_running()
    assert step.is_running()
    assert server.book.completed == {}


def test_sigterm_to_run_sh_alone_orphans_the_listener(server: ProtocolServer, start: Start) -> None:
    runner = start("./run.sh")
    runner.says("Listening for Jobs")
    listener = runner.one("Runner.Listener")
    helper = listener.parent()
    runner.process.send_signal(signal.SIGTERM)
    assert runner.wait() == -signal.SIGTERM
    assert listener.is_running()
    assert helper is not None
    assert server.book.sessions_closed == 0


def test_run_sh_with_manual_trap_stops_the_listener_and_waits_for_it(
    server: ProtocolServer, start: Start
) -> None:
    runner = start("./run.sh", RUNNER_MANUALLY_TRAP_SIG="1")
    runner.says("Listening for Jobs")
    listener = runner.one("Runner.Listener")
    runner.process.send_signal(signal.SIGTERM)
    assert runner.wait() == 128 + signal.SIGTERM
    assert not listener.is_running()
    assert server.book.sessions_closed == 1
    assert "Exiting..." in runner.output


def test_signal_to_the_group_of_run_sh_stops_everything(
    server: ProtocolServer, start: Start
) -> None:
    runner = start("./run.sh")
    runner.says("Listening for Jobs")
    listener = runner.one("Runner.Listener")
    os.killpg(runner.process.pid, signal.SIGINT)
    psutil.wait_procs([listener], timeout=30)
    assert not listener.is_running()
    assert server.book.sessions_closed == 1


def test_a_listener_whose_reader_went_away_goes_on(
    server: ProtocolServer, start: Start, root: Path
) -> None:
    runner = start("sh", "-c", "./bin/Runner.Listener run | true; exit 0")
    eventually(lambda: server.book.sessions_opened == 1)
    job = server.add_job("true")
    eventually(lambda: job in server.book.completed)
    assert runner.wait() == 0


def test_service_wrapper_stops_the_listener_with_sigint(
    server: ProtocolServer, start: Start
) -> None:
    runner = start("./bin/runsvc.sh")
    runner.says("Listening for Jobs")
    listener = runner.one("Runner.Listener")
    runner.process.send_signal(signal.SIGTERM)
    runner.wait()
    assert "Exiting..." in runner.output
    assert not listener.is_running()


def test_service_wrapper_kills_a_listener_that_does_not_stop_in_time(
    server: ProtocolServer, start: Start
) -> None:
    job = server.add_job("trap '' INT; echo ready; while true; do sleep 0.05; done")
    slow = {"STANDIN_SIGINT_GRACE_SECONDS": "600", "STANDIN_SERVICE_KILL_SECONDS": "0.3"}
    runner = start("./bin/runsvc.sh", **slow)
    eventually(lambda: job in server.book.log and "ready" in logged(server, job))
    listener = runner.one("Runner.Listener")
    runner.process.send_signal(signal.SIGTERM)
    runner.wait()
    assert not listener.is_running()
    assert server.book.completed == {}


def test_service_wrapper_gives_up_after_ten_retryable_exits(start: Start) -> None:
    runner = start("./bin/runsvc.sh", STANDIN_MISBEHAVE="retryable-error")
    runner.wait()
    assert runner.output.count("Started listener process") == 10
    assert "Stopping the runner after 10 consecutive re-tryable failures" in runner.output


def test_service_wrapper_does_not_retry_a_terminated_listener(start: Start) -> None:
    runner = start("./bin/runsvc.sh", jit=False)
    runner.wait()
    assert runner.output.count("Started listener process") == 1

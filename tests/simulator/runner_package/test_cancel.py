"""Cancellation from the server, the ladder that ends a step, and time limits."""

import pytest

from tests.simulator.runner_package.conftest import Runner, Start, eventually
from tests.simulator.runner_package.protocol_server import ProtocolServer
from tests.simulator.runner_package.test_one_job import conclusions, logged

ENDLESS = "while true; do sleep 0.05; done"


def cancel_when_ready(server: ProtocolServer, start: Start, job: str) -> Runner:
    runner = start()
    eventually(lambda: job in server.book.log and "ready" in logged(server, job))
    server.book.cancel.add(job)
    assert runner.wait() == 0
    return runner


def test_cancelled_job_ends_cancelled(server: ProtocolServer, start: Start) -> None:
    job = server.add_job("echo ready; sleep 600", "true")
    runner = cancel_when_ready(server, start, job)
    assert server.book.completed[job]["result"] == "Canceled"
    assert conclusions(server, job) == ["cancelled", "skipped"]
    assert "##[error]The operation was canceled." in logged(server, job)
    assert "completed with result: Canceled" in runner.output


def test_always_step_runs_after_a_cancel(server: ProtocolServer, start: Start) -> None:
    steps = [
        {"run": "echo ready; sleep 600"},
        {"run": "true"},
        {"run": "echo tidy", "if": "always()"},
        {"run": "echo sorry", "if": "cancelled()"},
        {"run": "true", "if": "failure()"},
    ]
    job = server.add_job(steps=steps)
    cancel_when_ready(server, start, job)
    assert conclusions(server, job) == ["cancelled", "skipped", "success", "success", "skipped"]
    assert server.book.completed[job]["result"] == "Canceled"


@pytest.mark.parametrize(
    ("trap", "said"),
    [
        ("trap 'echo got INT; exit 1' INT", "got INT"),
        ("trap '' INT; trap 'echo got TERM; exit 1' TERM", "got TERM"),
    ],
)
def test_ladder_asks_politely_first(
    server: ProtocolServer, start: Start, trap: str, said: str
) -> None:
    job = server.add_job(f"{trap}; echo ready; {ENDLESS}")
    cancel_when_ready(server, start, job)
    assert said in logged(server, job)


def test_ladder_ends_a_step_that_ignores_every_polite_signal(
    server: ProtocolServer, start: Start
) -> None:
    job = server.add_job(f"trap '' INT TERM; echo ready; {ENDLESS}")
    cancel_when_ready(server, start, job)
    assert server.book.completed[job]["result"] == "Canceled"


def test_ladder_reaches_the_children_of_the_step(server: ProtocolServer, start: Start) -> None:
    child = "trap 'echo child stops; exit 1' INT; while true; do sleep 0.05; done"
    job = server.add_job(f'echo ready; bash -c "{child}"; echo unreached')
    cancel_when_ready(server, start, job)
    assert "child stops" in logged(server, job)


def test_a_job_that_the_server_no_longer_knows_is_cancelled(
    server: ProtocolServer, start: Start
) -> None:
    job = server.add_job("echo ready; sleep 600")
    runner = start()
    eventually(lambda: job in server.book.log and "ready" in logged(server, job))
    server.book.renew_answer = (404, {"message": "Not Found"})
    assert runner.wait() == 0
    assert "completed with result: Canceled" in runner.output


def test_job_over_its_time_limit_is_cancelled(server: ProtocolServer, start: Start) -> None:
    job = server.add_job("sleep 600", timeout_minutes=0.01)
    start().wait()
    assert server.book.completed[job]["result"] == "Canceled"
    assert "has exceeded the maximum execution time of 0.01 minutes." in logged(server, job)


def test_an_outage_during_the_job_loses_nothing(server: ProtocolServer, start: Start) -> None:
    job = server.add_job("mkfifo gate; echo ready; read -r _ < gate; echo after")
    runner = start()
    eventually(lambda: job in server.book.log and "ready" in logged(server, job))
    server.book.refuse_connections = True
    fifo = runner.root / "_work" / "widgets" / "widgets" / "gate"
    fifo.write_text("go\n", "utf-8")
    before = len(server.book.requests)
    eventually(lambda: len(server.book.requests) > before + 5)
    server.book.refuse_connections = False
    assert runner.wait() == 0
    assert server.book.completed[job]["result"] == "Succeeded"
    assert "after" in logged(server, job)

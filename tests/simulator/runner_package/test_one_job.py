"""A JIT runner and its one job, from the first line to the last file."""

from tests.simulator.runner_package.conftest import Start
from tests.simulator.runner_package.protocol_server import ProtocolServer


def test_jit_runner_runs_one_job_and_reports_it_succeeded(
    server: ProtocolServer, start: Start
) -> None:
    job = server.add_job("echo hello")
    runner = start()
    assert runner.wait() == 0, runner.output
    assert server.book.completed[job]["result"] == "Succeeded"

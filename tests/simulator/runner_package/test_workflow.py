"""A job that carries a workflow is handed to act, where there is one."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.simulator.runner_package.conftest import Start, eventually
from tests.simulator.runner_package.protocol_server import ProtocolServer
from tests.simulator.runner_package.test_one_job import conclusions, logged

WORKFLOW = """
name: CI
on: push
jobs:
  build:
    runs-on: [self-hosted, linux]
    env: {PLACE: workflow}
    steps:
      - name: hello
        id: hello
        run: |
          echo "from the $PLACE"
          echo "answer=42" >> $GITHUB_OUTPUT
      - run: echo "the answer is ${{ steps.hello.outputs.answer }}"
      - run: exit 4
      - run: echo never
      - name: tidy
        if: always()
        run: echo tidied
"""
SLOW = """
name: CI
on: push
jobs:
  build:
    runs-on: self-hosted
    steps:
      - run: echo ready; sleep 600
"""
ACT = shutil.which("act") or shutil.which("act", path=str(Path(sys.executable).parent))
needs_act = pytest.mark.skipif(ACT is None, reason="act is not installed")


def path_with_act() -> str:
    return f"{Path(ACT or '').parent}:/usr/bin:/bin"


@needs_act
def test_workflow_runs_with_expressions_and_reports_its_steps(
    server: ProtocolServer, start: Start
) -> None:
    job = server.add_job(workflow_yaml=WORKFLOW, labels=["self-hosted", "linux"])
    assert start(PATH=path_with_act()).wait() == 0
    assert "from the workflow" in logged(server, job)
    assert "the answer is 42" in logged(server, job)
    assert "tidied" in logged(server, job).splitlines()
    assert "never" not in logged(server, job).splitlines()
    assert server.book.completed[job]["result"] == "Failed"


@needs_act
def test_workflow_steps_have_numbers_names_and_conclusions(
    server: ProtocolServer, start: Start
) -> None:
    names = ["hello", "answer", "fails", "skipped", "tidy"]
    steps = [{"name": name, "run": "false"} for name in names]
    job = server.add_job(workflow_yaml=WORKFLOW, steps=steps)
    start(PATH=path_with_act()).wait()
    expected = ["success", "success", "failure", "skipped", "success"]
    assert conclusions(server, job) == expected
    assert [step["name"] for step in server.book.completed[job]["steps"]] == names


@needs_act
def test_workflow_can_be_cancelled_and_leaves_nothing_running(
    server: ProtocolServer, start: Start
) -> None:
    job = server.add_job(workflow_yaml=SLOW)
    runner = start(PATH=path_with_act())
    eventually(lambda: job in server.book.log and "ready" in logged(server, job))
    server.book.cancel.add(job)
    assert runner.wait() == 0
    assert server.book.completed[job]["result"] == "Canceled"
    assert runner.tree("sleep") == []


def test_without_act_the_plain_steps_run(server: ProtocolServer, start: Start) -> None:
    job = server.add_job("echo plain", workflow_yaml=WORKFLOW)
    start(PATH="/usr/bin:/bin").wait()
    assert "plain" in logged(server, job)

"""The process table and the end of trees, on real processes of this test."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet_agent.metrics import SlotMeter, take_sample
from fleet_agent.process_table import (
    MARK_VARIABLE,
    ProcessRef,
    ProcessTable,
    carries_mark,
    is_worker,
    read_process,
)
from fleet_agent.process_tree import Tree, end_tree, members
from fleet_agent.slot_directory import SlotDirectory
from fleet_agent.work import StillBusy, stop

from tests.agent.patience import until


@pytest.fixture
def mark() -> Iterator[str]:
    """A mark of its own; whatever carries it ends with the test."""
    own = uuid.uuid4().hex
    yield own
    end_tree(Tree(own, None, None))


def start(script: str, mark: str, *, interpreter: str = "/bin/sh") -> subprocess.Popen[bytes]:
    """Start a shell script with a mark, in a session of its own."""
    return subprocess.Popen(
        [interpreter, "-c", script],
        env={"PATH": os.environ["PATH"], MARK_VARIABLE: mark},
        start_new_session=True,
        stdin=subprocess.DEVNULL,
    )


def ref_of(pid: int) -> ProcessRef:
    """The identity of a process that is there."""
    process = read_process(pid)
    assert process is not None
    return process.ref


def name_of(pid: int) -> str:
    """The name of a process, "" when it is gone."""
    process = read_process(pid)
    return process.name if process is not None else ""


def test_process_is_known_by_id_and_start(mark: str) -> None:
    child = start("sleep 60", mark)
    ref = ref_of(child.pid)
    assert ref.alive()
    assert not ProcessRef(ref.pid, ref.ticks + 1).alive()
    assert not ProcessRef(ref.pid, ref.ticks + 1).send(signal.SIGKILL)
    assert ref.send(signal.SIGKILL)
    child.wait(timeout=10)
    assert not ref.alive()
    assert not ref.send(signal.SIGKILL)


def test_zombie_is_not_alive(mark: str) -> None:
    child = start("exit 0", mark)
    ref = ref_of(child.pid)
    until(lambda: not ref.alive(), "the end")
    child.wait(timeout=10)


def test_name_with_brackets_and_spaces_is_read(tmp_path: Path, mark: str) -> None:
    program = tmp_path / "a ) b ("
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen([program, "60"], env={MARK_VARIABLE: mark}) as child:
        until(lambda: name_of(child.pid) == "a ) b (", "the name")
        process = read_process(child.pid)
        assert process is not None
        assert process.parent == os.getpid()
        child.kill()


@pytest.mark.parametrize("interpreted", [True, False])
def test_worker_is_recognised(tmp_path: Path, mark: str, interpreted: bool) -> None:
    worker = tmp_path / "Runner.Worker"
    if interpreted:
        worker.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
        worker.chmod(0o755)
        command = [sys.executable, str(worker)]
    else:
        shutil.copy("/bin/sleep", worker)
        command = [str(worker), "60"]
    with subprocess.Popen(command, env={MARK_VARIABLE: mark}) as child:
        until(lambda: (p := read_process(child.pid)) is not None and is_worker(p), "recognition")
        found = ProcessTable.read().worker_below(ref_of(os.getpid()))
        assert found is not None
        child.kill()


def test_shell_that_only_mentions_the_worker_is_none(mark: str) -> None:
    child = start("sleep 60; echo Runner.Worker", mark)
    process = read_process(child.pid)
    assert process is not None
    assert not is_worker(process)
    child.kill()
    child.wait(timeout=10)


def test_tree_is_ended_with_daemons_that_left_session_and_parent(mark: str) -> None:
    child = start("setsid sh -c 'trap \"\" TERM; sleep 61 & sleep 62' & sleep 63", mark)
    runner = ref_of(child.pid)
    until(lambda: len(members(Tree(mark, None, runner))) >= 4, "the whole tree")
    assert end_tree(Tree(mark, None, runner)) == 0
    assert members(Tree(mark, None, runner)) == set()
    child.wait(timeout=10)


def test_tree_that_forks_without_end_is_ended(mark: str) -> None:
    script = "while :; do sleep 0.01 & done"
    child = start(script, mark)
    until(lambda: len(members(Tree(mark, None, None))) > 3, "the forks")
    assert end_tree(Tree(mark, None, ref_of(child.pid))) == 0
    child.wait(timeout=10)


def test_other_processes_are_not_members(mark: str) -> None:
    other = start("sleep 60", uuid.uuid4().hex)
    mine = start("sleep 60", mark)
    tree = Tree(mark, None, ref_of(mine.pid))
    found = {process.pid for process in members(tree)}
    assert mine.pid in found
    assert other.pid not in found
    other.kill()
    other.wait(timeout=10)
    end_tree(tree)
    mine.wait(timeout=10)


def test_mark_is_matched_whole(mark: str) -> None:
    child = start("sleep 60", mark + "0")
    assert not carries_mark(child.pid, mark)
    child.kill()
    child.wait(timeout=10)


def test_use_of_a_slot_is_measured(mark: str) -> None:
    child = start("while :; do :; done & while :; do :; done", mark)
    us = ref_of(os.getpid())
    meter = SlotMeter()
    meter.read(ProcessTable.read(), {12: us})

    def use() -> float:
        return meter.read(ProcessTable.read(), {12: us})[12].cpu_percent

    until(lambda: use() > 5.0, "some use")
    assert meter.read(ProcessTable.read(), {12: us})[12].memory_bytes > 100_000
    end_tree(Tree(mark, None, None))
    child.wait(timeout=10)


def test_sample_has_numbers_within_their_ranges(tmp_path: Path) -> None:
    sample = take_sample(tmp_path)
    assert 0 <= sample["cpu_percent"] <= 100
    assert 0 < sample["memory_used_bytes"] < sample["memory_total_bytes"]
    assert 0 < sample["disk_used_bytes"] <= sample["disk_total_bytes"]


def test_stop_looks_for_a_worker_once_more_and_signals_nothing_while_there_is_one(
    tmp_path: Path, mark: str
) -> None:
    """The phase a slot was last seen in may be older than the job that began since."""
    worker = tmp_path / "Runner.Worker"
    shutil.copy("/bin/sleep", worker)
    runner = start(f"trap 'echo hurt > {tmp_path}/signalled' INT; {worker} 60; exit 0", mark)
    tree = Tree(mark, None, ref_of(runner.pid))
    until(lambda: ProcessTable.read().worker_below(ref_of(runner.pid)) is not None, "a worker")
    slot = SlotDirectory(tmp_path / "slot")
    slot.path.mkdir()
    force = threading.Event()

    with pytest.raises(StillBusy):
        stop(slot, tree, force)

    assert runner.poll() is None
    assert not (tmp_path / "signalled").exists()
    force.set()
    stop(slot, tree, force)
    assert runner.wait(timeout=10) != 0

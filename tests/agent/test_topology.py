"""How processors are made, as the kernel of four kinds of machine writes it (by its documented
files), and which of them a slot should keep to."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet_agent.topology import CpuTopology, cpu_list, read_topology

from tests.agent.test_facts import proc_tree


def machine(root: Path, threads: list[str], **more: str) -> CpuTopology:
    """A machine; ``threads`` are each processor's siblings."""
    files = {
        f"devices__system__cpu__cpu{number}__topology__thread_siblings_list": siblings
        for number, siblings in enumerate(threads)
    }
    return read_topology(proc_tree(root, **files, **more))


def desktop(root: Path) -> CpuTopology:
    """Two performance cores of two threads, four efficiency cores."""
    threads = ["0-1", "0-1", "2-3", "2-3", "4", "5", "6", "7"]
    return machine(root, threads, devices__cpu_core__cpus="0-3", devices__cpu_atom__cpus="4-7")


def server(root: Path) -> CpuTopology:
    """Two sockets of four cores, two threads each, one NUMA node a socket."""
    threads = [f"{cpu % 8},{cpu % 8 + 8}" for cpu in range(16)]
    return machine(
        root,
        threads,
        devices__system__node__node0__cpulist="0-3,8-11",
        devices__system__node__node1__cpulist="4-7,12-15",
    )


def board(root: Path) -> CpuTopology:
    """Four small and two big Arm cores."""
    capacities = {
        f"devices__system__cpu__cpu{number}__cpu_capacity": "430" if number < 4 else "1024"
        for number in range(6)
    }
    return machine(root, [str(number) for number in range(6)], **capacities)


def test_performance_and_efficiency_cores_are_told_apart(tmp_path: Path) -> None:
    topology = desktop(tmp_path)
    assert topology.words() == "6 cores, 8 threads, 2 performance and 4 efficiency cores"
    assert topology.suggest(2) == [[4, 5, 6], [0, 1, 2, 3, 7]]


def test_slots_do_not_cross_numa_nodes_nor_split_cores(tmp_path: Path) -> None:
    topology = server(tmp_path)
    assert topology.words() == "8 cores, 16 threads, 2 NUMA nodes"
    assert topology.suggest(2) == [[0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]]
    assert topology.suggest(3) == [[0, 1, 2, 8, 9, 10], [4, 5, 6, 12, 13, 14], [3, 7, 11, 15]]


def test_big_cores_come_first_on_a_board(tmp_path: Path) -> None:
    topology = board(tmp_path)
    assert topology.words() == "6 cores, 6 threads, 2 performance and 4 efficiency cores"
    assert topology.suggest(6) == [[4], [5], [0], [1], [2], [3]]


def test_plain_machine_is_shared_out_evenly(tmp_path: Path) -> None:
    topology = machine(tmp_path, ["0", "1"])
    assert topology.words() == "2 cores, 2 threads"
    assert topology.suggest(1) == [[0, 1]]
    assert topology.suggest(3) == [[0], [1], [0]]


def test_processor_that_is_off_does_not_count(tmp_path: Path) -> None:
    topology = machine(tmp_path, ["0", "1"], devices__system__cpu__cpu1__online="0")
    assert [core.cpus for core in topology.cores] == [(0,)]


def test_machine_that_tells_nothing_has_no_advice(tmp_path: Path) -> None:
    topology = read_topology(tmp_path)
    assert (topology.words(), topology.suggest(4), topology.suggest(0)) == ("", [], [])


@pytest.mark.parametrize("make", [desktop, server, board])
@pytest.mark.parametrize("slots", [1, 2, 3, 4, 5])
def test_every_processor_is_given_to_exactly_one_slot(
    tmp_path: Path, make: object, slots: int
) -> None:
    assert callable(make)
    topology = make(tmp_path)
    given = [cpu for share in topology.suggest(slots) for cpu in share]
    assert sorted(given) == sorted(cpu for core in topology.cores for cpu in core.cpus)


@pytest.mark.parametrize(
    ("text", "numbers"), [("0-3,8", [0, 1, 2, 3, 8]), ("", []), ("x", []), ("5", [5])]
)
def test_lists_of_processors(text: str, numbers: list[int]) -> None:
    assert list(cpu_list(text)) == numbers

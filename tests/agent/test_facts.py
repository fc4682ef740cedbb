"""Facts of the machine: the architecture by two signals, limits, and what counts as a change."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
from fleet_agent.errors import AgentError
from fleet_agent.facts import Facts, collect_facts, family, kernel_architecture, same_facts
from fleet_agent.gpu import Survey
from fleet_agent.pose import load_pose, strike
from fleet_agent.verdict import Verdict, check


def collected(tmp_path: Path, proc: Path = Path("/proc"), sysfs: Path = Path("/sys")) -> Facts:
    """This machine's facts, with other roots where a test made some."""
    return collect_facts(
        disk_path=tmp_path,
        agent_started_at="2026-11-23T19:00:00.000000Z",
        survey=Survey([], [], "none: nothing was looked for"),
        checks=[check("free", Verdict.GOOD, "40 GB free")],
        proc_root=proc,
        sysfs_root=sysfs,
    )


def proc_tree(root: Path, **files: str) -> Path:
    """Make a proc tree; names are paths with ``__`` for a slash."""
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_this_machine_is_told_truthfully(tmp_path: Path) -> None:
    found = collected(tmp_path)
    assert found["machine"] == platform.machine()
    assert found["cpu_count"] >= 1
    assert found["memory_bytes"] > 100_000_000
    assert 0 < found["disk_free_bytes"] <= found["disk_total_bytes"]
    assert found["posing"] is False
    assert found["gpu_source"]


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"sys__kernel__arch": "x86_64\n"}, "x86_64"),
        ({"cpuinfo": "processor : 0\nvendor_id : AuthenticAMD\n"}, "x86_64"),
        ({"cpuinfo": "processor : 0\nCPU implementer : 0x41\n"}, "aarch64"),
        ({"cpuinfo": "processor : 0\nisa : rv64imafdc\n"}, "riscv64"),
        ({"cpuinfo": "nothing known\n"}, ""),
        ({}, ""),
    ],
)
def test_kernel_architecture_is_read_from_the_kernels_files(
    tmp_path: Path, files: dict[str, str], told: str
) -> None:
    assert kernel_architecture(proc_tree(tmp_path, **files)) == told


def test_emulation_is_told_when_the_two_signals_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proc = proc_tree(tmp_path / "proc", sys__kernel__arch="x86_64", meminfo="MemTotal: 1024 kB\n")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    found = collected(tmp_path, proc)
    assert (found["architecture"], found["emulated"]) == ("arm64", True)
    assert found["memory_bytes"] == 1024 * 1024


@pytest.mark.parametrize(
    ("machine", "kernel", "same"),
    [
        ("x86_64", "x86_64", True),
        ("i686", "x86_64", True),
        ("armv7l", "aarch64", True),
        ("riscv64", "x86_64", False),
        ("aarch64", "x86_64", False),
    ],
)
def test_native_families(machine: str, kernel: str, same: bool) -> None:
    assert (family(machine) == family(kernel)) is same


def test_figures_that_move_all_the_time_are_no_change(tmp_path: Path) -> None:
    found = collected(tmp_path)
    moved: Facts = {**found, "disk_free_bytes": 1, "clock_skew_seconds": 3.0}
    moved["checks"] = [check("free", Verdict.GOOD, "39 GB free")]
    judged: Facts = {**found, "checks": [check("free", Verdict.FAIR, "15 GB free")]}
    grown: Facts = {**found, "cpu_count": found["cpu_count"] + 1}
    assert same_facts(found, moved)
    assert not same_facts(found, grown)
    assert not same_facts(found, judged)


def test_pose_is_laid_over_the_facts(tmp_path: Path) -> None:
    found = collected(tmp_path)
    assert strike(found, None) is found
    posed = strike(found, {"hostname": "pi-07"})
    assert (posed["hostname"], posed["posing"], posed["kernel"]) == ("pi-07", True, found["kernel"])
    [card] = strike(found, {"gpus": [{"vendor": "nvidia", "uuid": "GPU-1"}]})["gpus"]
    assert (card["vendor"], card["uuid"], card["state"], card["mig"]) == (
        "nvidia",
        "GPU-1",
        "ok",
        [],
    )


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_pose_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pose.json"
    path.write_text(text)
    with pytest.raises(AgentError, match="pose"):
        load_pose(path)

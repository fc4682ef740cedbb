"""GPUs: each source with its own fake, and always a reason when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet_agent import gpu
from fleet_agent.gpu import find_gpus, from_nvidia_smi, parse_nvidia_line


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty PATH to put a fake nvidia-smi into."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def nvidia_smi(folder: Path, script: str) -> None:
    """Install a fake nvidia-smi."""
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def device(root: Path, path: str, **files: str) -> None:
    """Make one device in a fake sysfs."""
    folder = root / path
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text + "\n")


def test_nvidia_cards_are_listed(programs: Path, tmp_path: Path) -> None:
    line = "NVIDIA L4, 23034, 550.54.15, GPU-1f2e"
    nvidia_smi(programs, f"echo '{line}'; echo '{line}'")
    gpus, source = find_gpus(tmp_path)
    assert source == "nvidia-smi"
    assert len(gpus) == 2
    assert gpus[0] == {
        "vendor": "nvidia",
        "model": "NVIDIA L4",
        "memory_bytes": 23034 * 1024 * 1024,
        "driver": "550.54.15",
        "uuid": "GPU-1f2e",
    }


def test_unknown_memory_is_nothing_known() -> None:
    found = parse_nvidia_line("NVIDIA GB10, [N/A], 580.1, GPU-2")
    assert found is not None
    assert found["memory_bytes"] == 0


@pytest.mark.parametrize("line", ["", "No devices were found", "a, b"])
def test_line_that_is_no_card_is_none(line: str) -> None:
    assert parse_nvidia_line(line) is None


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18", "NVML"),
        ("exit 0", "lists no GPU"),
        ("echo 'No devices were found'; exit 6", "No devices"),
    ],
)
def test_nvidia_smi_without_a_card_says_why(
    programs: Path, tmp_path: Path, script: str, reason: str
) -> None:
    nvidia_smi(programs, script)
    gpus, source = find_gpus(tmp_path)
    assert gpus == []
    assert source.startswith("none: ")
    assert reason in source


def test_missing_nvidia_smi_is_a_reason(programs: Path) -> None:
    assert from_nvidia_smi() == ([], "is not installed")


def test_hanging_nvidia_smi_is_left(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia_smi(programs, "exec /bin/sleep 60")
    monkeypatch.setattr(gpu, "NVIDIA_SMI_SECONDS", 0.2)
    assert from_nvidia_smi() == ([], "did not answer in 0 s")


def test_amd_card_is_read_from_sysfs(programs: Path, tmp_path: Path) -> None:
    device(
        tmp_path,
        "class/drm/card0/device",
        vendor="0x1002",
        device="0x744c",
        product_name="Radeon RX 7900",
        mem_info_vram_total="25753026560",
        unique_id="abc",
    )
    device(tmp_path, "class/drm/card0-DP-1/device", vendor="0x1002")
    gpus, source = find_gpus(tmp_path)
    assert source == "sysfs drm"
    assert [(g["vendor"], g["model"], g["memory_bytes"]) for g in gpus] == [
        ("amd", "Radeon RX 7900", 25753026560)
    ]


def test_card_without_a_driver_is_told_from_the_bus(programs: Path, tmp_path: Path) -> None:
    where = "bus/pci/devices"
    device(tmp_path, f"{where}/0000:01:00.0", vendor="0x10de", **{"class": "0x030200"}, device="1")
    device(tmp_path, f"{where}/0000:02:00.0", vendor="0x10de", **{"class": "0x020000"}, device="2")
    device(tmp_path, f"{where}/0000:03:00.0", vendor="0x1af4", **{"class": "0x030000"}, device="3")
    gpus, source = find_gpus(tmp_path)
    assert source.startswith("pci, no driver")
    assert [g["model"] for g in gpus] == ["PCI device 1"]

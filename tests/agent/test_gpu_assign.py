"""What a slot is given of the GPUs: exactly one, by environment and device files, or none."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet_agent.gpu.assign import NONE, device_nodes, gpu_environment
from fleet_agent.gpu.cards import Gpu, new_gpu
from fleet_agent.runner_process import StartFailed
from fleet_agent.slot_hardware import slot_hardware
from fleet_agent.wire import Wanted

from tests.agent.test_facts import proc_tree

BASE = {"PATH": "/usr/bin"}


def card(vendor: str, pci: str, uuid: str = "", *, kind: str = "discrete") -> Gpu:
    """A card that works."""
    gpu = new_gpu(vendor, f"{vendor} card", pci, "driver")
    gpu["uuid"] = uuid
    gpu["kind"] = "integrated" if kind == "integrated" else "discrete"
    return gpu


def wanted(gpu: str = "", emulates: str = "") -> Wanted:
    """A runner that is to have this."""
    return Wanted(1, "r", 1, True, False, "jit", "_work", None, gpu=gpu, emulates=emulates)


NVIDIA = [card("nvidia", "0000:01:00.0", "GPU-a"), card("nvidia", "0000:02:00.0", "GPU-b")]
AMD = [card("amd", "0000:03:00.0", "8f3a"), card("amd", "0000:04:00.0")]
INTEL = [
    card("intel", "0000:00:02.0", kind="integrated"),
    card("intel", "0000:05:00.0"),
    card("intel", "0000:06:00.0"),
]


@pytest.mark.parametrize(
    ("gpus", "device", "told"),
    [
        (NVIDIA, "GPU-b", {"CUDA_VISIBLE_DEVICES": "GPU-b", "NVIDIA_VISIBLE_DEVICES": "GPU-b"}),
        (NVIDIA, "", {"CUDA_VISIBLE_DEVICES": NONE, "NVIDIA_VISIBLE_DEVICES": "void"}),
        (AMD, "8f3a", {"ROCR_VISIBLE_DEVICES": "GPU-8f3a"}),
        (AMD, "pci:0000:04:00.0", {"ROCR_VISIBLE_DEVICES": "1"}),
        (AMD, "", {"ROCR_VISIBLE_DEVICES": NONE, "HIP_VISIBLE_DEVICES": NONE}),
        (INTEL, "pci:0000:05:00.0", {"ZE_AFFINITY_MASK": "0"}),
        (INTEL, "pci:0000:06:00.0", {"ZE_AFFINITY_MASK": "1"}),
        (INTEL, "", {"ONEAPI_DEVICE_SELECTOR": "*:cpu"}),
    ],
)
def test_slot_sees_its_own_card_only(gpus: list[Gpu], device: str, told: dict[str, str]) -> None:
    environment = gpu_environment(gpus, device)
    environment.pop("CUDA_DEVICE_ORDER", None)
    assert environment.pop("FLEET_GPU", "") == device
    assert environment == told


def test_card_of_one_vendor_hides_those_of_the_others() -> None:
    environment = gpu_environment([*NVIDIA, *AMD], "8f3a")
    assert environment["CUDA_VISIBLE_DEVICES"] == NONE
    assert environment["ROCR_VISIBLE_DEVICES"] == "GPU-8f3a"


def test_instance_of_a_divided_card_is_given_alone() -> None:
    gpu = card("nvidia", "0000:01:00.0", "GPU-a")
    gpu["mig"] = [{"uuid": "MIG-1", "profile": "1g.5gb"}, {"uuid": "MIG-2", "profile": "1g.5gb"}]
    assert gpu_environment([gpu], "MIG-2")["CUDA_VISIBLE_DEVICES"] == "MIG-2"


def test_host_without_gpus_sets_nothing() -> None:
    absent = card("nvidia", "0000:01:00.0")
    absent["state"] = "no-driver"
    assert gpu_environment([], "") == gpu_environment([absent], "") == {}


def test_files_of_an_nvidia_card_are_its_own_and_the_shared_ones(tmp_path: Path) -> None:
    proc = proc_tree(
        tmp_path / "proc",
        **{"driver__nvidia__gpus__0000:02:00.0__information": "Model: X\nDevice Minor: \t 1\n"},
    )
    dev = proc_tree(tmp_path / "dev", nvidia0="", nvidia1="", nvidiactl="", **{"nvidia-uvm": ""})
    nodes = device_nodes(NVIDIA, "GPU-b", dev_root=dev, proc_root=proc)
    assert [node.name for node in nodes] == ["nvidia1", "nvidiactl", "nvidia-uvm"]


def test_files_of_an_amd_card_are_its_own_and_the_compute_device(tmp_path: Path) -> None:
    drm = "bus__pci__devices__0000:03:00.0__drm"
    sysfs = proc_tree(
        tmp_path / "sys", **{f"{drm}__card0__dev": "226:0", f"{drm}__renderD128__dev": "226:128"}
    )
    dev = proc_tree(tmp_path / "dev", kfd="", dri__card0="", dri__renderD128="", dri__renderD129="")
    nodes = device_nodes(AMD, "8f3a", dev_root=dev, sysfs_root=sysfs)
    assert [node.name for node in nodes] == ["card0", "renderD128", "kfd"]


def test_slot_without_a_card_is_given_no_file() -> None:
    assert device_nodes(NVIDIA, "") == device_nodes(NVIDIA, "GPU-z") == []


def test_runner_whose_card_is_gone_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="not in this host any more"):
        slot_hardware(tmp_path, wanted("GPU-z"), NVIDIA, BASE)


def test_runner_whose_card_is_lost_does_not_start(tmp_path: Path) -> None:
    lost = card("nvidia", "0000:01:00.0", "GPU-a")
    lost["state"], lost["reason"] = "lost", "the driver lost it"
    with pytest.raises(StartFailed, match="the driver lost it"):
        slot_hardware(tmp_path, wanted("GPU-a"), [lost], BASE)


def test_emulator_is_put_into_the_path_of_runners_that_emulate_only(tmp_path: Path) -> None:
    assert slot_hardware(tmp_path, wanted(), [], BASE) == {}
    assert list(tmp_path.iterdir()) == []
    added = slot_hardware(tmp_path, wanted(emulates="arm64"), [], BASE)
    assert added == {"PATH": f"{tmp_path}/.fleet:/usr/bin", "FLEET_EMULATES": "arm64"}
    assert (tmp_path / ".fleet/fleet-emulate").stat().st_mode & 0o777 == 0o755

"""Machines with and without GPUs, as their kernels and their vendors' programs describe them.

Written by hand after the documented formats (nvidia-smi --help-query-gpu and -L; amd-smi and
rocm-smi with --json; the kernel's amdgpu, i915 and PCI sysfs files), not taken from real machines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

GIB = 2**30


class Told(NamedTuple):
    """What a program prints, or why it does not."""

    text: str
    reason: str


NOT_INSTALLED = Told("", "is not installed")


@dataclass(frozen=True)
class Device:
    """One PCI device; ``files`` are of its folder in sysfs, paths relative to it."""

    address: str
    vendor: str
    device: str
    driver: str = ""
    kind: str = "0x030000"
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Expected:
    """One card: vendor, model, GiB (rounded), driver, kind, state."""

    vendor: str
    model: str
    gib: int
    driver: str
    kind: str = "discrete"
    state: str = "ok"


@dataclass(frozen=True)
class MachineWithGpus:
    """A machine: what is on its bus, what programs print, and what is to be found."""

    name: str
    devices: Sequence[Device]
    programs: Mapping[str, Told]
    expected: Sequence[Expected]
    source: str
    labels: frozenset[str] = frozenset()


def make_sysfs(root: Path, devices: Sequence[Device]) -> Path:
    """Write the devices as the kernel shows them."""
    for device in devices:
        folder = root / "bus/pci/devices" / device.address
        folder.mkdir(parents=True)
        files = {"vendor": device.vendor, "device": device.device, "class": device.kind}
        for name, text in (files | dict(device.files)).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")
        if device.driver:
            driver = root / "bus/pci/drivers" / device.driver
            driver.mkdir(parents=True, exist_ok=True)
            (folder / "driver").symlink_to(driver)
    return root


def smi(*cards: str) -> dict[str, Told]:
    """What nvidia-smi prints for these cards; each a line without mode and error count."""
    return {"nvidia-smi": Told("".join(f"{card}\n" for card in cards), "")}


def nvidia(bus: int, device: str, driver: str = "nvidia", kind: str = "0x030200") -> Device:
    """An NVIDIA card on the bus."""
    return Device(f"0000:{bus:02x}:00.0", "0x10de", device, driver, kind)


def amd(bus: int, device: str, memory: int, unique_id: str = "", **files: str) -> Device:
    """An AMD card that amdgpu serves."""
    told = {"mem_info_vram_total": str(memory), "gpu_busy_percent": "7"}
    if unique_id:
        told["unique_id"] = unique_id
    return Device(f"0000:{bus:02x}:00.0", "0x1002", device, "amdgpu", files=told | files)


def intel(address: str, device: str, driver: str = "i915", bar: int = 0) -> Device:
    """An Intel device; ``bar`` is the size of its mapped memory."""
    lines = ["0x0000000000000000 0x0000000000000000 0x0000000000000000"] * 2
    lines.append(f"0x{0x6000000000:016x} 0x{0x6000000000 + bar - 1:016x} 0x000000000014220c")
    files = {"resource": "\n".join(lines)} if bar else {}
    return Device(address, "0x8086", device, driver, files=files)


ASPEED = Device("0000:02:00.0", "0x1a03", "0x2000", "ast")
VIRTIO = Device("0000:00:01.0", "0x1af4", "0x1050", "virtio-pci")
NETWORK = Device("0000:03:00.0", "0x10de", "0x1021", "mlx5_core", kind="0x020700")
H100 = (
    "NVIDIA H100 80GB HBM3, 81559, 550.54.15, GPU-{0}0000000-0000-0000-0000-000000000000, "
    "00000000:{0}B:00.0, 34, 12, 1024, {1}, 0"
)
MIG_LIST = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5c89852c-d268-c3f3-1b07-005d5ae1dc3f)
  MIG 3g.20gb     Device  0: (UUID: MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f)
  MIG 1g.5gb      Device  1: (UUID: MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb)
"""

WITH_GPU = (
    MachineWithGpus(
        "server with eight H100",
        [nvidia(16 * n + 11, "0x2330") for n in range(8)] + [ASPEED],
        smi(*(H100.format(n, "Disabled") for n in range(8))),
        [Expected("nvidia", "NVIDIA H100 80GB HBM3", 80, "550.54.15")] * 8,
        "nvidia-smi",
        frozenset({"gpu", "nvidia", "h100"}),
    ),
    MachineWithGpus(
        "server with an H200",
        [nvidia(1, "0x2335")],
        smi("NVIDIA H200, 143771, 560.35.03, GPU-h, 00000000:01:00.0, 30, 0, 0, Disabled, 0"),
        [Expected("nvidia", "NVIDIA H200", 140, "560.35.03")],
        "nvidia-smi",
        frozenset({"gpu", "nvidia", "h200"}),
    ),
    MachineWithGpus(
        "cloud machine with two L4",
        [nvidia(3, "0x27b8"), nvidia(4, "0x27b8"), VIRTIO],
        smi(
            "NVIDIA L4, 23034, 550.54.15, GPU-1, 00000000:03:00.0, 41, 3, 200, [N/A], 0",
            "NVIDIA L4, 23034, 550.54.15, GPU-2, 00000000:04:00.0, 42, 99, 20000, [N/A], 2",
        ),
        [Expected("nvidia", "NVIDIA L4", 22, "550.54.15")] * 2,
        "nvidia-smi",
        frozenset({"gpu", "nvidia", "l4"}),
    ),
    MachineWithGpus(
        "workstation with an RTX 4090",
        [nvidia(1, "0x2684", kind="0x030000"), intel("0000:00:02.0", "0xa780")],
        smi(
            "NVIDIA GeForce RTX 4090, 24564, 570.86.10, GPU-9, 00000000:01:00.0, 55, 0, 611, "
            "[N/A], [N/A]"
        ),
        [
            Expected("nvidia", "NVIDIA GeForce RTX 4090", 24, "570.86.10"),
            Expected("intel", "Intel device 0xa780", 0, "i915", "integrated"),
        ],
        "nvidia-smi and sysfs",
        frozenset({"gpu", "nvidia", "rtx-4090"}),
    ),
    MachineWithGpus(
        "workstation with a T400, whose driver is too old for the whole question",
        [nvidia(1, "0x1ff2", kind="0x030000")],
        {
            "nvidia-smi": Told(
                "NVIDIA T400, 1875, 450.80.02, GPU-t, 00000000:01:00.0, 40, 1, 1", ""
            ),
            "nvidia-smi mig.mode": Told(
                'Field "mig.mode.current" is not a valid field to query.', "ended with 2: Field"
            ),
        },
        [Expected("nvidia", "NVIDIA T400", 2, "450.80.02")],
        "nvidia-smi",
        frozenset({"gpu", "nvidia", "t400"}),
    ),
    MachineWithGpus(
        "server with an A100 in instances",
        [nvidia(7, "0x20b0")],
        smi(
            "NVIDIA A100-SXM4-40GB, 40960, 535.104.05, GPU-5c89852c-d268-c3f3-1b07-005d5ae1dc3f, "
            "00000000:07:00.0, 33, [N/A], 0, Enabled, 0"
        )
        | {"nvidia-smi -L": Told(MIG_LIST, "")},
        [Expected("nvidia", "NVIDIA A100-SXM4-40GB", 40, "535.104.05")],
        "nvidia-smi",
        frozenset({"gpu", "nvidia", "a100", "mig"}),
    ),
    MachineWithGpus(
        "GB10 desktop, whose memory is the machine's",
        [Device("000f:01:00.0", "0x10de", "0x2e12", "nvidia")],
        smi("NVIDIA GB10, [N/A], 580.95.05, GPU-b, 0000000F:01:00.0, 36, 0, [N/A], [N/A], [N/A]"),
        [Expected("nvidia", "NVIDIA GB10", 0, "580.95.05")],
        "nvidia-smi",
        frozenset({"gpu", "nvidia", "gb10"}),
    ),
    MachineWithGpus(
        "server with one MI210",
        [
            amd(
                0xC3,
                "0x740f",
                64 * GIB,
                "8f3a1c2b4d5e6f70",
                **{"hwmon/hwmon3/temp1_input": "38000", "ras/umc_err_count": "ue: 0\nce: 4"},
            ),
            ASPEED,
        ],
        {},
        [Expected("amd", "AMD Instinct MI210", 64, "amdgpu")],
        "sysfs",
        frozenset({"gpu", "amd", "mi210"}),
    ),
    MachineWithGpus(
        "server with two MI300X that only amd-smi can name",
        [amd(0x0C, "0x74b5", 192 * GIB, "a1"), amd(0x22, "0x74b5", 192 * GIB, "a2")],
        {
            "amd-smi": Told(
                '[{"gpu": 0, "asic": {"market_name": "AMD Instinct MI300X VF"}, '
                '"bus": {"bdf": "0000:0c:00.0"}}, {"gpu": 1, "asic": '
                '{"market_name": "AMD Instinct MI300X VF"}, "bus": {"bdf": "0000:22:00.0"}}]',
                "",
            )
        },
        [Expected("amd", "AMD Instinct MI300X VF", 192, "amdgpu")] * 2,
        "sysfs",
        frozenset({"gpu", "amd", "mi300x-vf"}),
    ),
    MachineWithGpus(
        "workstation with a Radeon that only rocm-smi can name",
        [amd(3, "0x7480", 8 * GIB, "c3"), amd(0x10, "0x164e", 512 * 2**20)],
        {
            "rocm-smi": Told(
                'WARNING: AMD GPU device(s) is/are in a low-power state.\n{"card0": '
                '{"Card Series": "AMD Radeon RX 7600", "Card Model": "0x7480", '
                '"Card Vendor": "Advanced Micro Devices, Inc. [AMD/ATI]", "GUID": "52", '
                '"PCI Bus": "0000:03:00.0"}}',
                "",
            )
        },
        [
            Expected("amd", "AMD Radeon RX 7600", 8, "amdgpu"),
            Expected("amd", "AMD device 0x164e", 0, "amdgpu", "integrated"),
        ],
        "sysfs",
        frozenset({"gpu", "amd", "rx-7600"}),
    ),
    MachineWithGpus(
        "workstation with an Arc A770",
        [intel("0000:03:00.0", "0x56a0", bar=16 * GIB), intel("0000:00:02.0", "0x4680")],
        {},
        [
            Expected("intel", "Intel device 0x4680", 0, "i915", "integrated"),
            Expected("intel", "Intel Arc A770", 16, "i915"),
        ],
        "sysfs",
        frozenset({"gpu", "intel-gpu", "arc-a770"}),
    ),
    MachineWithGpus(
        "media server with a Flex 170 whose memory is only windowed",
        [intel("0000:4d:00.0", "0x56c0", "xe", bar=256 * 2**20), ASPEED],
        {},
        [Expected("intel", "Intel Data Center GPU Flex 170", 0, "xe")],
        "sysfs",
        frozenset({"gpu", "intel-gpu", "flex-170"}),
    ),
)

WITHOUT_GPU = (
    MachineWithGpus(
        "laptop with an Intel processor's graphics",
        [intel("0000:00:02.0", "0x9a49")],
        {},
        [Expected("intel", "Intel device 0x9a49", 0, "i915", "integrated")],
        "sysfs: only the processor's own graphics",
    ),
    MachineWithGpus(
        "laptop with an AMD processor's graphics",
        [amd(4, "0x1638", 512 * 2**20)],
        {},
        [Expected("amd", "AMD device 0x1638", 0, "amdgpu", "integrated")],
        "sysfs: only the processor's own graphics",
    ),
    MachineWithGpus(
        "virtual machine",
        [VIRTIO, NETWORK],
        {},
        [],
        "none: nvidia-smi is not installed; the only display devices are a server's",
    ),
    MachineWithGpus(
        "small board or container without a bus",
        [],
        {},
        [],
        "none: nvidia-smi is not installed; no display or accelerator on the PCI bus",
    ),
    MachineWithGpus(
        "card with nouveau, and nvidia-smi left from another driver",
        [nvidia(1, "0x1b81", "nouveau", "0x030000")],
        {
            "nvidia-smi": Told(
                "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.",
                "ended with 9: NVIDIA-SMI has failed because it couldn't communicate",
            )
        },
        [Expected("nvidia", "NVIDIA device 0x1b81", 0, "nouveau", state="no-driver")],
        "pci, no driver in use (nvidia-smi ended with 9",
    ),
    MachineWithGpus(
        "card kept for a virtual machine",
        [nvidia(1, "0x2204", "vfio-pci", "0x030000"), Device("0000:05:00.0", "0x1002", "0x73df")],
        {},
        [
            Expected("nvidia", "NVIDIA device 0x2204", 0, "vfio-pci", state="no-driver"),
            Expected("amd", "AMD Radeon RX 6700 XT / 6750 XT", 0, "", state="no-driver"),
        ],
        "pci, no driver in use (nvidia-smi is not installed)",
    ),
)

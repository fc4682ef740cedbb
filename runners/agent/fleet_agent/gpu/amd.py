"""AMD's GPUs, as the amdgpu driver tells of them in sysfs; vendor's programs are asked for names.

Files: https://docs.kernel.org/gpu/amdgpu/driver-misc.html and ras.html. One card is one PCI
device, whatever number of lines a program prints about it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from .cards import (
    Gpu,
    PciDevice,
    Reading,
    hwmon_celsius,
    identity,
    new_gpu,
    pci_address,
    read_line,
    read_number,
)
from .names import AMD_INTEGRATED, known_name, plain_name
from .pci import no_driver_reason
from .programs import Programs

CARVED_OUT_BYTES = 2 * 2**30  # what a processor's own graphics take from memory, at most
LOST_REASON = "amdgpu no longer reaches it: restart the machine, and look into the kernel's log"


def find(
    on_the_bus: Sequence[PciDevice], names: Mapping[str, str]
) -> tuple[list[Gpu], list[Reading]]:
    """Return the cards and how they are doing; ``names`` are those that programs gave, by place."""
    gpus: list[Gpu] = []
    readings: list[Reading] = []
    for device in on_the_bus:
        gpu = describe(device, names.get(device.address, ""))
        gpus.append(gpu)
        if gpu["state"] == "ok":
            readings.append(read(device, gpu))
    return gpus, readings


def describe(device: PciDevice, name: str) -> Gpu:
    """Return one card."""
    path = device.path
    model = (
        read_line(path / "product_name")
        or name
        or known_name("amd", device.device)
        or plain_name("amd", device.device)
    )
    gpu = new_gpu("amd", model, device.address, device.driver)
    if device.device in AMD_INTEGRATED:
        gpu["kind"] = "integrated"
    if device.driver != "amdgpu":
        gpu["state"], gpu["reason"] = "no-driver", no_driver_reason(device, "amdgpu")
        return gpu
    version = read_line(path / "driver/module/version")
    gpu["driver"] = " ".join(part for part in ("amdgpu", version) if part)
    gpu["uuid"] = read_line(path / "unique_id")
    memory = read_number(path / "mem_info_vram_total")
    gpu["memory_bytes"] = memory or 0
    if memory is None:
        gpu["state"], gpu["reason"] = "lost", LOST_REASON
    elif memory <= CARVED_OUT_BYTES and not gpu["uuid"]:
        gpu["kind"] = "integrated"
    gpu["ecc_errors"] = uncorrected(device)
    return gpu


def read(device: PciDevice, gpu: Gpu) -> Reading:
    """Return how one card is doing."""
    path = device.path
    return {
        "id": identity(gpu),
        "temperature_celsius": hwmon_celsius(path),
        "busy_percent": read_number(path / "gpu_busy_percent"),
        "memory_used_bytes": read_number(path / "mem_info_vram_used"),
    }


def uncorrected(device: PciDevice) -> int | None:
    """Return the uncorrected errors of all blocks that count them (``ue: 0``)."""
    counted = []
    for path in sorted(device.path.glob("ras/*_err_count")):
        line = read_line(path)
        if line.startswith("ue:") and line[3:].strip().isdigit():
            counted.append(int(line[3:]))
    return sum(counted) if counted else None


def names_by_program(programs: Programs) -> dict[str, str]:
    """Return the names of cards by their place: of ``amd-smi``, else of the older ``rocm-smi``."""
    told = programs.ask(["amd-smi", "static", "--asic", "--bus", "--json"])
    if not told.reason:
        return parse_amd_smi(told.text)
    told = programs.ask(["rocm-smi", "--showproductname", "--showbus", "--json"])
    return parse_rocm_smi(told.text) if not told.reason else {}


def parse_amd_smi(text: str) -> dict[str, str]:
    """Parse a list of cards, each with ``asic.market_name`` and ``bus.bdf``."""
    try:
        data = json.loads(text)
    except ValueError:
        return {}
    cards = data.get("gpu_data", []) if isinstance(data, dict) else data
    names: dict[str, str] = {}
    for card in cards if isinstance(cards, list) else []:
        asic, bus = (card.get(key) if isinstance(card, dict) else None for key in ("asic", "bus"))
        if isinstance(asic, dict) and isinstance(bus, dict):
            names[pci_address(str(bus.get("bdf")))] = as_amd(str(asic.get("market_name", "")))
    return {place: name for place, name in names.items() if place and name}


def parse_rocm_smi(text: str) -> dict[str, str]:
    """Parse ``{"card0": {"Card Series": …, "PCI Bus": …}}``; warnings may stand before it."""
    try:
        data = json.loads(text[text.index("{") :])
    except ValueError:
        return {}
    names: dict[str, str] = {}
    for card in data.values() if isinstance(data, dict) else []:
        if isinstance(card, dict):
            lower = {str(key).lower(): str(value) for key, value in card.items()}
            name = lower.get("card series", "")
            names[pci_address(lower.get("pci bus", ""))] = "" if name[:2] == "0x" else as_amd(name)
    return {place: name for place, name in names.items() if place and name}


def as_amd(name: str) -> str:
    """Return a card's name with its maker's before it."""
    return name if not name or name.upper().startswith("AMD") else f"AMD {name}"

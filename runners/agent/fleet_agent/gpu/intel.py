"""Intel's GPUs, as the i915 and xe drivers tell of them in sysfs.

A processor's own graphics are always device 02.0 of bus 0; cards have a bus of their own.
"""

from __future__ import annotations

from collections.abc import Sequence

from .cards import (
    Gpu,
    PciDevice,
    Reading,
    hwmon_celsius,
    identity,
    new_gpu,
    read_line,
    read_number,
)
from .names import known_name, plain_name
from .pci import no_driver_reason

DRIVERS = ("i915", "xe")
MEMORY_BAR = 2  # the line of ``resource`` that maps a card's memory
WHOLE_BYTES = 2**30  # less is a window into the memory, not all of it


def find(on_the_bus: Sequence[PciDevice]) -> tuple[list[Gpu], list[Reading]]:
    """Return the cards and how they are doing."""
    gpus = [describe(device) for device in on_the_bus]
    readings = [
        read(device, gpu)
        for device, gpu in zip(on_the_bus, gpus, strict=True)
        if gpu["state"] == "ok" and gpu["kind"] == "discrete"
    ]
    return gpus, readings


def describe(device: PciDevice) -> Gpu:
    """Return one card."""
    name = known_name("intel", device.device) or plain_name("intel", device.device)
    gpu = new_gpu("intel", name, device.address, device.driver)
    if device.bus == "00":
        gpu["kind"] = "integrated"
    if device.driver not in DRIVERS:
        gpu["state"], gpu["reason"] = "no-driver", no_driver_reason(device, "i915 or xe")
        return gpu
    if gpu["kind"] == "discrete":
        gpu["memory_bytes"] = memory_bytes(device)
    return gpu


def memory_bytes(device: PciDevice) -> int:
    """Return the card's own memory, 0 where the driver does not tell."""
    told = [
        *device.path.glob("drm/card*/lmem_total_bytes"),
        *device.path.glob("tile*/physical_vram_size_bytes"),
    ]
    for path in told:
        text = read_line(path)
        if text:
            return int(text, 0) if text.isdigit() or text.startswith("0x") else 0
    return mapped_bytes(device)


def mapped_bytes(device: PciDevice) -> int:
    """Return the size of the memory that the bus maps, where it maps all of it."""
    try:
        line = (device.path / "resource").read_text("ascii").splitlines()[MEMORY_BAR]
        begin, end, _ = (int(part, 16) for part in line.split())
    except (OSError, ValueError, IndexError):
        return 0
    size = end - begin + 1
    return size if begin and size >= WHOLE_BYTES else 0


def read(device: PciDevice, gpu: Gpu) -> Reading:
    """Return how one card is doing; neither driver tells how busy it is or what it holds."""
    return {
        "id": identity(gpu),
        "temperature_celsius": hwmon_celsius(device.path),
        "busy_percent": read_number(device.path / "gpu_busy_percent"),
        "memory_used_bytes": None,
    }

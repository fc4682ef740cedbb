"""The PCI bus: which GPUs are in the machine at all, whatever drivers it has."""

from __future__ import annotations

import os
from pathlib import Path

from .cards import VENDORS, PciDevice, read_line

CLASSES = ("0x03", "0x12")  # display controllers, processing accelerators


def gpus_on_the_bus(sysfs_root: Path) -> tuple[list[PciDevice], int]:
    """Return the GPUs of known vendors, and how many display devices others made.

    The latter are the screens of servers and virtual machines (ASPEED, virtio, QXL): no GPUs.
    """
    found: list[PciDevice] = []
    others = 0
    for path in sorted((sysfs_root / "bus/pci/devices").glob("*")):
        if not read_line(path / "class").startswith(CLASSES):
            continue
        vendor = VENDORS.get(read_line(path / "vendor"), "")
        if not vendor:
            others += 1
            continue
        device = read_line(path / "device")
        found.append(PciDevice(path.name, vendor, device, driver_of(path), path))
    return found, others


def driver_of(device: Path) -> str:
    """Return the name of the kernel driver that serves a device, "" for none."""
    try:
        return Path(os.readlink(device / "driver")).name
    except OSError:
        return ""


def no_driver_reason(device: PciDevice, own: str) -> str:
    """Say why a card without its own driver can not be used, and what to do."""
    if device.driver == "vfio-pci":
        return "held by vfio-pci for a virtual machine"
    if device.driver:
        return f"served by {device.driver}, which can not compute: install {own}"
    return f"no driver: install and load {own}"

"""What a GPU is to the agent, and how small files of the kernel are read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypedDict

State = Literal["ok", "no-driver", "lost"]
Kind = Literal["discrete", "integrated"]

VENDORS = {"0x10de": "nvidia", "0x1002": "amd", "0x8086": "intel"}
ADDRESS = re.compile(r"(?:[0-9a-f]{4})?([0-9a-f]{4}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])", re.I)


class MigDevice(TypedDict):
    """One instance of a GPU that is divided in hardware; ``profile`` is such as ``3g.20gb``."""

    uuid: str
    profile: str


class Gpu(TypedDict):
    """One GPU; ``memory_bytes`` 0 and empty text where the source does not know.

    ``pci`` is such as ``0000:01:00.0``. ``reason`` says why it is not ``ok``. ``ecc_errors`` counts
    uncorrected memory errors since the driver was loaded, None where they are not counted.
    """

    vendor: str
    model: str
    memory_bytes: int
    driver: str
    uuid: str
    pci: str
    kind: Kind
    state: State
    reason: str
    ecc_errors: int | None
    mig: list[MigDevice]


class Reading(TypedDict):
    """How one GPU is doing now; ``id`` is its ``identity``. None where it does not tell."""

    id: str
    temperature_celsius: float | None
    busy_percent: float | None
    memory_used_bytes: int | None


@dataclass(frozen=True)
class Survey:
    """All GPUs of a machine, their readings, and where both are from (or why there are none)."""

    gpus: list[Gpu]
    readings: list[Reading]
    source: str


@dataclass(frozen=True)
class PciDevice:
    """A display controller or accelerator on the bus; ``driver`` is "" where none serves it."""

    address: str
    vendor: str
    device: str
    driver: str
    path: Path = field(compare=False)

    @property
    def bus(self) -> str:
        """The number of its bus, as two hexadecimal digits."""
        return self.address.split(":")[1]


def identity(gpu: Gpu) -> str:
    """Return what a GPU is called by: its own number, or its place where it has none."""
    return gpu["uuid"] or f"pci:{gpu['pci']}"


def new_gpu(vendor: str, model: str, pci: str, driver: str = "") -> Gpu:
    """Return a GPU of which no more is known yet than that it is there."""
    return {
        "vendor": vendor,
        "model": model,
        "memory_bytes": 0,
        "driver": driver,
        "uuid": "",
        "pci": pci,
        "kind": "discrete",
        "state": "ok",
        "reason": "",
        "ecc_errors": None,
        "mig": [],
    }


def pci_address(text: str) -> str:
    """Return an address as the kernel writes it, "" where the text holds none.

    Vendors' tools write eight digits of domain, or capitals.
    """
    found = ADDRESS.search(text)
    return "{}:{}:{}.{}".format(*found.groups()).lower() if found else ""


def read_line(path: Path) -> str:
    """Return a small file's first line, "" where it is missing or unreadable."""
    try:
        return path.read_text("utf-8", errors="replace").strip().split("\n")[0]
    except OSError:
        return ""


def read_number(path: Path) -> int | None:
    """Return the number a small file holds, None where there is none."""
    text = read_line(path)
    return int(text) if text.lstrip("-").isdigit() else None


def hwmon_celsius(device: Path) -> float | None:
    """Return a card's temperature by its first sensor."""
    for sensor in sorted(device.glob("hwmon/hwmon*/temp1_input")):
        millidegrees = read_number(sensor)
        if millidegrees is not None:
            return round(millidegrees / 1000, 1)
    return None

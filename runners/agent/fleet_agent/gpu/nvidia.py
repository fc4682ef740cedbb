"""NVIDIA's GPUs, as ``nvidia-smi`` tells of them (and the PCI bus of those it does not).

Formats: ``nvidia-smi --help-query-gpu``; ``nvidia-smi -L`` for MIG instances.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .cards import Gpu, MigDevice, PciDevice, Reading, identity, new_gpu, pci_address
from .names import known_name, plain_name
from .pci import no_driver_reason
from .programs import Programs, Told

BASIC = (
    "name,memory.total,driver_version,uuid,pci.bus_id,temperature.gpu,utilization.gpu,memory.used"
)
# What older drivers do not know; they refuse the whole question for it.
FULL = f"{BASIC},mig.mode.current,ecc.errors.uncorrected.volatile.total"
FIELDS = len(BASIC.split(","))
MIG_LINE = re.compile(r"^\s+MIG (\S+)\s+Device\s+\d+: \(UUID: (MIG-[^)]+)\)")
GPU_LINE = re.compile(r"^GPU \d+: .*\(UUID: (GPU-[^)]+)\)")
LOST = re.compile(r"Unable to determine the device handle|GPU is lost", re.IGNORECASE)
LOST_REASON = "the driver lost it: restart the machine, and look for Xid in the kernel's log"


@dataclass(frozen=True)
class Found:
    """The cards and readings of this vendor, and the reason when its program tells of none.

    ``unanswered`` when the program said nothing in time: then nothing is known.
    """

    gpus: list[Gpu]
    readings: list[Reading]
    reason: str
    unanswered: bool = False


def find(programs: Programs, on_the_bus: Sequence[PciDevice]) -> Found:
    """Ask ``nvidia-smi``, and add the cards of the bus that it does not name."""
    told = query(programs, [])
    if LOST.search(told.text):
        # One lost card spoils the answer for all: ask for each by its place.
        answers = [query(programs, ["-i", device.address]) for device in on_the_bus]
        told = Told("\n".join(answer.text for answer in answers), "")
    gpus: list[Gpu] = []
    readings: list[Reading] = []
    for line in told.text.splitlines():
        parsed = parse_line(line)
        if parsed is not None:
            gpus.append(parsed[0])
            readings.append(parsed[1])
    if any(gpu["mig"] for gpu in gpus):
        instances = parse_mig(programs.ask(["nvidia-smi", "-L"]).text)
        for gpu in gpus:
            if gpu["mig"]:
                gpu["mig"] = instances.get(gpu["uuid"], [])
                if not gpu["mig"]:
                    gpu["reason"] = "MIG is on and no instance is made: nvidia-smi mig -cgi … -C"
    reason = told.reason or ("" if gpus else "lists no GPU")
    named = {gpu["pci"] for gpu in gpus}
    missing = [device for device in on_the_bus if device.address not in named]
    gpus += [untold(device, reason, others=bool(gpus)) for device in missing]
    return Found(gpus, readings, reason, told.unanswered)


def query(programs: Programs, which: Sequence[str]) -> Told:
    """Ask for everything, or for less where the driver is too old for all of it."""
    options = ["--format=csv,noheader,nounits"]
    told = programs.ask(["nvidia-smi", *which, f"--query-gpu={FULL}", *options])
    if told.reason and "not a valid field" in told.text:
        told = programs.ask(["nvidia-smi", *which, f"--query-gpu={BASIC}", *options])
    return told


def parse_line(line: str) -> tuple[Gpu, Reading] | None:
    """Parse one csv line; ``[N/A]`` and its kin become empty.

    Where MIG is on, the card's ``mig`` holds one nameless instance until they are listed.
    """
    fields = [part.strip() for part in line.split(",")]
    if len(fields) < FIELDS or not fields[0]:
        return None
    known = ["" if part.startswith("[") or part == "ERR!" else part for part in fields]
    lost = any("lost" in part.lower() or part == "ERR!" for part in fields)
    gpu = new_gpu("nvidia", known[0], pci_address(known[4]), known[2])
    gpu["memory_bytes"] = mebibytes(known[1]) or 0
    gpu["uuid"] = known[3]
    if len(known) > FIELDS:
        gpu["mig"] = [{"uuid": "", "profile": ""}] if known[FIELDS] == "Enabled" else []
        errors = number(known[FIELDS + 1]) if len(known) > FIELDS + 1 else None
        gpu["ecc_errors"] = None if errors is None else int(errors)
    if lost:
        gpu["state"], gpu["reason"] = "lost", LOST_REASON
    return gpu, {
        "id": identity(gpu),
        "temperature_celsius": number(known[5]),
        "busy_percent": number(known[6]),
        "memory_used_bytes": mebibytes(known[7]),
    }


def parse_mig(text: str) -> dict[str, list[MigDevice]]:
    """Parse ``nvidia-smi -L``: the MIG instances of each GPU, by its UUID."""
    instances: dict[str, list[MigDevice]] = {}
    card = ""
    for line in text.splitlines():
        gpu, mig = GPU_LINE.match(line), MIG_LINE.match(line)
        if gpu:
            card = gpu.group(1)
        elif mig and card:
            device: MigDevice = {"uuid": mig.group(2), "profile": mig.group(1)}
            instances.setdefault(card, []).append(device)
    return instances


def untold(device: PciDevice, reason: str, *, others: bool) -> Gpu:
    """Return a card that is on the bus and that ``nvidia-smi`` does not tell of."""
    model = known_name("nvidia", device.device) or plain_name("nvidia", device.device)
    gpu = new_gpu("nvidia", model, device.address, device.driver)
    if device.driver == "nvidia" and others:
        gpu["state"], gpu["reason"] = "lost", LOST_REASON
    elif device.driver == "nvidia":
        gpu["state"], gpu["reason"] = "no-driver", f"the driver is loaded, but nvidia-smi {reason}"
    else:
        gpu["state"] = "no-driver"
        gpu["reason"] = no_driver_reason(device, "NVIDIA's driver")
    return gpu


def number(text: str) -> float | None:
    """Return a number, None where there is none."""
    try:
        return float(text)
    except ValueError:
        return None


def mebibytes(text: str) -> int | None:
    """Return bytes, None where there is no number."""
    value = number(text)
    return None if value is None else int(value * 1024 * 1024)

"""How busy the host and each slot are, as numbers with units."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from .process_table import CLOCK_TICKS, ProcessRef, ProcessTable
from .wire import EndFacts, Sample, SampleExtras, timestamp

CPU_SECONDS = 1.0
# Sensors that tell the processor's temperature, the likeliest first.
CPU_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal", "acpitz")


def take_sample(disk_path: Path, more: SampleExtras | None = None) -> Sample:
    """Return the host's load; ``cpu_percent`` is since the last call, of all cores (0-100).

    ``more`` is what others measured.
    """
    memory = psutil.virtual_memory()
    disk = shutil.disk_usage(disk_path)
    network = psutil.net_io_counters()
    sample: Sample = {
        "cpu_percent": round(psutil.cpu_percent(interval=None), 1),
        "load1": round(os.getloadavg()[0], 2),
        "memory_used_bytes": memory.total - memory.available,
        "memory_total_bytes": memory.total,
        "disk_used_bytes": disk.total - disk.free,
        "disk_total_bytes": disk.total,
        "network_sent_bytes": network.bytes_sent if network else 0,
        "network_received_bytes": network.bytes_recv if network else 0,
        "temperature_celsius": temperature_celsius(),
    }
    return {**sample, **more} if more else sample


class CpuWatch:
    """How busy the processors were in the last whole second or more that was looked at."""

    def __init__(self) -> None:
        self.read_at = time.monotonic()
        self.busy_seconds, self.all_seconds = cpu_seconds()
        self.last_percent = 0.0

    def percent(self) -> float:
        """Look, and return the share of all processors in percent."""
        now = time.monotonic()
        if now - self.read_at >= CPU_SECONDS:
            busy, everything = cpu_seconds()
            passed = max(everything - self.all_seconds, 0.001)
            self.last_percent = round(max(0.0, busy - self.busy_seconds) / passed * 100, 1)
            self.read_at, self.busy_seconds, self.all_seconds = now, busy, everything
        return self.last_percent


def cpu_seconds() -> tuple[float, float]:
    """Return the seconds that all processors were busy so far, and those that passed for them."""
    times = psutil.cpu_times()
    everything = sum(times)
    return everything - times.idle - getattr(times, "iowait", 0.0), everything


def end_facts(path: Path, cpu: CpuWatch) -> EndFacts:
    """Return how the host is now; the disk is the one that ``path`` is, or was, on."""
    memory = psutil.virtual_memory()
    while not path.exists():
        path = path.parent
    return {
        "at": timestamp(),
        "cpu_percent": cpu.percent(),
        "memory_used_bytes": memory.total - memory.available,
        "disk_free_bytes": shutil.disk_usage(path).free,
    }


def temperature_celsius() -> float | None:
    """Return the processor's temperature, None where no sensor tells it."""
    try:
        sensors = psutil.sensors_temperatures()
    except (OSError, AttributeError):
        return None
    for name in CPU_SENSORS:
        if sensors.get(name):
            return round(max(reading.current for reading in sensors[name]), 1)
    return None


@dataclass(frozen=True)
class SlotUse:
    """What one slot's processes use: percent of one core, resident bytes."""

    cpu_percent: float
    memory_bytes: int


class SlotMeter:
    """CPU shares of slots between two readings, from the CPU time of their processes."""

    def __init__(self) -> None:
        self.read_at = time.monotonic()
        self.cpu_ticks: dict[ProcessRef, int] = {}
        self.roots: set[ProcessRef] = set()

    def read(self, table: ProcessTable, roots: Mapping[int, ProcessRef]) -> dict[int, SlotUse]:
        """Return the use of each slot (key: runner id; value: its topmost process).

        A process that came and went between two readings is not seen.
        """
        now = time.monotonic()
        seconds = max(now - self.read_at, 0.001)
        seen: dict[ProcessRef, int] = {}
        uses = {}
        for runner_id, root in roots.items():
            spent = 0
            memory = 0
            for process in table.descendants(root):
                seen[process.ref] = process.cpu_ticks
                memory += process.memory_bytes
                if root in self.roots:  # so whatever is new began since the last reading
                    spent += process.cpu_ticks - self.cpu_ticks.get(process.ref, 0)
            uses[runner_id] = SlotUse(round(spent / CLOCK_TICKS / seconds * 100, 1), memory)
        self.read_at, self.cpu_ticks, self.roots = now, seen, set(roots.values())
        return uses

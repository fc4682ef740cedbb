"""What kind of machine this is: facts that change seldom, each from a source that can be named.

The architecture is proved by two signals, since under user-mode emulation the first alone lies:
``platform.machine()`` asks the (emulated) system call, the kernel's own files do not.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from .emulation import Emulation
from .gpu import Gpu, Survey
from .own_limits import usable_cpus, usable_memory_bytes
from .process_table import boot_id
from .topology import read_topology
from .verdict import Check
from .wire import IsolationFacts

ARCHITECTURES = {
    "x86_64": "x64",
    "amd64": "x64",
    "aarch64": "arm64",
    "arm64": "arm64",
    "armv7l": "arm",
    "armv6l": "arm",
    "riscv64": "riscv64",
    "i686": "x86",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
}
# Fields of /proc/cpuinfo that only that architecture's kernel writes.
CPUINFO_MARKS = (("vendor_id", "x86_64"), ("CPU implementer", "aarch64"), ("isa", "riscv64"))


class Facts(TypedDict):
    """The protocol's FACTS; sizes in bytes, skew in seconds (this host's clock minus server's)."""

    hostname: str
    os: str
    os_version: str
    kernel: str
    architecture: str
    machine: str
    kernel_architecture: str
    emulated: bool
    cpu_count: int
    memory_bytes: int
    disk_total_bytes: int
    disk_free_bytes: int
    boot_id: str
    python: str
    gpus: list[Gpu]
    gpu_source: str
    timezone: str
    posing: bool
    isolation: IsolationFacts | None
    agent_started_at: str
    runs_as_root: bool
    clock_skew_seconds: float | None
    cpu_topology: str
    checks: list[Check]
    emulations: list[Emulation]


# These move all the time: alone they are no news worth sending all facts for.
RESTLESS = ("disk_free_bytes", "clock_skew_seconds")


def collect_facts(
    *,
    disk_path: Path,
    agent_started_at: str,
    survey: Survey,
    checks: Sequence[Check] = (),
    emulations: Sequence[Emulation] = (),
    clock_skew_seconds: float | None = None,
    isolation: IsolationFacts | None = None,
    proc_root: Path = Path("/proc"),
    sysfs_root: Path = Path("/sys"),
) -> Facts:
    """Return this machine's facts now."""
    machine = platform.machine()
    kernel_machine = kernel_architecture(proc_root) or machine
    disk = shutil.disk_usage(disk_path)
    return {
        "hostname": socket.gethostname(),
        "os": platform.system().lower(),
        "os_version": os_version(),
        "kernel": platform.release(),
        "architecture": ARCHITECTURES.get(machine, machine),
        "machine": machine,
        "kernel_architecture": kernel_machine,
        "emulated": family(machine) != family(kernel_machine),
        "cpu_count": max(1, int(usable_cpus(proc_root, sysfs_root))),
        "memory_bytes": usable_memory_bytes(proc_root, sysfs_root),
        "disk_total_bytes": disk.total,
        "disk_free_bytes": disk.free,
        "boot_id": boot_id(proc_root),
        "python": platform.python_version(),
        "gpus": survey.gpus,
        "gpu_source": survey.source,
        "timezone": time.tzname[0],
        "posing": False,
        "isolation": isolation,
        "agent_started_at": agent_started_at,
        "runs_as_root": os.geteuid() == 0,
        "clock_skew_seconds": clock_skew_seconds,
        "cpu_topology": read_topology(sysfs_root).words(),
        "checks": list(checks),
        "emulations": list(emulations),
    }


def same_facts(one: Facts, other: Facts) -> bool:
    """Return whether two sets of facts differ in nothing but what moves all the time."""
    plain = all(
        one.get(key) == other.get(key) for key in one if key not in RESTLESS and key != "checks"
    )
    return plain and verdicts(one) == verdicts(other)


def verdicts(facts: Facts) -> list[tuple[str, str]]:
    """Return what the checks came to; their words hold figures that move."""
    return [(one["key"], one["verdict"]) for one in facts["checks"]]


def kernel_architecture(proc_root: Path) -> str:
    """Return the kernel's architecture by its own files, "" when they do not say.

    ``sys/kernel/arch`` is there since Linux 6.1; before, ``cpuinfo`` has fields that only one
    architecture's kernel writes.
    """
    try:
        return (proc_root / "sys/kernel/arch").read_text("ascii").strip()
    except OSError:
        pass
    try:
        lines = (proc_root / "cpuinfo").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    fields = {line.partition(":")[0].strip() for line in lines}
    return next((machine for mark, machine in CPUINFO_MARKS if mark in fields), "")


def family(machine: str) -> str:
    """Return what one kernel runs natively: a 64-bit kernel runs its 32-bit programs itself."""
    architecture = ARCHITECTURES.get(machine, machine)
    return {"x86": "x64", "arm": "arm64"}.get(architecture, architecture)


def os_version() -> str:
    """Return the distribution's own name for itself."""
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""

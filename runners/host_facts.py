"""What an agent says of its machine, and the columns it goes to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from runners.models import Host
from runners.untrusted import LARGEST_INTEGER, integer, number, text

TEXT_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Gpu:
    """One graphics or compute device as its vendor's tool names it."""

    vendor: str
    model: str
    memory_bytes: int | None
    driver: str
    uuid: str


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of one host; texts may be empty, numbers None: not known is not zero."""

    hostname: str = ""
    os: str = ""
    os_version: str = ""
    kernel: str = ""
    architecture: str = ""
    kernel_architecture: str = ""
    emulated: bool = False
    posing: bool = False
    cpu_count: int | None = None
    memory_bytes: int | None = None
    disk_total_bytes: int | None = None
    boot_id: str = ""
    gpus: tuple[Gpu, ...] = field(default=())
    gpu_source: str = ""
    clock_skew_seconds: float | None = None


def parse_facts(data: Mapping[str, object]) -> Facts:
    """Read the FACTS object of an agent message; unknown keys are ignored, wrong types read as not
    known."""
    return Facts(
        hostname=text(data, "hostname", 253),
        os=text(data, "os", 20),
        os_version=text(data, "os_version", TEXT_LIMIT),
        kernel=text(data, "kernel", TEXT_LIMIT),
        architecture=text(data, "architecture", 20),
        kernel_architecture=text(data, "kernel_architecture", 20),
        emulated=data.get("emulated") is True,
        posing=data.get("posing") is True,
        cpu_count=integer(data, "cpu_count", high=LARGEST_INTEGER),
        memory_bytes=integer(data, "memory_bytes"),
        disk_total_bytes=integer(data, "disk_total_bytes"),
        boot_id=text(data, "boot_id", 64),
        gpus=_gpus(data.get("gpus")),
        gpu_source=text(data, "gpu_source", 200),
        clock_skew_seconds=number(data, "clock_skew_seconds"),
    )


def apply_facts(host: Host, facts: Facts) -> list[str]:
    """Set the host's fact columns (without saving) and return their names."""
    plain = (
        "hostname",
        "os",
        "os_version",
        "kernel",
        "architecture",
        "kernel_architecture",
        "emulated",
        "posing",
        "cpu_count",
        "memory_bytes",
        "disk_total_bytes",
        "boot_id",
        "gpu_source",
        "clock_skew_seconds",
    )
    for name in plain:
        setattr(host, name, getattr(facts, name))
    host.gpus = [
        {
            "vendor": gpu.vendor,
            "model": gpu.model,
            "memory_bytes": gpu.memory_bytes,
            "driver": gpu.driver,
            "uuid": gpu.uuid,
        }
        for gpu in facts.gpus
    ]
    canonical = json.dumps([getattr(facts, name) for name in plain] + [host.gpus], default=str)
    host.facts_digest = hashlib.sha256(canonical.encode()).hexdigest()
    return [*plain, "gpus", "facts_digest"]


def _gpus(value: object) -> tuple[Gpu, ...]:
    if not isinstance(value, list):
        return ()
    return tuple(
        Gpu(
            vendor=text(item, "vendor", 20),
            model=text(item, "model", TEXT_LIMIT),
            memory_bytes=integer(item, "memory_bytes"),
            driver=text(item, "driver", 40),
            uuid=text(item, "uuid", TEXT_LIMIT),
        )
        for item in value[:64]
        if isinstance(item, dict)
    )

"""What an agent says of its machine, and the columns it goes to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict

from runners.models import Host
from runners.untrusted import LARGEST_INTEGER, clean, integer, number, text

TEXT_LIMIT = 100


GPU_STATES = ("ok", "no-driver", "lost")
VERDICTS = ("good", "fair", "poor", "unknown")
GPUS_LIMIT = 64
MIG_LIMIT = 16
CHECKS_LIMIT = 40
EMULATIONS_LIMIT = 10


class Mig(TypedDict):
    """One instance of a GPU that is divided in hardware."""

    uuid: str
    profile: str


class Gpu(TypedDict):
    """One graphics or compute device as its driver tells of it; `state` is one of GPU_STATES.

    `integrated` are a processor's own graphics. `ecc_errors` are uncorrected ones, None when they
    are not counted.
    """

    vendor: str
    model: str
    memory_bytes: int | None
    driver: str
    uuid: str
    pci: str
    integrated: bool
    state: str
    reason: str
    ecc_errors: int | None
    mig: list[Mig]


class Check(TypedDict):
    """One thing the agent checked of its host; `verdict` is one of VERDICTS."""

    key: str
    verdict: str
    words: str
    fix: str


class Emulation(TypedDict):
    """An architecture whose programs the host can emulate; `slowdown` None when not measured."""

    architecture: str
    slowdown: float | None


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
    cpu_topology: str = ""
    checks: tuple[Check, ...] = field(default=())
    emulations: tuple[Emulation, ...] = field(default=())
    isolation: dict[str, object] = field(default_factory=dict)


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
        cpu_topology=text(data, "cpu_topology", TEXT_LIMIT),
        checks=_checks(data.get("checks")),
        emulations=_emulations(data.get("emulations")),
        isolation=_isolation(data.get("isolation")),
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
        "cpu_topology",
        "isolation",
    )
    for name in plain:
        setattr(host, name, getattr(facts, name))
    lists = ("gpus", "checks", "emulations")
    for name in lists:
        setattr(host, name, list(getattr(facts, name)))
    told = [getattr(facts, name) for name in (*plain, *lists)]
    host.facts_digest = hashlib.sha256(json.dumps(told, default=str).encode()).hexdigest()
    return [*plain, *lists, "facts_digest"]


def _objects(value: object, limit: int) -> list[Mapping[str, object]]:
    items = value if isinstance(value, list) else []
    return [item for item in items[:limit] if isinstance(item, dict)]


def _gpus(value: object) -> tuple[Gpu, ...]:
    return tuple(_gpu(item) for item in _objects(value, GPUS_LIMIT))


def _gpu(item: Mapping[str, object]) -> Gpu:
    state = item.get("state", "ok")  # older agents name only cards that work
    return Gpu(
        vendor=text(item, "vendor", 20),
        model=text(item, "model", TEXT_LIMIT),
        memory_bytes=integer(item, "memory_bytes"),
        driver=text(item, "driver", 40),
        uuid=text(item, "uuid", TEXT_LIMIT),
        pci=text(item, "pci", 20),
        integrated=item.get("kind") == "integrated",
        state=str(state) if state in GPU_STATES else "no-driver",
        reason=text(item, "reason", 200),
        ecc_errors=integer(item, "ecc_errors"),
        mig=[
            Mig(uuid=text(one, "uuid", TEXT_LIMIT), profile=text(one, "profile", 40))
            for one in _objects(item.get("mig"), MIG_LIMIT)
        ],
    )


def _checks(value: object) -> tuple[Check, ...]:
    return tuple(
        Check(
            key=text(item, "key", 40),
            verdict=str(item["verdict"]) if item.get("verdict") in VERDICTS else "unknown",
            words=text(item, "words", 200),
            fix=text(item, "fix", 200),
        )
        for item in _objects(value, CHECKS_LIMIT)
    )


def _emulations(value: object) -> tuple[Emulation, ...]:
    return tuple(
        Emulation(architecture=text(item, "architecture", 20), slowdown=number(item, "slowdown"))
        for item in _objects(value, EMULATIONS_LIMIT)
    )


def _isolation(value: object) -> dict[str, object]:
    """How the host keeps jobs apart; {} where its agent does not say."""
    if not isinstance(value, dict):
        return {}
    words = ("limits_by", "limits_reason", "jobs_run_as", "view", "view_reason", "credentials")
    lists = ("limits", "shared")
    return {name: text(value, name, 200) for name in words} | {
        name: [clean(item)[:TEXT_LIMIT] for item in items[:20] if isinstance(item, str)]
        for name in lists
        if isinstance(items := value.get(name), list)
    }

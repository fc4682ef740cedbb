"""A host's hardware for its page: each GPU with its health and who has it, and the checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from runners.models import Host, Runner
from runners.templatetags.fleet import size

HOT_CELSIUS: Final = 85
# Key of a check → how it is called; what is not here is called by its key
NAMES: Final = {
    "cpus": "Processors",
    "memory": "Memory",
    "storage": "Storage",
    "free": "Free space",
    "images": "Container images",
    "temperature": "Temperature",
    "network": "Network",
    "clock": "Clock",
    "github": "GitHub",
    "cuda.driver": "NVIDIA driver",
    "cuda.runtime": "CUDA",
    "cuda.toolkit": "CUDA toolkit",
    "cuda.containers": "GPU in containers",
    "cuda.versions": "CUDA versions",
    "rocm.driver": "AMD driver",
    "rocm.runtime": "ROCm runtime",
    "rocm.toolkit": "ROCm",
    "rocm.versions": "ROCm versions",
}
# Verdict → the state whose glyph and tone it has, and its word; worst first
VERDICTS: Final = {
    "poor": ("failed", "Refused"),
    "fair": ("warning", "Minimum"),
    "unknown": ("info", "Unknown"),
    "good": ("success", "Good"),
}


@dataclass(frozen=True, slots=True)
class GpuLine:
    """One GPU: `words` how it is, `more` what it is, `used_by` the runners that have it."""

    state: str
    word: str
    model: str
    more: str
    words: str
    warn: bool
    used_by: list[Runner]


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One check; `fix` is "" where nothing is to be done."""

    state: str
    word: str
    name: str
    words: str
    fix: str


@dataclass(frozen=True, slots=True)
class Hardware:
    """What the cards show; `checks_words` sums the checks up."""

    gpus: list[GpuLine]
    checks: list[CheckLine]
    checks_words: str


def hardware(host: Host, runners: Sequence[Runner]) -> Hardware:
    """Return it from the host's facts; `runners` hold its slots. No query."""
    readings = {str(one.get("id")): one for one in host.gpu_readings}
    checks = sorted(host.checks, key=lambda one: list(VERDICTS).index(one["verdict"]))
    amiss = sum(one["verdict"] in ("poor", "fair") for one in checks)
    return Hardware(
        gpus=[_gpu(gpu, readings, runners) for gpu in host.gpus],
        checks=[_check(one) for one in checks],
        checks_words=f"{amiss} of {len(checks)} below the recommendation" if amiss else "All good",
    )


def _gpu(
    gpu: Mapping[str, object],
    readings: Mapping[str, Mapping[str, object]],
    runners: Sequence[Runner],
) -> GpuLine:
    uuid, pci = str(gpu.get("uuid") or ""), str(gpu.get("pci") or "")
    device = uuid or f"pci:{pci}"
    mig = gpu.get("mig")
    instances = [str(one["uuid"]) for one in mig] if isinstance(mig, list) else []
    state, word = _gpu_state(gpu)
    reading = readings.get(device, {})
    errors = gpu.get("ecc_errors")
    words, hot = _health(reading)
    if isinstance(errors, int) and errors:
        words.append(f"{errors} uncorrected memory error{'s' if errors != 1 else ''}")
    if reason := str(gpu.get("reason") or ""):
        words = [reason]
    memory = gpu.get("memory_bytes")
    more = [
        size(memory) if isinstance(memory, int) and memory else "",
        str(gpu.get("driver") or ""),
        _instances(mig) if isinstance(mig, list) else "",
        pci,
    ]
    return GpuLine(
        state=state,
        word=word,
        model=str(gpu.get("model") or "GPU"),
        more=" · ".join(part for part in more if part),
        words=" · ".join(words),
        warn=bool(errors) or hot or state == "failed",
        used_by=[runner for runner in runners if runner.gpu in (device, *instances)],
    )


def _gpu_state(gpu: Mapping[str, object]) -> tuple[str, str]:
    if gpu.get("state") == "lost":
        return "failed", "Lost"
    if gpu.get("state") == "no-driver":
        return "warning", "Not usable"
    return ("info", "Graphics only") if gpu.get("integrated") else ("success", "Ready")


def _health(reading: Mapping[str, object]) -> tuple[list[str], bool]:
    """Temperature, use and memory in words, and whether it is too hot."""
    words = []
    celsius, busy = reading.get("temperature_celsius"), reading.get("busy_percent")
    used = reading.get("memory_used_bytes")
    hot = isinstance(celsius, int | float) and celsius >= HOT_CELSIUS
    if isinstance(celsius, int | float):
        words.append(f"{celsius:.0f} °C")
    if isinstance(busy, int | float):
        words.append(f"{busy:.0f}% busy")
    if isinstance(used, int):
        words.append(f"{size(used)} in use")
    return words, hot


def _instances(mig: list[Mapping[str, object]]) -> str:
    profiles = [str(one.get("profile")) for one in mig]
    noun = "instance" if len(profiles) == 1 else "instances"
    return f"{len(profiles)} {noun}: {', '.join(sorted(set(profiles)))}" if profiles else ""


def _check(check: Mapping[str, str]) -> CheckLine:
    state, word = VERDICTS[check["verdict"]]
    return CheckLine(
        state, word, NAMES.get(check["key"], check["key"]), check["words"], check["fix"]
    )

"""Labels that promise hardware, and which of them a host's facts bear out.

A host can not carry a label it is not. What a label promises is fixed here; what a host is, its
agent proved: the architecture by two signals, a GPU by its driver, CUDA and ROCm by starting them.
Labels that promise nothing of this are anybody's to choose.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from runners.models import Host

ARCHITECTURES = {"x64": "x64", "arm64": "arm64", "arm": "arm", "riscv64": "riscv64", "x86": "x86"}
"""Label (lower case) → the host architecture it promises, as GitHub's own labels do."""
SYSTEMS = {"linux": "linux", "windows": "windows", "macos": "darwin"}
EMULATED = "emulated-"
VENDORS = {"nvidia": "nvidia", "amd": "amd", "intel-gpu": "intel"}
STACKS = {"cuda": "cuda", "rocm": "rocm"}
MODELS = re.compile(
    r"(rtx|gtx|rx)-[a-z]?\d{3,4}.*|arc-[ab]\d{3}|flex-1[47]0|max-1\d{3}|mi\d{2,3}[ax]?(-vf)?"
    r"|(a10g?|a16|a2|a30|a40|a100|a800|b100|b200|b300|gb10|gb200|gb300|gh200|h20|h100|h200|h800)"
    r"|(k80|l4|l40s?|m60|p4|p40|p100|t4|t400|t600|t1000|v100)"
)
"""Names of GPU models, as `model_label` makes them, that mean nothing else in a workflow."""
# What vendors put around the name of a model: makers, lines, memory, form
_AROUND = re.compile(
    r"\b(nvidia|amd|intel|geforce|quadro|tesla|radeon|instinct|data center gpu|graphics|gpu"
    r"|generation|pcie|sxm\d?|nvl|hbm\d?e?|\d+ ?gb)\b|\((r|tm)\)"
)


def unproved(label: str, host: Host) -> str:
    """Say why this host may not carry a label, "" when it may."""
    name = label.lower()
    if name in ARCHITECTURES and host.architecture != ARCHITECTURES[name]:
        return f"{host.architecture or 'unknown architecture'}, not {ARCHITECTURES[name]}"
    if name in SYSTEMS and host.os and host.os != SYSTEMS[name]:
        return f"{host.os}, not {name}"
    if name.startswith(EMULATED):
        return _no_emulation(name.removeprefix(EMULATED), host)
    if not promises_gpu(name) or name in gpu_labels(host):
        return ""
    if not host.gpu_devices:
        return no_gpu(host)
    if name in STACKS:
        return f"{label} is not proved there{_missing(STACKS[name], host)}"
    return f"its GPU is no {label}"


def promises_gpu(label: str) -> bool:
    """Whether a label speaks of a GPU."""
    name = label.lower()
    known = name in VENDORS or name in STACKS or name in ("gpu", "mig")
    return known or MODELS.fullmatch(name) is not None


def promises_hardware(label: str) -> bool:
    """Whether a label speaks of a GPU or of emulation, beyond an architecture."""
    return promises_gpu(label) or label.lower().startswith(EMULATED)


def gpu_labels(host: Host) -> set[str]:
    """The GPU labels its facts bear out, in lower case."""
    if not host.gpu_devices:
        return set()
    usable = [gpu for gpu in host.gpus if gpu.get("state", "ok") == "ok"]
    cards = [gpu for gpu in usable if not gpu.get("integrated")]
    labels = {"gpu"}
    labels |= {label for label, vendor in VENDORS.items() if vendor in _of(cards, "vendor")}
    labels |= {name for model in _of(cards, "model") if (name := model_label(model))}
    if any(gpu.get("mig") for gpu in cards):
        labels.add("mig")
    for label, stack in STACKS.items():
        told = {check["key"]: check["verdict"] for check in host.checks}
        works = told.get(f"{stack}.runtime") == "good" and told.get(f"{stack}.driver") == "good"
        if works and told.get(f"{stack}.versions") != "poor":
            labels.add(label)
    return labels


def host_labels(host: Host) -> list[str]:
    """Every label its facts bear out, as GitHub writes them: what a runner there may promise."""
    architecture = host.architecture.upper() if host.architecture in ARCHITECTURES else ""
    own = ["Linux" if host.os == "linux" else "", "" if host.emulated else architecture]
    emulated = [f"{EMULATED}{one['architecture']}" for one in host.emulations]
    return [label for label in own if label] + sorted(gpu_labels(host)) + emulated


def model_label(model: str) -> str:
    """Return the label of a GPU's model, such as rtx-4090; "" where the name says several.

    NVIDIA GeForce RTX 4090 → rtx-4090 · NVIDIA A100-SXM4-40GB → a100 · Quadro T400 → t400
    """
    if "/" in model or " device 0x" in model:
        return ""
    plain = _AROUND.sub(" ", model.lower().replace("-", " "))
    return "-".join(re.findall(r"[a-z0-9]+", plain))


def no_gpu(host: Host) -> str:
    """Say why the host has no GPU to give, with the reason of the first card that can't be used."""
    for gpu in host.gpus:
        if gpu.get("integrated"):
            continue
        return f"no usable GPU: {gpu.get('model', 'a card')} {gpu.get('reason', '')}".rstrip()
    if host.gpus:
        return "no GPU but the processor's own graphics"
    return "no GPU"


def emulated_architecture(labels: Iterable[str]) -> str:
    """The architecture that labels ask to have emulated, "" for none."""
    asked = (label.lower() for label in labels)
    return next((name.removeprefix(EMULATED) for name in asked if name.startswith(EMULATED)), "")


def _no_emulation(architecture: str, host: Host) -> str:
    if architecture == host.architecture:
        return f"{architecture} itself: nothing is emulated there"
    if architecture in {one["architecture"] for one in host.emulations}:
        return ""
    return f"it can not emulate {architecture}: install qemu-user-static there"


def _missing(stack: str, host: Host) -> str:
    """The first check of a stack that is no good, in words."""
    for check in host.checks:
        if check["key"].startswith(f"{stack}.") and check["verdict"] == "poor":
            return f": {check['words']}"
    return ""


def _of(cards: list[dict[str, object]], key: str) -> set[str]:
    return {str(card.get(key, "")) for card in cards}

"""What a slot is given of the GPUs: one of them, or none, by environment and by device files.

The variables are what CUDA, ROCm, Level Zero and NVIDIA's container runtime read. They are a
convention that a job can break; where a slot sees only ``device_nodes`` it can not. A slot that was
given no GPU is told to see none, so that it does not take another's by accident.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from .cards import Gpu, identity, read_line

NONE = "-1"  # an index that no card has: CUDA, HIP and ROCr then show none


def chosen_gpu(gpus: Sequence[Gpu], device: str) -> Gpu | None:
    """Return the card that ``device`` is, or is an instance of; None when it is not here."""
    for gpu in gpus:
        if device == identity(gpu) or device in [one["uuid"] for one in gpu["mig"]]:
            return gpu
    return None


def gpu_environment(gpus: Sequence[Gpu], device: str) -> dict[str, str]:
    """Return the variables for a slot that has ``device``, "" for none; {} without a GPU here."""
    chosen = chosen_gpu(gpus, device) if device else None
    environment: dict[str, str] = {}
    for vendor in sorted({gpu["vendor"] for gpu in gpus if gpu["state"] != "no-driver"}):
        cards = [gpu for gpu in gpus if gpu["vendor"] == vendor]
        mine = chosen if chosen is not None and chosen["vendor"] == vendor else None
        if vendor == "nvidia":
            environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
            environment["CUDA_VISIBLE_DEVICES"] = device if mine else NONE
            environment["NVIDIA_VISIBLE_DEVICES"] = device if mine else "void"
        elif vendor == "amd":
            environment["ROCR_VISIBLE_DEVICES"] = amd_name(cards, mine) if mine else NONE
            if mine is None:
                environment["HIP_VISIBLE_DEVICES"] = NONE
        elif mine is not None:
            environment["ZE_AFFINITY_MASK"] = str(place_of(cards, mine))
        else:
            environment["ONEAPI_DEVICE_SELECTOR"] = "*:cpu"
    if device:
        environment["FLEET_GPU"] = device
    return environment


def amd_name(cards: Sequence[Gpu], mine: Gpu) -> str:
    """Return what ROCr calls a card: ``GPU-`` and its own number, else its place among them."""
    return f"GPU-{mine['uuid']}" if mine["uuid"] else str(place_of(cards, mine))


def place_of(cards: Sequence[Gpu], mine: Gpu) -> int:
    """Return a card's place in the order of the bus, the processor's own graphics last."""
    ordered = sorted(cards, key=lambda gpu: (gpu["kind"] == "integrated", gpu["pci"]))
    return ordered.index(mine)


def device_nodes(
    gpus: Sequence[Gpu],
    device: str,
    *,
    dev_root: Path = Path("/dev"),
    proc_root: Path = Path("/proc"),
    sysfs_root: Path = Path("/sys"),
) -> list[Path]:
    """Return the device files a slot with ``device`` needs; [] for none."""
    chosen = chosen_gpu(gpus, device) if device else None
    if chosen is None:
        return []
    nodes = (
        nvidia_nodes(chosen, dev_root, proc_root)
        if chosen["vendor"] == "nvidia"
        else drm_nodes(chosen, dev_root, sysfs_root)
    )
    return [node for node in nodes if node.exists()]


def nvidia_nodes(gpu: Gpu, dev_root: Path, proc_root: Path) -> Iterator[Path]:
    """Yield what CUDA opens: the card's own file and those that all cards share.

    The minor number is in ``/proc/driver/nvidia/gpus/<address>/information``.
    """
    try:
        lines = (
            (proc_root / "driver/nvidia/gpus" / gpu["pci"] / "information")
            .read_text("ascii", errors="replace")
            .splitlines()
        )
    except OSError:
        lines = []
    for line in lines:
        name, _, minor = line.partition(":")
        if name.strip() == "Device Minor" and minor.strip().isdigit():
            yield dev_root / f"nvidia{minor.strip()}"
    for name in ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools"):
        yield dev_root / name
    if gpu["mig"]:
        yield from sorted((dev_root / "nvidia-caps").glob("nvidia-cap*"))


def drm_nodes(gpu: Gpu, dev_root: Path, sysfs_root: Path) -> Iterator[Path]:
    """Yield a card's files below ``dri``, and the compute device that all AMD cards share."""
    for folder in sorted((sysfs_root / "bus/pci/devices" / gpu["pci"] / "drm").glob("*")):
        if folder.name.startswith(("card", "renderD")) and read_line(folder / "dev"):
            yield dev_root / "dri" / folder.name
    if gpu["vendor"] == "amd":
        yield dev_root / "kfd"

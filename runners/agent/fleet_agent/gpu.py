"""Which GPUs a machine has, by the first source that knows, and why the others did not.

Sources in order: ``nvidia-smi``; sysfs for AMD (kfd and drm) and Intel (drm); the PCI bus, which
tells that a card is present even where no driver is. None may hang the agent: programs run under a
time-out, and files are read from sysfs only. An answer is never a bare "0 GPUs".
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TypedDict

NVIDIA_SMI_SECONDS = 10.0
QUERY = "name,memory.total,driver_version,uuid"
VENDORS = {"0x10de": "nvidia", "0x1002": "amd", "0x8086": "intel"}
DISPLAY_CLASSES = ("0x03", "0x12")  # display controllers, processing accelerators


class Gpu(TypedDict):
    """One GPU; ``memory_bytes`` 0 and empty text where the source does not know."""

    vendor: str
    model: str
    memory_bytes: int
    driver: str
    uuid: str


def find_gpus(sysfs_root: Path = Path("/sys")) -> tuple[list[Gpu], str]:
    """Return the GPUs and the source they are from, or "none: " and every source's reason."""
    gpus, reason = from_nvidia_smi()
    if gpus:
        return gpus, "nvidia-smi"
    reasons = [f"nvidia-smi {reason}"]
    gpus = from_drm(sysfs_root)
    if gpus:
        return gpus, "sysfs drm"
    reasons.append("sysfs shows no AMD or Intel card with a driver")
    gpus = from_pci(sysfs_root)
    if gpus:
        return gpus, f"pci, no driver in use ({reasons[0]})"
    reasons.append("no display or accelerator on the PCI bus")
    return [], "none: " + "; ".join(reasons)


def from_nvidia_smi() -> tuple[list[Gpu], str]:
    """Ask ``nvidia-smi``; returns the GPUs and, when there are none, the reason."""
    command = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=NVIDIA_SMI_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        return [], "is not installed"
    except subprocess.TimeoutExpired:
        return [], f"did not answer in {NVIDIA_SMI_SECONDS:.0f} s"
    except OSError as err:
        return [], f"could not be run ({err.strerror})"
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip().splitlines()
        return [], f"ended with {done.returncode}: {said[0][:120] if said else 'no message'}"
    gpus = [gpu for line in done.stdout.splitlines() if (gpu := parse_nvidia_line(line))]
    return gpus, "" if gpus else "lists no GPU"


def parse_nvidia_line(line: str) -> Gpu | None:
    """Parse one csv line of ``nvidia-smi``; ``[N/A]`` and its kin become empty."""
    fields = [field.strip() for field in line.split(",")]
    if len(fields) != 4 or not fields[0]:
        return None
    known = ["" if field.startswith("[") else field for field in fields]
    mebibytes = float(known[1]) if known[1].replace(".", "", 1).isdigit() else 0.0
    return {
        "vendor": "nvidia",
        "model": known[0],
        "memory_bytes": int(mebibytes * 1024 * 1024),
        "driver": known[2],
        "uuid": known[3],
    }


def from_drm(sysfs_root: Path) -> list[Gpu]:
    """Return AMD and Intel cards that a kernel driver serves."""
    gpus: list[Gpu] = []
    for card in sorted((sysfs_root / "class/drm").glob("card[0-9]*")):
        device = card / "device"
        vendor = VENDORS.get(read_line(device / "vendor"), "")
        if "-" in card.name or vendor not in ("amd", "intel"):
            continue
        driver = (device / "driver").resolve().name if (device / "driver").exists() else ""
        version = read_line(sysfs_root / "module" / driver / "version") if driver else ""
        memory = read_line(device / "mem_info_vram_total")
        gpus.append(
            {
                "vendor": vendor,
                "model": read_line(device / "product_name") or read_line(device / "device"),
                "memory_bytes": int(memory) if memory.isdigit() else 0,
                "driver": " ".join(part for part in (driver, version) if part),
                "uuid": read_line(device / "unique_id"),
            }
        )
    return gpus


def from_pci(sysfs_root: Path) -> list[Gpu]:
    """Return GPUs of known vendors on the PCI bus, whatever driver they have."""
    gpus: list[Gpu] = []
    for device in sorted((sysfs_root / "bus/pci/devices").glob("*")):
        vendor = VENDORS.get(read_line(device / "vendor"), "")
        if not vendor or not read_line(device / "class").startswith(DISPLAY_CLASSES):
            continue
        gpus.append(
            {
                "vendor": vendor,
                "model": f"PCI device {read_line(device / 'device')}",
                "memory_bytes": 0,
                "driver": "",
                "uuid": "",
            }
        )
    return gpus


def read_line(path: Path) -> str:
    """Return a small file's first line, "" where it is missing or unreadable."""
    try:
        return path.read_text("utf-8", errors="replace").strip().split("\n")[0]
    except OSError:
        return ""

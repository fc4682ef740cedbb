"""CUDA and ROCm on this machine, piece by piece: what is there, what is missing, and the fix.

A piece is looked for where its vendor puts it; that CUDA works is proved by its own library, in a
process of its own, since a driver that hangs must not hang the agent.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fleet_agent.verdict import Check, Verdict, check

from .cards import Gpu, read_line
from .programs import Programs

# https://docs.nvidia.com/cuda/cuda-toolkit-release-notes/: the oldest driver for each major version
CUDA_DRIVERS = {11: (450, 80, 2), 12: (525, 60, 13), 13: (580, 65, 6)}
# https://rocm.docs.amd.com/en/latest/compatibility/: the first ROCm with each family of chips
ROCM_CHIPS = {
    "gfx908": (3, 9),
    "gfx90a": (4, 5),
    "gfx942": (6, 0),
    "gfx950": (7, 0),
    "gfx1030": (5, 0),
    "gfx1100": (5, 7),
    "gfx1101": (6, 0),
    "gfx1200": (6, 4),
    "gfx1201": (6, 4),
}
# Prints the version of CUDA the driver speaks and how many devices it lets us use.
CUDA_PROBE = """
import ctypes, sys
cuda = ctypes.CDLL("libcuda.so.1")
code = cuda.cuInit(0)
if code: sys.exit("cuInit says error %d" % code)
version, count = ctypes.c_int(), ctypes.c_int()
cuda.cuDriverGetVersion(ctypes.byref(version))
cuda.cuDeviceGetCount(ctypes.byref(count))
print(version.value, count.value)
"""


@dataclass(frozen=True)
class Places:
    """Where to look; a test has others."""

    root: Path = Path("/")
    sysfs_root: Path = Path("/sys")

    def at(self, path: str) -> Path:
        """A path of the machine."""
        return self.root / path.lstrip("/")

    def program(self, name: str, *folders: str) -> Path | None:
        """A program on PATH or in one of these folders."""
        found = shutil.which(name)
        if found:
            return Path(found)
        inside = [self.at(folder) / name for folder in folders]
        return next((path for path in inside if path.exists()), None)


def check_stacks(gpus: Sequence[Gpu], programs: Programs, places: Places) -> list[Check]:
    """Return the checks of each vendor that has a card here; none for a machine without."""
    checks: list[Check] = []
    if any(gpu["vendor"] == "nvidia" for gpu in gpus):
        checks += check_cuda(gpus, programs, places)
    if any(gpu["vendor"] == "amd" and gpu["kind"] == "discrete" for gpu in gpus):
        checks += check_rocm(gpus, places)
    return checks


def check_cuda(gpus: Sequence[Gpu], programs: Programs, places: Places) -> list[Check]:
    """Return driver, runtime, toolkit, container hook and whether the versions fit."""
    cards = [gpu for gpu in gpus if gpu["vendor"] == "nvidia"]
    driver = next((gpu["driver"] for gpu in cards if gpu["state"] == "ok"), "")
    checks = []
    if not driver:
        reason = next((gpu["reason"] for gpu in cards if gpu["reason"]), "no card answers")
        fix = "apt install nvidia-driver (Debian) or nvidia-driver-…-server (Ubuntu), then restart"
        checks.append(check("cuda.driver", Verdict.POOR, reason, fix))
    else:
        checks.append(check("cuda.driver", Verdict.GOOD, f"NVIDIA driver {driver}"))
    speaks = cuda_runtime(checks, programs)
    toolkit = cuda_toolkit(places)
    if toolkit:
        checks.append(check("cuda.toolkit", Verdict.GOOD, f"CUDA toolkit {dotted(toolkit)}"))
    else:
        fix = "only for jobs that compile without a container: install cuda-toolkit"
        checks.append(check("cuda.toolkit", Verdict.FAIR, "no CUDA toolkit (nvcc)", fix))
    checks.append(cuda_containers(places))
    if toolkit and driver:
        checks.append(cuda_fits(toolkit, version(driver), speaks))
    return checks


def cuda_runtime(checks: list[Check], programs: Programs) -> tuple[int, ...]:
    """Add whether CUDA starts, and return the version of it that the driver speaks."""
    told = programs.ask([sys.executable, "-I", "-S", "-c", CUDA_PROBE])
    found = re.fullmatch(r"(\d+) (\d+)\s*", told.text)
    if told.reason or not found:
        words = f"CUDA does not start: libcuda {told.reason or 'said nothing'}"
        fix = "install libcuda1 (Debian) or libnvidia-compute-… (Ubuntu) of the driver's version"
        checks.append(check("cuda.runtime", Verdict.POOR, words[:200], fix))
        return ()
    speaks, devices = int(found.group(1)), int(found.group(2))
    parts = (speaks // 1000, speaks % 1000 // 10)
    words = f"CUDA {dotted(parts)} starts and sees {devices} device{'' if devices == 1 else 's'}"
    checks.append(check("cuda.runtime", Verdict.GOOD if devices else Verdict.POOR, words))
    return parts


def cuda_toolkit(places: Places) -> tuple[int, ...]:
    """Return the toolkit's version, () where there is none."""
    text = ""
    try:
        text = places.at("usr/local/cuda/version.json").read_text("utf-8")
    except OSError:
        nvcc = places.program("nvcc", "usr/local/cuda/bin")
        if nvcc is not None:  # …/cuda-12.4/bin/nvcc
            text = str(nvcc.resolve())
    found = re.search(r'"cuda"\s*:\s*{[^}]*"version"\s*:\s*"([\d.]+)"', text) or re.search(
        r"cuda-(\d+\.\d+)", text
    )
    return version(found.group(1)) if found else ()


def cuda_containers(places: Places) -> Check:
    """Return whether containers can be given a GPU."""
    if places.at("etc/cdi/nvidia.yaml").exists() or places.at("var/run/cdi/nvidia.yaml").exists():
        return check("cuda.containers", Verdict.GOOD, "containers get GPUs through CDI")
    if places.program("nvidia-container-runtime", "usr/bin") or places.program(
        "nvidia-ctk", "usr/bin"
    ):
        return check("cuda.containers", Verdict.GOOD, "NVIDIA's container toolkit is installed")
    fix = (
        "for jobs in containers: install nvidia-container-toolkit, run nvidia-ctk runtime configure"
    )
    return check("cuda.containers", Verdict.FAIR, "containers can not be given a GPU", fix)


def cuda_fits(toolkit: tuple[int, ...], driver: tuple[int, ...], speaks: tuple[int, ...]) -> Check:
    """Return whether the driver is new enough for the toolkit."""
    needed = CUDA_DRIVERS.get(toolkit[0])
    if needed is None:
        words = f"CUDA {dotted(toolkit)} is not in the table of versions"
        return check("cuda.versions", Verdict.UNKNOWN, words)
    if driver < needed or (speaks and speaks[0] < toolkit[0]):
        words = f"driver {dotted(driver)} is too old for CUDA {dotted(toolkit)}"
        fix = f"install driver {dotted(needed)} or newer, or an older toolkit"
        return check("cuda.versions", Verdict.POOR, words, fix)
    words = f"driver {dotted(driver)} fits CUDA {dotted(toolkit)}"
    return check("cuda.versions", Verdict.GOOD, words)


def check_rocm(gpus: Sequence[Gpu], places: Places) -> list[Check]:
    """Return driver, runtime, toolkit, container access and whether the versions fit."""
    cards = [gpu for gpu in gpus if gpu["vendor"] == "amd" and gpu["kind"] == "discrete"]
    checks = [rocm_driver(cards, places), rocm_runtime(places)]
    rocm = version(read_line(places.at("opt/rocm/.info/version")))
    if rocm:
        checks.append(check("rocm.toolkit", Verdict.GOOD, f"ROCm {dotted(rocm)}"))
        checks += rocm_fits(rocm, chips(places.sysfs_root))
    else:
        fix = "install rocm (repo.radeon.com), or run jobs in rocm/… containers"
        checks.append(check("rocm.toolkit", Verdict.FAIR, "no ROCm in /opt/rocm", fix))
    return checks


def rocm_driver(cards: Sequence[Gpu], places: Places) -> Check:
    """Return whether compute jobs may open the driver's device."""
    broken = next((gpu["reason"] for gpu in cards if gpu["state"] != "ok"), "")
    if broken:
        return check("rocm.driver", Verdict.POOR, broken, "load amdgpu (amdgpu-dkms), then restart")
    device = places.at("dev/kfd")
    if not device.exists():
        words = "amdgpu runs without its compute device /dev/kfd"
        return check("rocm.driver", Verdict.POOR, words, "use a kernel with CONFIG_HSA_AMD")
    if not os.access(device, os.R_OK | os.W_OK):
        words = "/dev/kfd may not be opened by this user"
        return check("rocm.driver", Verdict.POOR, words, "usermod -aG render,video USER")
    return check("rocm.driver", Verdict.GOOD, f"{cards[0]['driver']}, /dev/kfd may be opened")


def rocm_runtime(places: Places) -> Check:
    """Return whether the HSA runtime is installed."""
    folders = ("opt/rocm/lib", "usr/lib/x86_64-linux-gnu", "usr/lib64", "usr/lib")
    for folder in folders:
        if next(places.at(folder).glob("libhsa-runtime64.so.1*"), None) is not None:
            return check("rocm.runtime", Verdict.GOOD, f"HSA runtime in /{folder}")
    fix = "install rocm-hip-runtime (or libhsa-runtime64-1)"
    return check("rocm.runtime", Verdict.POOR, "no HSA runtime (libhsa-runtime64.so.1)", fix)


def rocm_fits(rocm: tuple[int, ...], found: Sequence[str]) -> list[Check]:
    """Return whether this ROCm knows the chips."""
    known = [chip for chip in found if chip in ROCM_CHIPS]
    if not known:
        return []
    newest = max(ROCM_CHIPS[chip] for chip in known)
    words = f"ROCm {dotted(rocm)} and {', '.join(sorted(set(known)))}"
    if rocm[:2] < newest:
        fix = f"install ROCm {dotted(newest)} or newer"
        return [check("rocm.versions", Verdict.POOR, f"{words}: too old", fix)]
    return [check("rocm.versions", Verdict.GOOD, words)]


def chips(sysfs_root: Path) -> list[str]:
    """Return the chips of the compute driver's nodes, such as ``gfx90a``."""
    found = []
    nodes = sysfs_root / "class/kfd/kfd/topology/nodes"
    for properties in sorted(nodes.glob("*/properties")):
        try:
            lines = properties.read_text("ascii", errors="replace").splitlines()
        except OSError:
            continue
        values = dict(line.split(" ", 1) for line in lines if " " in line)
        target = values.get("gfx_target_version", "0")
        if target.isdigit() and int(target):
            number = int(target)
            major, minor, step = number // 10000, number // 100 % 100, number % 100
            found.append(f"gfx{major}{minor:x}{step:x}")
    return found


def version(text: str) -> tuple[int, ...]:
    """Return the numbers a version begins with, () where it has none."""
    found = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(int(part) for part in found.group().split(".")) if found else ()


def dotted(parts: Sequence[int]) -> str:
    """Return a version as it is written."""
    return ".".join(str(part) for part in parts)

"""Which GPUs a machine has and how they are, by the first source that knows, and why others don't.

Sources in order: ``nvidia-smi``; sysfs for AMD and Intel; the PCI bus, which tells that a card is
present even where no driver is. None may hang the agent: programs run under a time-out, files are
read from sysfs only. An answer is never a bare "0 GPUs". Card, driver and place are what the
sources say; nothing is guessed from a name.
"""

from __future__ import annotations

from pathlib import Path

from . import amd, intel, nvidia
from .cards import Gpu, PciDevice, Reading, Survey, identity
from .names import known_name
from .pci import gpus_on_the_bus
from .programs import Programs

__all__ = ["Gpu", "Reading", "Survey", "Surveyor", "identity"]

SOURCE_CHARACTERS = 200
UNANSWERED = 3


class Surveyor:
    """Looks for GPUs, again and again; remembers only what does not change while it runs."""

    def __init__(self, sysfs_root: Path = Path("/sys"), programs: Programs | None = None) -> None:
        self.sysfs_root = sysfs_root
        self.programs = programs or Programs()
        self.amd_names: dict[str, str] | None = None
        self.nvidia_before: nvidia.Found | None = None
        self.unanswered = 0

    def look(self) -> Survey:
        """Return all GPUs, their readings, and the sources."""
        devices, others = gpus_on_the_bus(self.sysfs_root)
        of = {
            vendor: [device for device in devices if device.vendor == vendor]
            for vendor in ("nvidia", "amd", "intel")
        }
        found = self._nvidia(of["nvidia"])
        amd_gpus, amd_readings = amd.find(of["amd"], self._names_of(of["amd"]))
        intel_gpus, intel_readings = intel.find(of["intel"])
        gpus = [*found.gpus, *amd_gpus, *intel_gpus]
        readings = [*found.readings, *amd_readings, *intel_readings]
        return Survey(gpus, readings, self._source(found, gpus, others)[:SOURCE_CHARACTERS])

    def _nvidia(self, devices: list[PciDevice]) -> nvidia.Found:
        """Ask for NVIDIA's cards; no answer in time is no news, until it was so three times."""
        found = nvidia.find(self.programs, devices)
        if not found.unanswered:
            self.nvidia_before, self.unanswered = found, 0
            return found
        self.unanswered += 1
        before = self.nvidia_before
        return found if before is None or self.unanswered >= UNANSWERED else before

    def _names_of(self, devices: list[PciDevice]) -> dict[str, str]:
        """Ask the vendor's programs once, and only when a card has no name of its own."""
        nameless = [
            device
            for device in devices
            if device.driver == "amdgpu"
            and not (device.path / "product_name").exists()
            and not known_name("amd", device.device)
        ]
        if nameless and self.amd_names is None:
            self.amd_names = amd.names_by_program(self.programs)
        return self.amd_names or {}

    def _source(self, found: nvidia.Found, gpus: list[Gpu], others: int) -> str:
        sources = []
        if any(gpu["vendor"] == "nvidia" and gpu["state"] != "no-driver" for gpu in gpus):
            sources.append("nvidia-smi")
        if any(gpu["vendor"] != "nvidia" and gpu["state"] != "no-driver" for gpu in gpus):
            sources.append("sysfs")
        if sources and all(gpu["kind"] == "integrated" for gpu in gpus):
            return f"{sources[0]}: only the processor's own graphics"
        if sources:
            return " and ".join(sources)
        if gpus:
            return f"pci, no driver in use (nvidia-smi {found.reason})"
        reasons = [f"nvidia-smi {found.reason}"]
        if others:
            reasons.append("the only display devices are a server's or virtual machine's screen")
        else:
            reasons.append("no display or accelerator on the PCI bus")
        return "none: " + "; ".join(reasons)

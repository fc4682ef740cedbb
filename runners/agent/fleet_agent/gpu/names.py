"""The names of cards whose drivers do not tell them: from ``pci.ids`` where the machine has it,
else from a short list of the common ones (as in the PCI ID repository, https://pci-ids.ucw.cz)."""

from __future__ import annotations

from pathlib import Path

USR_ROOT = Path("/usr")
PCI_IDS = ("share/misc/pci.ids", "share/hwdata/pci.ids")
BRANDS = {"nvidia": "NVIDIA", "amd": "AMD", "intel": "Intel"}
VENDOR_IDS = {"nvidia": "10de", "amd": "1002", "intel": "8086"}

# fmt: off
KNOWN = {
    ("amd", "0x66a1"): "AMD Instinct MI60 / MI50",
    ("amd", "0x738c"): "AMD Instinct MI100",
    ("amd", "0x7408"): "AMD Instinct MI250X",
    ("amd", "0x740c"): "AMD Instinct MI250X / MI250",
    ("amd", "0x740f"): "AMD Instinct MI210",
    ("amd", "0x74a0"): "AMD Instinct MI300A",
    ("amd", "0x74a1"): "AMD Instinct MI300X",
    ("amd", "0x73bf"): "AMD Radeon RX 6800 / 6900 XT",
    ("amd", "0x73df"): "AMD Radeon RX 6700 XT / 6750 XT",
    ("amd", "0x744c"): "AMD Radeon RX 7900 XT / 7900 XTX",
    ("amd", "0x7448"): "AMD Radeon Pro W7900",
    ("amd", "0x7550"): "AMD Radeon RX 9070 / 9070 XT",
    ("intel", "0x4905"): "Intel Iris Xe MAX",
    ("intel", "0x56a0"): "Intel Arc A770",
    ("intel", "0x56a1"): "Intel Arc A750",
    ("intel", "0x56a2"): "Intel Arc A580",
    ("intel", "0x56a5"): "Intel Arc A380",
    ("intel", "0x56a6"): "Intel Arc A310",
    ("intel", "0x56c0"): "Intel Data Center GPU Flex 170",
    ("intel", "0x56c1"): "Intel Data Center GPU Flex 140",
    ("intel", "0x0bd5"): "Intel Data Center GPU Max 1550",
    ("intel", "0x0bda"): "Intel Data Center GPU Max 1100",
    ("intel", "0xe20b"): "Intel Arc B580",
    ("intel", "0xe20c"): "Intel Arc B570",
}
# Graphics inside processors of AMD, by device: Raven, Picasso, Renoir, Lucienne, Cezanne,
# Rembrandt, Raphael, Mendocino, Phoenix, Hawk Point, Granite Ridge, Strix, Strix Halo, Krackan.
AMD_INTEGRATED = frozenset({
    "0x15dd", "0x15d8", "0x1636", "0x164c", "0x1638", "0x1681", "0x164e", "0x1506", "0x15bf",
    "0x15c8", "0x1900", "0x1901", "0x13c0", "0x150e", "0x1586", "0x1114",
})
# fmt: on


def known_name(vendor: str, device: str, usr_root: Path | None = None) -> str:
    """Return what a card is sold as, "" where neither list has it."""
    if (vendor, device) in KNOWN:
        return KNOWN[vendor, device]
    for place in PCI_IDS:
        name = _from_pci_ids(
            (usr_root or USR_ROOT) / place, VENDOR_IDS[vendor], device.removeprefix("0x")
        )
        if name:
            return f"{BRANDS[vendor]} {name}"
    return ""


def plain_name(vendor: str, device: str) -> str:
    """Return what to call a card that nobody names."""
    return f"{BRANDS[vendor]} device {device}"


def _from_pci_ids(path: Path, vendor: str, device: str) -> str:
    """Find ``device  Navi 31 [Radeon RX 7900 XT/7900 XTX]`` below its vendor's line."""
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            ours = False
            for line in lines:
                if line.startswith(("#", "\t\t")) or not line.strip():
                    continue
                if not line.startswith("\t"):
                    if ours:
                        break
                    ours = line.startswith(vendor)
                elif ours and line[1:5] == device:
                    name = line[5:].strip()
                    return name.partition("[")[2].rstrip("]") or name
    except OSError:
        pass
    return ""

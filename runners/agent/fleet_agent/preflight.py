"""What a host needs, checked one by one: each with a verdict, what was found, and the fix.

The boundaries: 4 processors (8 recommended), 8 GB of memory (16), a 100 GB SSD (200), 100 Mbit/s, a
clock that is right, GitHub within 100 ms. A host below them works, for small jobs; the check says
so, and ``fleet-agent preflight`` ends with 1. Sizes are decimal, as disks and memory are sold.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import requests

from .own_limits import memory_bytes, read, usable_cpus, usable_memory_bytes
from .server import Bearer
from .verdict import Check, Verdict, bounded, check

GB = 10**9
CPUS = (4, 8)
MEMORY_GB = (8, 16)
STORAGE_GB = (100, 200)
FREE_GB = (10, 20)
NETWORK_MBPS = 100
CLOCK_SECONDS = (2.0, 30.0)
HOT_CELSIUS = (80.0, 90.0)
SPEED_SECONDS = 3.0
SPEED_BYTES = 16 * 1024 * 1024
SPEED_PIECE = 64 * 1024
ENGINE_SECONDS = 2.0
ENGINES = ("var/run/docker.sock", "run/podman/podman.sock")
VIRTUAL_DISKS = ("vd", "xvd", "nbd", "loop", "hd")
# Bits of the firmware's word on a Raspberry Pi: what is so now, and what was since it started
THROTTLED_NOW, THROTTLED_BEFORE = 0x0000F, 0xF0000


@dataclass(frozen=True)
class Places:
    """Where the kernel's files are; a test has others."""

    root: Path = Path("/")
    proc_root: Path = Path("/proc")
    sysfs_root: Path = Path("/sys")


def check_machine(disk_path: Path, places: Places, temperature: float | None) -> list[Check]:
    """Return every check that needs nothing but this machine."""
    disk = shutil.disk_usage(disk_path)
    return [
        check_cpus(usable_cpus(places.proc_root, places.sysfs_root)),
        check_memory(
            usable_memory_bytes(places.proc_root, places.sysfs_root),
            memory_bytes(places.proc_root),
        ),
        check_storage(disk.total, rotational(disk_path, places.sysfs_root)),
        check_free(disk.free),
        check_images(places.root, os.environ, uid=os.getuid()),
        check_temperature(temperature, throttle_bits(places.sysfs_root)),
    ]


def check_cpus(cpus: float) -> Check:
    """Judge the processors this agent may use."""
    return bounded(
        "cpus",
        cpus,
        "processors",
        minimum=CPUS[0],
        recommended=CPUS[1],
        fix="give the machine (or the container's CPU limit) more, or keep it to small jobs",
    )


def check_memory(usable: int, total: int) -> Check:
    """Judge the memory this agent may use, which in a container is not the machine's."""
    found = bounded(
        "memory",
        usable / GB if usable else None,
        "GB",
        minimum=MEMORY_GB[0],
        recommended=MEMORY_GB[1],
        fix="give the machine (or the container's memory limit) more, or keep it to small jobs",
    )
    if 0 < usable < total:
        found["words"] += f" (limited; the machine has {total / GB:.0f})"
    return found


def check_storage(total: int, spins: bool | None) -> Check:
    """Judge the size and kind of the disk the agent works on."""
    found = bounded(
        "storage",
        total / GB,
        "GB",
        minimum=STORAGE_GB[0],
        recommended=STORAGE_GB[1],
        fix="put the state directory on a larger SSD (--state-dir)",
    )
    if spins:
        words = f"refused: a spinning disk of {total / GB:.0f} GB, an SSD is needed"
        return check(
            "storage", Verdict.POOR, words, found["fix"] or "put the state directory on an SSD"
        )
    if spins is None:
        found["words"] += "; SSD or not can not be told"
    return found


def check_free(free: int) -> Check:
    """Judge what is free now, whatever the size."""
    return bounded(
        "free",
        free / GB,
        "GB free",
        minimum=FREE_GB[0],
        recommended=FREE_GB[1],
        fix="make room: jobs fail when the disk is full",
    )


def check_network(mbps: float | None, link_mbps: int | None) -> Check:
    """Judge the throughput that was measured; the card's own speed is told beside it."""
    found = bounded(
        "network",
        mbps,
        "Mbit/s",
        minimum=NETWORK_MBPS,
        recommended=NETWORK_MBPS,
        fix="look at cable, switch and proxy: packages and caches come slowly",
    )
    if link_mbps:
        found["words"] += f" (its link: {link_mbps} Mbit/s)"
    return found


def check_clock(skew_seconds: float | None) -> Check:
    """Judge the clock against the dashboard's."""
    if skew_seconds is None:
        return check("clock", Verdict.UNKNOWN, "not compared yet")
    off = abs(skew_seconds)
    words = f"{skew_seconds:+.1f} s against the dashboard"
    if off < CLOCK_SECONDS[0]:
        return check("clock", Verdict.GOOD, words)
    fix = "synchronise it: install chrony or systemd-timesyncd"
    return check("clock", Verdict.FAIR if off < CLOCK_SECONDS[1] else Verdict.POOR, words, fix)


def check_github(p95_ms: float | None, failed_percent: float, verdict: str) -> Check:
    """Put the latency watch's verdict into words."""
    if p95_ms is None:
        return check(
            "github", Verdict.POOR, "can not be reached", "look at firewall, DNS and proxy"
        )
    failed = f", {failed_percent:.0f} % of the tries failed" if failed_percent else ""
    words = f"first byte in {p95_ms:.0f} ms (95th percentile){failed}; under 100 are wanted"
    fix = "" if verdict == "good" else "look at the route and proxy to GitHub, or move the host"
    return check("github", Verdict(verdict), words, fix)


def check_images(root: Path, environment: Mapping[str, str], *, uid: int) -> Check:
    """Say whether jobs can build container images: an engine answers, or a rootless builder is."""
    sockets = [root / path for path in ENGINES]
    runtime = environment.get("XDG_RUNTIME_DIR", f"/run/user/{uid}").lstrip("/")
    sockets += [root / runtime / "docker.sock", root / runtime / "podman/podman.sock"]
    refused = ""
    for path in sockets:
        if path.exists():
            words = engine_answers(path)
            if not words:
                return check("images", Verdict.GOOD, f"can build images: {path} answers")
            refused = refused or f"{path} {words}"
    path_variable = environment.get("PATH", "")
    builder = next(
        (name for name in ("buildah", "podman") if shutil.which(name, path=path_variable)), ""
    )
    if builder and (uid == 0 or rootless_ranges(root, uid)):
        return check("images", Verdict.GOOD, f"can build images: {builder}, without an engine")
    if builder:
        fix = "give the user ranges in /etc/subuid and /etc/subgid (usermod --add-subuids …)"
        return check("images", Verdict.FAIR, f"{builder} has no user ids to map", fix)
    fix = "only for jobs that build images: install podman, or Docker and add the user to its group"
    return check("images", Verdict.FAIR, refused or "can not build images: no engine", fix)


def engine_answers(path: Path) -> str:
    """Return why an engine's socket can not be used, "" when it answers."""
    try:
        with socket.socket(socket.AF_UNIX) as engine:
            engine.settimeout(ENGINE_SECONDS)
            engine.connect(str(path))
            engine.sendall(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n")
            answer = engine.recv(64)
    except PermissionError:
        return "may not be opened by this user"
    except OSError as err:
        return f"does not answer ({err.strerror or 'time-out'})"
    return "" if b" 200 " in answer else "does not answer as an engine"


def rootless_ranges(root: Path, uid: int) -> bool:
    """Return whether a user has further user ids to map into containers."""
    names = {str(uid)}
    for line in read(root / "etc/passwd").splitlines():
        fields = line.split(":")
        if len(fields) > 2 and fields[2] == str(uid):
            names.add(fields[0])
    ranges = read(root / "etc/subuid").splitlines()
    return any(line.split(":")[0] in names for line in ranges)


def check_temperature(celsius: float | None, bits: int | None) -> Check:
    """Judge heat, and what a small board's firmware says of its supply and speed."""
    words = "no sensor" if celsius is None else f"{celsius:.0f} °C"
    if bits is not None and bits & THROTTLED_NOW:
        fix = "cool it, and give it a stronger power supply"
        return check("temperature", Verdict.POOR, f"{words}, slowed down now", fix)
    if celsius is not None and celsius >= HOT_CELSIUS[0]:
        hot = Verdict.POOR if celsius >= HOT_CELSIUS[1] else Verdict.FAIR
        return check("temperature", hot, words, "cool it: it slows itself down")
    if bits is not None and bits & THROTTLED_BEFORE:
        fix = "look at its cooling and power supply"
        return check("temperature", Verdict.FAIR, f"{words}, was slowed down since its start", fix)
    return check("temperature", Verdict.UNKNOWN if celsius is None else Verdict.GOOD, words)


def throttle_bits(sysfs_root: Path) -> int | None:
    """Return the firmware's word on a Raspberry Pi, None elsewhere."""
    for path in (sysfs_root / "devices/platform").glob("soc*/*firmware*/get_throttled"):
        try:
            return int(read(path), 16)
        except ValueError:
            return None
    return None


def rotational(path: Path, sysfs_root: Path) -> bool | None:
    """Return whether a path lies on a spinning disk, None where that can not be told."""
    number = path.stat().st_dev
    return spins(sysfs_root / f"dev/block/{os.major(number)}:{os.minor(number)}")


def spins(device: Path) -> bool | None:
    """Look at a block device, or at the disk it is a part of, or at all that it is made of."""
    if not device.exists():
        return None
    device = device.resolve()
    parts = [spins(part) for part in sorted(device.glob("slaves/*"))]
    if parts:
        return True if True in parts else None if None in parts else False
    for folder in (device, device.parent):
        told = read(folder / "queue/rotational")
        if told == "1" and folder.name.startswith(VIRTUAL_DISKS):
            return None  # a hypervisor says so of any disk, unless it was told better
        if told:
            return told == "1"
    return None


def link_mbps(sysfs_root: Path) -> int | None:
    """Return the speed of the fastest link that is up, None where none tells."""
    speeds = [
        int(speed)
        for card in (sysfs_root / "class/net").glob("*")
        if read(card / "operstate") == "up" and (speed := read(card / "speed")).isdigit()
    ]
    return max(speeds, default=None)


def measure_mbps(url: str, *, token: str | None = None, verify: bool | str = True) -> float | None:
    """Download for a while and return the megabits a second, None when it fails.

    The clock starts with the first byte: connecting is another check's matter.
    """
    try:
        with requests.request(
            "GET" if token is None else "POST",  # the dashboard's own takes nothing else
            url,
            auth=Bearer(token),
            headers={"Accept-Encoding": "identity"},
            allow_redirects=token is None,  # the token must not go along
            stream=True,
            timeout=SPEED_SECONDS,
            verify=verify,
        ) as answer:
            answer.raise_for_status()
            pieces = answer.iter_content(SPEED_PIECE)
            next(pieces, b"")
            began = time.monotonic()
            received = 0
            for piece in pieces:
                received += len(piece)
                if time.monotonic() - began > SPEED_SECONDS or received >= SPEED_BYTES:
                    break
            seconds = time.monotonic() - began
    except requests.RequestException:
        return None
    return round(received * 8 / seconds / 10**6, 1) if received and seconds > 0 else None


def worst(checks: list[Check]) -> Verdict:
    """Return the worst verdict; what is unknown does not count."""
    found = {one["verdict"] for one in checks}
    for verdict in (Verdict.POOR, Verdict.FAIR):
        if verdict.value in found:
            return verdict
    return Verdict.GOOD

"""Which other architectures this host can emulate for a job's steps, proved and measured.

Each is proved by running a small program of it through ``fleet-emulate``, as a job would: it prints
the machine it runs on, and with an argument also runs a loop of calls and branches, whose time
against the same loop run natively is the slow-down to expect. The runner itself is never emulated.
"""

from __future__ import annotations

import base64
import logging
import os
import platform
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from . import emulate
from .emulate import PLATFORMS

log = logging.getLogger(__name__)

PROBE_SECONDS = 30.0
LOAD_ADDRESS = 0x400000
HEADERS_BYTES = 120
# What tests/agent/probe_programs/ assembles to
PROGRAMS = {
    "x64": (
        "SIscJEiB7AACAABIiee4PwAAAA8FSI20JAQBAAAx0ooEFoTAdAT/wuv1xgQWCv/CvwEAAAC4AQAAAA8FSIP7"
        "AX5CuUBLTABBuAEAAABMjSU5AAAATI0tRwAAAE2J40n3wAQAAAB0A02J60H/002J40n3wAgAAAB1A02J60H/"
        "00j/yXXXMf+4PAAAAA8FTItMJAhNAcFMiUwkCEnB6QNNMcjDTItMJAhJAchJ98ACAAAAdA9NicJJweICTSnR"
        "TIlMJAjD"
    ),
    "arm64": (
        "8wNA+f8DCNHgAwCRCBSA0gEAANThEwSRAgCA0iNoYjhjAAA0QgQAkf3//xdDAYBSI2giOEIEAJEgAIDSCAiA"
        "0gEAANR/BgDxzQEAVASohdKECaDyJQCA0qkBABAqAgAQvwB+8isBippgAT/WvwB98isRippgAT/WhAQA8SH/"
        "/1QAAIDSqAuA0gEAANTmA0D5xgAFi+YDAPmlDEbKwANf1uYDQPmlAASLZQAINsYIBcvmAwD5wANf1g=="
    ),
    "riscv64": (
        "gzQBABMBAeATBQEAkwgACnMAAACTBUEQEwYAALOCxQADwwIAYwYDABMGFgBv8B//EwOgACOAYgATBhYAEwUQ"
        "AJMIAARzAAAAkwIQAGPYkgS3U0wAm4MDtBMOEAAXCQAAEwnJBJcJAACTickFk3JOABMKCQBjhAIAE4oJAOcA"
        "CgCTco4AEwoJAGOUAgATigkA5wAKAJOD8//jmgP8EwUAAJMI0AVzAAAAgz4BALOOzgEjMNEBE98+ADNO7gFn"
        "gAAAgz4BADMOfgATfy4AYwgPABMfLgCzju5BIzDRAWeAAAA="
    ),
}


class Emulation(TypedDict):
    """One architecture that is emulated here; ``slowdown`` is 4.0 when it takes four times as
    long, null where this host can not run the loop itself."""

    architecture: str
    slowdown: float | None


@dataclass(frozen=True)
class Run:
    """One run of a probe program: what it printed, and the seconds of processor it took."""

    printed: str
    seconds: float


def find_emulations() -> list[Emulation]:
    """Return what can be emulated here; an architecture that fails its proof is left out."""
    own = platform.machine()
    native = next((name for name, one in PLATFORMS.items() if one.machine == own), "")
    found: list[Emulation] = []
    with tempfile.TemporaryDirectory(prefix="fleet-emulation-") as folder:
        for architecture in PROGRAMS:
            if architecture == native or not installed(architecture):
                continue
            proved = prove(architecture, native, Path(folder))
            if proved is not None:
                found.append(proved)
    return found


def installed(architecture: str) -> bool:
    """Return whether there is an emulator at all: without one there is nothing to prove."""
    try:
        return bool(emulate.find_interpreter(PLATFORMS[architecture], needs_static=False))
    except emulate.CannotEmulate:
        return False


def prove(architecture: str, native: str, folder: Path) -> Emulation | None:
    """Run the architecture's program; None where it does not say what it should."""
    wrapper = [sys.executable, "-I", "-S", emulate.__file__, architecture]
    program = write_program(architecture, folder)
    try:
        said = run([*wrapper, str(program)]).printed
        if said != PLATFORMS[architecture].machine:
            log.warning("emulating %s: the program ran on %r", architecture, said)
            return None
        emulated = (
            run([*wrapper, str(program), "long"]).seconds - run([*wrapper, str(program)]).seconds
        )
        if native not in PROGRAMS:
            return {"architecture": architecture, "slowdown": None}
        own = str(write_program(native, folder))
        alone = run([own, "long"]).seconds - run([own]).seconds
    except (OSError, subprocess.SubprocessError) as err:
        log.info("emulating %s: %s", architecture, words_of(err))
        return None
    slowdown = round(max(1.0, emulated / max(alone, 0.001)), 1)
    return {"architecture": architecture, "slowdown": slowdown}


def words_of(err: Exception) -> str:
    """Return what a failed run said."""
    said = getattr(err, "stderr", None)
    return str(said).strip()[:200] if said else str(err)


def run(command: list[str]) -> Run:
    """Run a program to its end; raises when it fails."""
    before = os.times()
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=PROBE_SECONDS,
        check=True,
        env={"PATH": os.environ.get("PATH", os.defpath)},
    )
    after = os.times()
    spent = after.children_user + after.children_system
    return Run(done.stdout.strip(), spent - before.children_user - before.children_system)


def write_program(architecture: str, folder: Path) -> Path:
    """Write the architecture's program as a file that can be run."""
    path = folder / architecture
    if not path.exists():
        path.write_bytes(elf(architecture, base64.b64decode(PROGRAMS[architecture])))
        path.chmod(0o700)
    return path


def elf(architecture: str, code: bytes) -> bytes:
    """Return a static program of one segment that begins with this code."""
    kind, machine = struct.unpack("<HH", PLATFORMS[architecture].magic[16:20])
    size = HEADERS_BYTES + len(code)
    # e_type … e_shstrndx, then one PT_LOAD that may be read and executed (elf(5))
    header = PLATFORMS[architecture].magic[:16] + struct.pack(
        "<HHIQQQIHHHHHH",
        *(kind, machine, 1, LOAD_ADDRESS + HEADERS_BYTES, 64, 0, 0, 64, 56, 1, 0, 0, 0),
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, LOAD_ADDRESS, LOAD_ADDRESS, size, size, 4096)
    return header + segment + code

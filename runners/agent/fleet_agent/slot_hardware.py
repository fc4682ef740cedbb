"""What a slot gets of the machine's hardware: its GPU, and the means to emulate."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import emulate
from .gpu import Gpu
from .gpu.assign import chosen_gpu, gpu_environment
from .removal import remove_tree
from .runner_process import StartFailed
from .wire import Wanted

TOOLS = ".fleet"


def slot_hardware(
    home: Path, wanted: Wanted, gpus: Sequence[Gpu], environment: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables to add for a runner; raises StartFailed where its GPU is not here."""
    added = gpu_environment(gpus, require_gpu(wanted.gpu, gpus))
    if wanted.emulates:
        install_emulator(home / TOOLS)
        added["PATH"] = f"{home / TOOLS}:{environment['PATH']}"
        added["FLEET_EMULATES"] = wanted.emulates
    return added


def require_gpu(device: str, gpus: Sequence[Gpu]) -> str:
    """Return the device as it is; raises StartFailed where it can not be used."""
    if not device:
        return device
    gpu = chosen_gpu(gpus, device)
    if gpu is None:
        raise StartFailed(f"the GPU {device} is not in this host any more: look at the host's page")
    if gpu["state"] != "ok":
        raise StartFailed(f"the GPU {gpu['model']} can not be used: {gpu['reason']}")
    return device


def install_emulator(folder: Path) -> None:
    """Put ``fleet-emulate`` where only this slot finds it.

    A copy: the agent's own files may be out of the slot's sight. It runs on the Python that the
    agent's environment was made from, which every user may run.
    """
    # An earlier job of a persistent runner may have put a link there, which we would follow
    remove_tree(folder)
    folder.mkdir(mode=0o755, parents=True)
    program = folder / "fleet-emulate"
    interpreter = os.path.realpath(sys.executable)
    if interpreter.startswith(("/home/", "/root/")):  # hidden from jobs: the one on their PATH
        interpreter = "/usr/bin/env -S python3"
    with program.open("xb") as file, Path(emulate.__file__).open("rb") as source:
        file.write(f"#!{interpreter} -I\n".encode())
        shutil.copyfileobj(source, file)
    program.chmod(0o755)

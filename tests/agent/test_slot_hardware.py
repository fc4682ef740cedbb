"""A real job in a slot: it sees the one GPU it was given, and runs another machine's programs."""

from __future__ import annotations

import json
from pathlib import Path

from fleet_agent.emulate import PLATFORMS
from fleet_agent.emulation import write_program
from fleet_agent.slot_hardware import TOOLS, install_emulator

from runners.simulator import Simulator
from tests.agent.dashboard import Dashboard
from tests.agent.machine import Machine
from tests.agent.patience import until
from tests.agent.test_emulation import FOREIGN, require_emulator

GPUS = [{"vendor": "nvidia", "model": "NVIDIA L4", "uuid": f"GPU-{n}"} for n in (1, 2)]


def test_emulator_is_put_where_no_earlier_job_led(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    (elsewhere / "fleet-emulate").write_text("not ours")
    folder = home / TOOLS

    folder.symlink_to(elsewhere)
    install_emulator(folder)

    assert (folder / "fleet-emulate").stat().st_mode & 0o777 == 0o755
    assert not folder.is_symlink()

    program = folder / "fleet-emulate"
    program.unlink()
    program.symlink_to(elsewhere / "fleet-emulate")
    install_emulator(folder)

    assert program.read_text().startswith("#!")
    assert not program.is_symlink()
    assert (elsewhere / "fleet-emulate").read_text() == "not ours"


def run_job(
    github: Simulator, fleet: Dashboard, machine: Machine, pose: Path, *steps: str, **wanted: str
) -> str:
    """Run one job in a slot of a machine that poses with two GPUs; returns its conclusion."""
    pose.write_text(json.dumps({"gpus": GPUS, "gpu_source": "pose"}))
    machine.enrol(fleet)
    machine.start("--pose", str(pose))
    fleet.want(12, **wanted)
    job = github.queue_job(labels=("runner-12",), steps=steps)
    until(lambda: fleet.phase(12) == "exited", "the end of the runner")
    return job.conclusion or "none"


def test_job_sees_exactly_the_gpu_it_was_given(
    github: Simulator, fleet: Dashboard, machine: Machine, tmp_path: Path
) -> None:
    seen = machine.shared / "seen"
    look = f"echo $CUDA_VISIBLE_DEVICES $NVIDIA_VISIBLE_DEVICES $FLEET_GPU > {seen}"
    done = run_job(github, fleet, machine, tmp_path / "pose.json", look, gpu="GPU-2")
    assert (done, seen.read_text()) == ("success", "GPU-2 GPU-2 GPU-2\n")


def test_runner_whose_gpu_is_gone_says_so(
    fleet: Dashboard, machine: Machine, tmp_path: Path
) -> None:
    machine.join(fleet)
    fleet.want(12, gpu="GPU-9")
    until(lambda: fleet.phase(12) == "failed", "the refusal")
    assert "GPU-9 is not in this host any more" in fleet.slot(12)["reason"]


def test_step_runs_emulated_in_a_slot_that_may(
    github: Simulator, fleet: Dashboard, machine: Machine, tmp_path: Path
) -> None:
    architecture = FOREIGN[0]
    require_emulator(architecture)
    program, seen = write_program(architecture, machine.shared), machine.shared / "seen"
    program.chmod(0o755)
    step = f"fleet-emulate {architecture} {program} > {seen} && ! [ $CUDA_VISIBLE_DEVICES != -1 ]"
    pose = tmp_path / "pose.json"
    done = run_job(github, fleet, machine, pose, step, emulates=architecture)
    assert (done, seen.read_text()) == ("success", f"{PLATFORMS[architecture].machine}\n")

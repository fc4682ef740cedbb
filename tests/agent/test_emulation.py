"""Emulation: the map of architectures, the command's refusals, and real foreign programs.

What needs QEMU or a cross compiler is skipped where it is missing, and says so.
"""

from __future__ import annotations

import base64
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet_agent import emulate, emulation
from fleet_agent.emulate import MASK, PLATFORMS, CannotEmulate, escaped, host_handler
from fleet_agent.emulation import PROGRAMS, Run, elf, find_emulations, prove

from tests.agent.test_facts import proc_tree

SOURCES = Path(__file__).parent / "probe_programs"
NOBODY = 65534
GNU = {"x64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu", "riscv64": "riscv64-linux-gnu"}
FOREIGN = [name for name in ("arm64", "riscv64") if PLATFORMS[name].machine != platform.machine()]
HELLO = """
#include <stdio.h>
#include <sys/utsname.h>
int main(void) {
  struct utsname name;
  uname(&name);
  printf("%s\\n", name.machine);
  FILE *file = fopen("/written", "w");
  return file ? 7 : 8;
}
"""


def run_emulated(
    *arguments: str, cwd: Path, uid: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``fleet-emulate`` as a job would."""
    return subprocess.run(
        [sys.executable, "-I", "-S", emulate.__file__, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=120,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(cwd)},
    )


def require_emulator(architecture: str) -> None:
    """Skip, visibly, where this machine can not run what the test is about."""
    if shutil.which(f"qemu-{PLATFORMS[architecture].qemu}-static") is None:
        pytest.skip(f"no qemu-user-static for {architecture} on this machine")
    release = tuple(int(part) for part in platform.release().split(".")[:2])
    if release < (6, 7) and not host_handler(PLATFORMS[architecture]):
        pytest.skip("this kernel has no binfmt registry for user namespaces (Linux 6.7)")


def compiled(architecture: str, folder: Path) -> Path:
    """Compile a program of that architecture; skips where there is no cross compiler."""
    compiler = f"{GNU[architecture]}-gcc"
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} on this machine")
    program = folder / "hello"
    subprocess.run(
        [compiler, "-static", "-xc", "-", "-o", str(program)], input=HELLO.encode(), check=True
    )
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("architecture", FOREIGN)
def test_cross_compiled_program_runs_emulated_and_says_so(
    architecture: str, tmp_path: Path
) -> None:
    program = compiled(architecture, tmp_path)
    require_emulator(architecture)
    alone = f'{program}; echo "code $?"; uname -m'
    done = run_emulated(architecture, "sh", "-c", alone, cwd=tmp_path)
    # The step's shell stays native, the program's own words are what counts.
    assert done.stdout.split() == [PLATFORMS[architecture].machine, "code", "7", platform.machine()]


@pytest.mark.parametrize("architecture", FOREIGN)
def test_root_file_system_of_another_architecture_is_entered_and_left_unchanged(
    architecture: str, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    compiled(architecture, root)
    require_emulator(architecture)
    done = run_emulated("--root", str(root), architecture, "/hello", cwd=tmp_path)
    assert (done.stdout, done.returncode) == (f"{PLATFORMS[architecture].machine}\n", 7), (
        done.stderr
    )
    assert [path.name for path in root.iterdir()] == ["hello"]
    assert list((tmp_path / "fleet-emulate").iterdir()) == []


def test_emulating_needs_no_privileges_and_gives_none(open_folder: Path) -> None:
    program = compiled(FOREIGN[0], open_folder)
    require_emulator(FOREIGN[0])
    pythons = [Path(name).resolve() for name in (sys.executable, "/usr/bin/python3")]
    python = next((path for path in pythons if path.exists() and reachable(path)), None)
    if os.geteuid() != 0 or python is None:
        pytest.skip("only root can become another user here, and that one must reach Python")
    copy = open_folder / "fleet-emulate.py"
    shutil.copyfile(emulate.__file__, copy)
    done = subprocess.run(
        [
            python,
            "-I",
            "-S",
            copy,
            FOREIGN[0],
            "sh",
            "-c",
            f"{program}; id -u; cat /proc/self/status",
        ],
        capture_output=True,
        text=True,
        cwd=open_folder,
        timeout=120,
        user=NOBODY,
        group=NOBODY,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.stdout.split()[:2] == [PLATFORMS[FOREIGN[0]].machine, str(NOBODY)], done.stderr
    assert "CapEff:\t0000000000000000" in done.stdout


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may go to."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def reachable(path: Path) -> bool:
    """Whether everybody may go to a path."""
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def test_host_stays_as_it_was_after_emulating() -> None:
    entries = [path.name for path in emulate.REGISTRY.glob("*")]
    assert not [name for name in entries if name.startswith("fleet-")]


def test_command_that_fails_or_is_missing_is_told_by_its_code(tmp_path: Path) -> None:
    require_emulator(FOREIGN[0])
    assert run_emulated(FOREIGN[0], "sh", "-c", "exit 5", cwd=tmp_path).returncode == 5
    done = run_emulated(FOREIGN[0], "no-such-command", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        127,
        "fleet-emulate: there is no no-such-command here\n",
    )


def test_own_architecture_is_run_natively(tmp_path: Path) -> None:
    own = next((name for name, one in PLATFORMS.items() if one.machine == platform.machine()), "")
    done = run_emulated(own, "uname", "-m", cwd=tmp_path)
    assert done.stdout.strip() == platform.machine()
    assert "nothing is emulated" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["arm64"], "name the command"),
        (["s390x", "true"], "invalid choice"),
        ([], "required"),
    ],
)
def test_wrong_arguments_have_a_code_of_their_own(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    done = run_emulated(*arguments, cwd=tmp_path)
    assert done.returncode == 125
    assert words in done.stderr


def test_missing_root_is_refused(tmp_path: Path) -> None:
    done = run_emulated("--root", str(tmp_path / "none"), "riscv64", "true", cwd=tmp_path)
    assert (done.returncode, "no such folder" in done.stderr) == (126, True)


@pytest.mark.parametrize("architecture", sorted(PLATFORMS))
def test_missing_handler_is_named_for_every_architecture(
    architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotEmulate, match=f"no handler for {PLATFORMS[architecture].machine}"):
        emulate.find_interpreter(PLATFORMS[architecture], needs_static=False)


@pytest.mark.parametrize(
    ("programs", "static", "found"),
    [
        (["qemu-aarch64-static", "qemu-aarch64"], False, "qemu-aarch64-static"),
        (["qemu-aarch64"], False, "qemu-aarch64"),
        (["qemu-aarch64"], True, ""),
    ],
)
def test_static_emulator_is_preferred_and_needed_in_another_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, programs: list[str], static: bool, found: str
) -> None:
    for name in programs:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    try:
        told = emulate.find_interpreter(PLATFORMS["arm64"], needs_static=static)
    except CannotEmulate:
        told = ""
    assert Path(told).name == found


@pytest.mark.parametrize(
    ("architecture", "image"),
    [
        ("x64", "linux/amd64"),
        ("arm64", "linux/arm64"),
        ("arm", "linux/arm/v7"),
        ("riscv64", "linux/riscv64"),
        ("ppc64le", "linux/ppc64le"),
    ],
)
def test_architectures_map_to_platforms(architecture: str, image: str) -> None:
    wanted = PLATFORMS[architecture]
    assert wanted.image == image
    assert len(wanted.magic) == len(MASK) == 20


def test_rule_matches_programs_of_its_architecture_only() -> None:
    for name in PROGRAMS:
        program = elf(name, base64.b64decode(PROGRAMS[name]))
        matching = [
            other
            for other, one in PLATFORMS.items()
            if all(b & m == x & m for b, m, x in zip(program, MASK, one.magic, strict=False))
        ]
        assert matching == [name]


def test_rule_is_written_as_the_kernel_reads_it() -> None:
    assert escaped(b"\x7fE\x00") == "\\x7f\\x45\\x00"


@pytest.mark.parametrize(
    ("state", "flags", "known"),
    [("enabled", "OCF", True), ("disabled", "F", False), ("enabled", "OC", False)],
)
def test_handler_of_the_host_is_used_when_it_works_in_any_root(
    tmp_path: Path, state: str, flags: str, known: bool
) -> None:
    magic = PLATFORMS["arm64"].magic.hex()
    text = f"{state}\ninterpreter /usr/bin/qemu\nflags: {flags}\noffset 0\nmagic {magic}\n"
    registry = proc_tree(tmp_path, **{"qemu-aarch64": text.replace("flags: ", "flags:")})
    assert host_handler(PLATFORMS["arm64"], registry) is known
    assert host_handler(PLATFORMS["riscv64"], registry) is False


@pytest.mark.parametrize("architecture", sorted(PROGRAMS))
def test_probe_programs_are_what_their_sources_assemble_to(
    architecture: str, tmp_path: Path
) -> None:
    tools = [shutil.which(f"{GNU[architecture]}-{tool}") for tool in ("as", "ld", "objcopy")]
    if None in tools:
        pytest.skip(f"no binutils for {architecture} on this machine")
    assembler, linker, copier = (str(tool) for tool in tools)
    options = ["-march=rv64i"] if architecture == "riscv64" else []
    relax = ["--no-relax"] if architecture == "riscv64" else []
    source = SOURCES / f"{architecture}.s"
    out = [str(tmp_path / name) for name in ("object", "linked", "code")]
    subprocess.run([assembler, *options, "-o", out[0], str(source)], check=True)
    subprocess.run([linker, *relax, "-o", out[1], out[0]], check=True)
    subprocess.run([copier, "-O", "binary", "-j", ".text", out[1], out[2]], check=True)
    assert Path(out[2]).read_bytes() == base64.b64decode(PROGRAMS[architecture])


def test_what_can_be_emulated_is_proved_and_measured() -> None:
    for architecture in FOREIGN:
        require_emulator(architecture)
    found = {one["architecture"]: one["slowdown"] for one in find_emulations()}
    assert found.keys() == set(FOREIGN)
    assert all(slowdown is not None and slowdown >= 1 for slowdown in found.values())


def test_program_that_says_another_machine_proves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulation, "run", lambda command: Run("x86_64", 0.1))
    assert prove("arm64", "x64", tmp_path) is None


def test_slow_down_is_the_share_of_the_loops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: list[str]) -> Run:
        emulated = "arm64" in command
        seconds = 0.2 if emulated else 0.1
        if command[-1] == "long":
            seconds += 2.0 if emulated else 0.4
        return Run("aarch64" if emulated else "x86_64", seconds)

    monkeypatch.setattr(emulation, "run", run)
    assert prove("arm64", "x64", tmp_path) == {"architecture": "arm64", "slowdown": 5.0}
    assert prove("arm64", "", tmp_path) == {"architecture": "arm64", "slowdown": None}


def test_emulation_that_fails_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str]) -> Run:
        raise subprocess.CalledProcessError(126, command, stderr="fleet-emulate: this kernel …")

    monkeypatch.setattr(emulation, "run", run)
    assert prove("arm64", "x64", tmp_path) is None

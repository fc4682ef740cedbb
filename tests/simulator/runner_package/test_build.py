"""The tarball: layout, modes, and the same bytes every time."""

import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from runners.simulator.runner_package.build import Package, build_package
from tests.simulator.runner_package.conftest import VERSION, Start

PROGRAMS = [
    "config.sh",
    "run.sh",
    "run-helper.sh.template",
    "env.sh",
    "safe_sleep.sh",
    "bin/Runner.Listener",
    "bin/Runner.Worker",
    "bin/installdependencies.sh",
    "bin/runsvc.sh",
]


def members(package: Package) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(package.content)) as archive:
        return {member.name: member for member in archive.getmembers()}


@pytest.mark.parametrize("program", PROGRAMS)
def test_package_holds_the_official_programs_as_executables(program: str) -> None:
    member = members(build_package(VERSION, "linux", "x64"))[f"./{program}"]
    assert member.isreg()
    assert member.mode == 0o755


def test_package_has_the_folders_of_the_official_one_and_no_state() -> None:
    names = members(build_package(VERSION, "linux", "x64"))
    assert names["./bin"].isdir()
    assert names["./externals"].isdir()
    state = ("./.runner", "./.credentials", "./.credentials_rsaparams", "./_diag", "./_work")
    assert not set(state) & set(names)


def test_every_member_belongs_to_root_with_one_moment_and_no_link() -> None:
    found = members(build_package(VERSION, "linux", "arm64")).values()
    assert {(member.uid, member.gid, member.mtime) for member in found} == {(0, 0, 1767225600)}
    assert all(member.isreg() or member.isdir() for member in found)


def test_members_are_sorted() -> None:
    names = list(members(build_package(VERSION, "linux", "x64")))
    assert names == sorted(names)


def test_another_process_builds_the_same_bytes(tmp_path: Path) -> None:
    program = (
        "from runners.simulator.runner_package.build import build_package;"
        "print(build_package('2.336.0', 'linux', 'x64').sha256)"
    )
    root = Path(__file__).parents[3]
    other = subprocess.run(
        [sys.executable, "-B", "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == build_package(VERSION, "linux", "x64").sha256


def test_digest_is_the_sha256_of_the_content() -> None:
    package = build_package(VERSION, "osx", "arm64")
    assert package.sha256 == hashlib.sha256(package.content).hexdigest()


@pytest.mark.parametrize(
    "other", [("2.335.0", "linux", "x64"), (VERSION, "linux", "arm"), (VERSION, "win", "x64")]
)
def test_another_version_or_platform_is_another_package(other: tuple[str, str, str]) -> None:
    package, reference = build_package(*other), build_package(VERSION, "linux", "x64")
    assert package.sha256 != reference.sha256
    assert package.filename.startswith(f"actions-runner-{other[1]}-{other[2]}-{other[0]}.")


def test_windows_package_is_a_zip_with_the_same_files() -> None:
    package = build_package(VERSION, "win", "x64")
    with zipfile.ZipFile(io.BytesIO(package.content)) as archive:
        names = {f"./{name}" for name in archive.namelist()}
    files = {
        name
        for name, member in members(build_package(VERSION, "linux", "x64")).items()
        if member.isreg()
    }
    assert package.filename == "actions-runner-win-x64-2.336.0.zip"
    assert names == files


@pytest.mark.parametrize(("system", "architecture"), [("plan9", "x64"), ("linux", "riscv64")])
def test_a_platform_without_official_runner_is_refused(system: str, architecture: str) -> None:
    with pytest.raises(ValueError, match="no runner package"):
        build_package(VERSION, system, architecture)


def test_version_flag_prints_the_version_of_the_package(start: Start) -> None:
    runner = start("./run.sh", "--version", jit=False)
    assert runner.wait() == 0
    assert VERSION in runner.output.splitlines()


def test_commit_flag_prints_a_commit(start: Start) -> None:
    runner = start("./bin/Runner.Listener", "--commit", jit=False)
    assert runner.wait() == 0
    assert len(runner.output.strip()) == 40


def test_help_flag_names_the_commands(start: Start) -> None:
    runner = start("./config.sh", "--help", jit=False)
    assert runner.wait() == 0
    assert "./config.sh remove" in runner.output

"""The wheel: holds the agent and nothing else, needs two packages, runs in an environment of its
own."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import fleet_agent
import pytest

from tests.agent.machine import AGENT_FOLDER

ALLOWED = {"requests", "psutil", "fleet_agent"}


PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the agent's wheel and those of what it needs; a copy is built, so that the
    checkout stays clean."""
    folder = tmp_path_factory.mktemp("wheels")
    probe = [*PIP, "download", "--no-deps", "--dest", str(folder / "probe"), "setuptools>=77"]
    if subprocess.run(probe, capture_output=True, timeout=120).returncode != 0:
        pytest.skip("no package index can be reached to fetch the build backend from")
    source = folder / "source"
    for path in AGENT_FOLDER.rglob("*"):
        if path.suffix in (".py", ".toml", ".md", ".typed"):
            target = source / path.relative_to(AGENT_FOLDER)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    out = folder / "out"
    done = subprocess.run(
        [*PIP, "wheel", "--wheel-dir", str(out), str(source)],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return out


def test_wheel_installs_into_an_empty_environment_and_runs(wheels: Path, tmp_path: Path) -> None:
    home = tmp_path / "env"
    venv.create(home, with_pip=False, symlinks=True)
    python = str(home / "bin" / "python")
    install = [*PIP, "--python", python, "install", "--no-index", "--find-links", str(wheels)]
    done = subprocess.run([*install, "fleet-agent"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    program = str(home / "bin" / "fleet-agent")
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, fleet_agent.__version__)
    done = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=60)
    assert all(name in done.stdout for name in ("enrol", "run", "join", "status", "service"))


def test_wheel_holds_the_agent_only(wheels: Path) -> None:
    with zipfile.ZipFile(next(wheels.glob("fleet_agent-*.whl"))) as archive:
        names = archive.namelist()
        meta = next(name for name in names if name.endswith("/METADATA"))
        metadata = archive.read(meta).decode()
        scripts = archive.read(meta.replace("METADATA", "entry_points.txt")).decode()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"fleet_agent"}
    needed = {re.split(r"[<>=! ]", line)[1] for line in re.findall(r"Requires-Dist:.*", metadata)}
    assert needed == {"requests", "psutil"}
    assert "fleet-agent = fleet_agent.__main__:main" in scripts


def imports(path: Path) -> set[str]:
    """The top-level names of the packages a module imports absolutely."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("path", sorted(AGENT_FOLDER.rglob("*.py")), ids=lambda path: path.stem)
def test_module_imports_only_what_a_host_has(path: Path) -> None:
    assert imports(path) <= ALLOWED | sys.stdlib_module_names


def test_keeper_needs_the_standard_library_only() -> None:
    path = AGENT_FOLDER / "fleet_agent" / "keeper.py"
    assert imports(path) <= sys.stdlib_module_names
    assert "from ." not in path.read_text("utf-8")


def test_python_floor_is_declared() -> None:
    project = tomllib.loads((AGENT_FOLDER / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["requires-python"] == ">=3.10"
    assert not (AGENT_FOLDER / "__init__.py").exists()

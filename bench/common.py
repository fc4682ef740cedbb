"""What every benchmark shares: its two flags, the machine in words, and the last line of JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Options:
    """How long and how a benchmark runs."""

    quick: bool
    json: bool
    databases: tuple[str, ...]


def options(description: str, argv: Sequence[str] | None = None) -> Options:
    """Parse `--quick`, `--json` and `--database`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="under a minute, fewer repetitions")
    parser.add_argument("--json", action="store_true", help="last line: one JSON object")
    parser.add_argument(
        "--database",
        action="append",
        choices=("sqlite", "postgresql"),
        help="measure this one only (default: each that is there)",
    )
    parsed = parser.parse_args(argv)
    return Options(
        quick=parsed.quick,
        json=parsed.json,
        databases=tuple(parsed.database or ("sqlite", "postgresql")),
    )


def machine() -> dict[str, str | int]:
    """The machine in words a reader can compare."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
    }


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie; nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return statistics.median(values)


def environment(folder: Path, database_url: str, settings: str) -> dict[str, str]:
    """The variables of a process under measurement: its own folder and database, quiet logs."""
    return {
        **os.environ,
        "DATABASE_URL": database_url,
        "DATA_DIR": str(folder),
        "DJANGO_SETTINGS_MODULE": settings,
        "FLEET_LOG_LEVEL": "ERROR",
        "PYTHONPATH": str(ROOT),
    }


def run_python(env: dict[str, str], *arguments: str) -> str:
    """Run Python with these arguments and return what it printed. Raises RuntimeError."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


def say(text: str = "") -> None:
    """Print a line for the reader, at once."""
    print(text, flush=True)


def finish(chosen: Options, result: dict[str, object]) -> None:
    """Print the machine and, where asked for, the result as the last line."""
    result = {**result, "machine": machine(), "quick": chosen.quick}
    if chosen.json:
        sys.stdout.flush()
        print(json.dumps(result, sort_keys=True), flush=True)

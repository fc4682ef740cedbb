"""Looks up what is locked in the public list of known vulnerabilities.

What could not be looked up is said, loudly, and is not an error: a build must not depend on the
service being reachable. AUDIT=required makes it one. What is installed must fit together anyway.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TypedDict


class Vulnerability(TypedDict):
    id: str


class Package(TypedDict, total=False):
    name: str
    version: str
    vulns: list[Vulnerability]
    skip_reason: str


def main(lock_file: str) -> int:
    fits = subprocess.run([sys.executable, "-m", "pip", "check"], check=False).returncode
    report = _report(lock_file)
    if report is None:
        return fits or _not_done("the service could not be reached")
    vulnerable = [each for each in report if each.get("vulns")]
    for package in vulnerable:
        ids = ", ".join(found["id"] for found in package["vulns"])
        print(f"VULNERABLE {package['name']} {package['version']}: {ids}")
    if vulnerable:
        return 1
    skipped = sum("skip_reason" in each for each in report)
    if skipped:
        return fits or _not_done(
            f"the service knows nothing of {skipped} of {len(report)} packages"
        )
    print(f"{len(report)} packages looked up, none of them vulnerable")
    return fits


def _report(lock_file: str) -> list[Package] | None:
    """pip-audit's findings, a package each; None when it did not get as far."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "audit.json"
        command = [sys.executable, "-m", "pip_audit", "--requirement", lock_file]
        command += ["--disable-pip", "--require-hashes", "--timeout", "20"]
        command += ["--format", "json", "--output", str(output)]
        try:
            subprocess.run(command, check=False, capture_output=True, timeout=180)
        except subprocess.TimeoutExpired:
            return None
        if not output.exists():
            return None
        found: list[Package] = json.loads(output.read_text())["dependencies"]
        return found


def _not_done(reason: str) -> int:
    print(f"\n*** DEPENDENCY AUDIT NOT DONE: {reason} ***\n", file=sys.stderr)
    return 1 if os.environ.get("AUDIT") == "required" else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

"""Ask a vendor's program without ever waiting for it longer than its time-out.

A program that talks to a driver that hangs cannot even be killed: it is left, and not asked again
before it has gone.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

SECONDS = 10.0
KILL_SECONDS = 1.0


@dataclass(frozen=True)
class Told:
    """What a program printed, or why it did not; ``reason`` is "" when it ended well."""

    text: str
    reason: str
    unanswered: bool = False  # it hung


class Programs:
    """Runs programs by name, bounded in time."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self.stuck: dict[str, subprocess.Popen[str]] = {}

    def ask(self, command: Sequence[str]) -> Told:
        """Run a command and return its standard output; never raises."""
        stuck = self.stuck.get(command[0])
        if stuck is not None:
            if stuck.poll() is None:
                return Told("", f"hangs since it was asked before (process {stuck.pid})", True)
            del self.stuck[command[0]]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env=os.environ | {"LC_ALL": "C"},
            )
        except FileNotFoundError:
            return Told("", "is not installed")
        except OSError as err:
            return Told("", f"could not be run ({err.strerror})")
        return self._collect(command[0], process)

    def _collect(self, name: str, process: subprocess.Popen[str]) -> Told:
        try:
            out, err = process.communicate(timeout=self.seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            try:
                process.communicate(timeout=KILL_SECONDS)
            except subprocess.TimeoutExpired:
                self.stuck[name] = process
                for pipe in (process.stdout, process.stderr):
                    if pipe is not None:
                        with contextlib.suppress(OSError):
                            pipe.close()
            return Told("", f"did not answer in {self.seconds:.0f} s", True)
        if process.returncode != 0:
            said = (out + err).strip().splitlines()
            words = said[0][:120] if said else "no message"
            return Told(out + err, f"ended with {process.returncode}: {words}")
        return Told(out, "")

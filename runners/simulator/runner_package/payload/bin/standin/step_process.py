"""One program run for a step: its output line by line, and the ladder that ends it.

The program leads its own process group. Cancelling sends SIGINT, later SIGTERM, at last SIGKILL
to that whole group. What left the group is found again by its tracking mark when the job ends.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .signals import Signals
from .timings import Timings

READ_BYTES = 65536
LINE_BYTES = 65536
FULL_PAUSE_SECONDS = 0.1
LOOK_SECONDS = 1.0  # how often a stop by deadline is looked for
TRACKING = "RUNNER_TRACKING_ID"


class StepProcess:
    """Runs programs for steps, one at a time."""

    def __init__(
        self,
        signals: Signals,
        timings: Timings,
        *,
        on_line: Callable[[str], None],
        log_is_full: Callable[[], bool],
        must_stop: Callable[[], bool],
        attend: Callable[[list[int]], None],
        attended: Sequence[int],
    ) -> None:
        """`attend` is called with those of `attended` that became readable."""
        self._signals = signals
        self._timings = timings
        self.on_line = on_line
        self._log_is_full = log_is_full
        self._must_stop = must_stop
        self._attend = attend
        self._attended = list(attended)
        self._partial = b""

    def run(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        directory: Path,
        on_started: Callable[[], None],
    ) -> int:
        """Run to the end; answers the exit code, negative for a signal. Raises OSError."""
        process = subprocess.Popen(
            list(command),
            env=dict(env),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        if process.stdout is None:
            raise OSError("the step's output has no pipe")
        with process.stdout as output:
            os.set_blocking(output.fileno(), False)
            on_started()
            self._follow(process, output.fileno())
            self._read_available(output.fileno())
            self._end_line()
        return process.wait()

    def _follow(self, process: "subprocess.Popen[bytes]", output: int) -> None:
        open_output = True
        rungs: list[tuple[float, signal.Signals]] | None = None
        while process.poll() is None:
            if rungs is None and self._must_stop():
                rungs = self._ladder()
            pause = LOOK_SECONDS
            if rungs:
                pause = min(pause, rungs[0][0] - time.monotonic())
                if pause <= 0:
                    _signal_group(process.pid, rungs.pop(0)[1])
                    continue
            reading = list(self._attended)
            if open_output and not self._log_is_full():
                reading.append(output)
            elif open_output:
                pause = min(pause, FULL_PAUSE_SECONDS)
            ready = self._signals.wait(pause, reading)
            if output in ready:
                ready.remove(output)
                open_output = self._read_some(output)
            if ready:
                self._attend(ready)

    def _ladder(self) -> list[tuple[float, signal.Signals]]:
        now = time.monotonic()
        term = now + self._timings.sigint_grace_seconds
        kill = term + self._timings.sigterm_grace_seconds
        return [(now, signal.SIGINT), (term, signal.SIGTERM), (kill, signal.SIGKILL)]

    def _read_available(self, output: int) -> None:
        """Read what the dead program left; a child of it may hold the pipe open for ever."""
        until = time.monotonic() + self._timings.complete_limit_seconds
        while time.monotonic() < until:
            if self._log_is_full():
                self._signals.wait(FULL_PAUSE_SECONDS)
            elif not self._read_some(output, quiet=False):
                return

    def _read_some(self, output: int, *, quiet: bool = True) -> bool:
        try:
            chunk = os.read(output, READ_BYTES)
        except BlockingIOError:
            return quiet
        *lines, self._partial = (self._partial + chunk).split(b"\n")
        for line in lines:
            self.on_line(line.decode("utf-8", "replace").rstrip("\r"))
        if len(self._partial) > LINE_BYTES:
            self._end_line()
        return bool(chunk)

    def _end_line(self) -> None:
        if self._partial:
            self.on_line(self._partial.decode("utf-8", "replace"))
        self._partial = b""


def end_tracked_processes(tracking_id: str) -> list[int]:
    """SIGKILL whatever still carries the job's mark in its environment; answers the pids."""
    mark = f"{TRACKING}={tracking_id}".encode()
    ended = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark not in (entry / "environ").read_bytes().split(b"\0"):
                continue
            pid = int(entry.name)
            os.kill(pid, signal.SIGKILL)
        except OSError:
            continue  # gone meanwhile, or somebody else's
        ended.append(pid)
    return ended


def _signal_group(leader: int, number: signal.Signals) -> None:
    try:
        os.killpg(leader, number)
    except OSError:
        return  # it ended by itself

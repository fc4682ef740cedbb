"""The listener's side of one job: start a worker process, watch it, tell it to stop.

One worker a job. If it dies without reporting, the listener reports the job as failed.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

from .channel import Channel, Closed
from .console import STDOUT, Trace
from .install import Install
from .protocol import Job

# What the worker's exit code means, as the official worker counts.
RESULTS = {100: "Succeeded", 102: "Failed", 103: "Canceled"}
EXIT_CODES = {result: code for code, result in RESULTS.items()}
FLOOD_LINE = b"The quick brown fox jumps over the lazy dog. " * 22 + b"\n"


class WorkerProcess:
    """A running worker."""

    def __init__(
        self, install: Install, job: Job, secret: str, faults: frozenset[str], trace: Trace
    ) -> None:
        """Start the worker and hand it the job; raises OSError when it cannot be started."""
        to_worker_read, to_worker_write = os.pipe()
        from_worker_read, from_worker_write = os.pipe()
        self._trace = trace
        self._process = subprocess.Popen(
            [
                sys.executable,
                str(install.root / "bin" / "Runner.Worker"),
                "spawnclient",
                str(to_worker_read),
                str(from_worker_write),
            ],
            cwd=install.root,
            pass_fds=(to_worker_read, from_worker_write),
            stdin=subprocess.DEVNULL,
            stdout=None if trace.echoes else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_worker_read)
        os.close(from_worker_write)
        self._channel = Channel(from_worker_read, to_worker_write)
        self._send({"type": "job", "job": job.raw, "secret": secret, "faults": sorted(faults)})
        trace.info("JobDispatcher", f"Worker process id {self._process.pid} for job {job.id}")

    @property
    def descriptor(self) -> int:
        """Readable when the worker said something or is gone."""
        return self._channel.reading

    def heard_running(self) -> bool:
        """Read what the worker said: whether its first step runs now."""
        try:
            return any(message.get("type") == "running" for message in self._channel.receive())
        except Closed:
            return False

    def ended(self) -> bool:
        """Whether the worker process is gone."""
        return self._process.poll() is not None

    def shut_down(self) -> None:
        """Tell the worker that the runner is being stopped; it fails the job and ends."""
        self._send({"type": "shutdown"})

    def result(self) -> str | None:
        """The job's result once the worker ended; None when it died without one."""
        code = self._process.wait()
        self._channel.close()
        self._trace.info("JobDispatcher", f"Worker process exited with code {code}")
        return RESULTS.get(code)

    def _send(self, message: dict[str, object]) -> None:
        try:
            self._channel.send(message)
        except Closed:
            self._trace.error("JobDispatcher", "The worker is gone")


def die_by_kill() -> None:
    """End this process the way a crash or the kernel's out-of-memory killer does."""
    os.kill(os.getpid(), signal.SIGKILL)


def start_flood() -> Callable[[], None]:
    """Write to standard output without end; answers the function that stops it."""
    stop = threading.Event()

    def flood() -> None:
        while not stop.is_set():
            try:
                os.write(STDOUT, FLOOD_LINE)
            except OSError:
                return

    threading.Thread(target=flood, name="flood", daemon=True).start()
    return stop.set

"""The service's wrapper around the listener: starts it again, and stops it within 30 seconds.

On SIGINT the listener gets SIGINT, and SIGKILL half a minute later if it is still there, so a
running job has 30 seconds. Ten retryable exits in a row end the service.
"""

import os
import signal
import subprocess

from .console import STDOUT
from .install import Install
from .signals import Signals

RELAUNCH_SECONDS = float(os.environ.get("STANDIN_RELAUNCH_SECONDS", "5"))
KILL_SECONDS = float(os.environ.get("STANDIN_SERVICE_KILL_SECONDS", "30"))
RETRYABLE_LIMIT = 10
FINAL_CODES = {
    0: "Runner listener exit with 0 return code, stop the service, no retry needed.",
    1: "Runner listener exit with terminated error, stop the service, no retry needed.",
    5: "Runner listener exit with Session Conflict error, stop the service, no retry needed.",
}
RETRYABLE_CODES = {
    2: "Runner listener exit with retryable error, re-launch runner in 5 seconds.",
    3: "Runner listener exit because of updating, re-launch runner in 5 seconds.",
    4: "Runner listener exit because of updating, re-launch runner in 5 seconds.",
}
UNDEFINED = "Runner listener exit with undefined return code, re-launch runner in 5 seconds."


def main() -> int:
    """Run the listener until it ends for good or a signal comes; the exit code is always 0."""
    signals = Signals()
    signals.expect_shutdown(signal.SIGINT, signal.SIGTERM)
    root = Install.of_this_process().root
    retries = 0
    _say("Started running service")
    while signals.received is None:
        code, listened = _run_listener([str(root / "bin" / "Runner.Listener")], signals)
        _say(f"Runner listener exited with error code {code}")
        if code in FINAL_CODES:
            _say(FINAL_CODES[code])
            break
        retries = 0 if listened else retries
        retries = retries + 1 if code in RETRYABLE_CODES else 0
        _say(RETRYABLE_CODES.get(code, UNDEFINED))
        if retries >= RETRYABLE_LIMIT:
            _say("Stopping the runner after 10 consecutive re-tryable failures")
            break
        signals.wait(RELAUNCH_SECONDS)
    return 0


def _run_listener(command: list[str], signals: Signals) -> tuple[int, bool]:
    """Run it once, passing its output on; the exit code, and whether it came to listen."""
    _say("Starting Runner listener with startup type: service")
    listener = subprocess.Popen(
        [*command, "run", "--startuptype", "service"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    _say(f"Started listener process, pid: {listener.pid}")
    if listener.stdout is None:
        raise OSError("the listener's output has no pipe")
    descriptor = listener.stdout.fileno()
    listened, told = False, False
    pause: float | None = None
    with listener.stdout:
        while True:
            if signals.received is not None and not told:
                _say("Shutting down runner listener")
                listener.send_signal(signal.SIGINT)
                told, pause = True, KILL_SECONDS
            ready = signals.wait(pause, [descriptor])
            if ready:
                chunk = os.read(descriptor, 65536)
                listened = listened or b"Listening for Jobs" in chunk
                os.write(STDOUT, chunk)
                if not chunk:
                    return listener.wait(), listened
            elif told and listener.poll() is None:
                listener.kill()


def _say(text: str) -> None:
    os.write(STDOUT, f"{text}\n".encode())

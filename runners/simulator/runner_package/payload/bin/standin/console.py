"""What the runner says: lines on the console and lines in `_diag`.

A reader of the console that went away must never end the runner, so a failed write is dropped.
"""

import os
import time
from pathlib import Path

STDOUT, STDERR = 1, 2


def now_text() -> str:
    """The moment as the official console prints it: `2026-01-01 00:00:00Z`."""
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime())


class Trace:
    """One `_diag` file, `<Process>_YYYYMMDD-HHMMSS-utc.log`; never given a secret."""

    def __init__(self, diag: Path, process: str) -> None:
        """Open the log of this process; a directory that cannot be written is a start-up error."""
        diag.mkdir(parents=True, exist_ok=True)
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        self._file = (diag / f"{process}_{stamp}-utc.log").open("a", encoding="utf-8")
        self.echoes = os.environ.get("ACTIONS_RUNNER_PRINT_LOG_TO_STDOUT", "") in ("1", "true")

    def info(self, source: str, text: str) -> None:
        """Write one line: `[2026-01-01 00:00:00Z INFO Source] text`."""
        self._write("INFO", source, text)

    def error(self, source: str, text: str) -> None:
        """Write one line of the level ERR."""
        self._write("ERR ", source, text)

    def _write(self, level: str, source: str, text: str) -> None:
        line = f"[{now_text()} {level} {source}] {text}\n"
        try:
            self._file.write(line)
            self._file.flush()
        except OSError:
            return
        if self.echoes:
            _write_all(STDOUT, line)


class Terminal:
    """The console of the process; everything said is also traced."""

    def __init__(self, trace: Trace) -> None:
        """Speak on standard output and standard error of this process."""
        self._trace = trace

    def say(self, text: str = "") -> None:
        """Print one line on standard output."""
        self._trace.info("Terminal", f"WRITE LINE: {text}")
        _write_all(STDOUT, f"{text}\n")

    def success(self, text: str) -> None:
        """Print a line that begins with the tick of the official console."""
        self.say(f"√ {text}")

    def section(self, title: str) -> None:
        """Print a heading of the configuration dialogue."""
        self.say()
        self.say(f"# {title}")
        self.say()

    def complain(self, text: str) -> None:
        """Print one line on standard error."""
        self._trace.error("Terminal", f"WRITE ERROR: {text}")
        _write_all(STDERR, f"{text}\n")


def _write_all(descriptor: int, text: str) -> None:
    rest = text.encode("utf-8")
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError:
        return

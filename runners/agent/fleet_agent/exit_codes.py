"""Exit codes of ``bin/Runner.Listener`` in words (actions/runner: Constants.cs, Program.cs)."""

from __future__ import annotations

import signal

DEPRECATED = 7
UPDATING = (3, 4)

WORDS = {
    0: "done: took its one job, was stopped, or its registration is gone",
    1: "terminated error: bad configuration, deleted registration or access denied",
    2: "retryable error: GitHub or the network was not reachable",
    3: "updating itself",
    4: "updating itself (one-job runner)",
    5: "session conflict: the same runner is active elsewhere",
    6: "configuration refreshed",
    7: "version deprecated: GitHub gives this runner version no jobs; use a newer package",
    126: "the runner program could not be executed: check the package's platform",
    127: "the runner program could not be started",
}


def describe(exit_code: int | None) -> str:
    """Return what an exit code means; above 128 it is the signal that ended the process."""
    if exit_code is None:
        return "ended while nobody watched: its exit code is unknown"
    if exit_code in WORDS:
        return WORDS[exit_code]
    if exit_code > 128:
        number = exit_code - 128
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        hint = ": often the kernel's out-of-memory killer" if name == "SIGKILL" else ""
        return f"killed by {name}{hint}"
    return f"ended with the unknown exit code {exit_code}"

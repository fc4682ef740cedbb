"""Misbehaviour on command: which faults there are and which are asked for.

`STANDIN_MISBEHAVE` (comma-separated) holds for the process from its start; a job's `misbehave`
holds while that job runs.
"""

import os

CRASH = "crash"  # the listener dies by SIGKILL as soon as the first step runs
CRASH_EXIT = "crash-exit"  # the listener exits 1 as soon as the first step runs
CRASH_AT_START = "crash-at-start"  # the listener exits 1 before it says a word
HANG = "hang"  # start: the listener never gets anywhere; job: the worker stops answering
IGNORE_SIGTERM = "ignore-sigterm"  # SIGINT and SIGTERM do nothing to listener, worker and steps
LEAVE_CHILDREN = "leave-children"  # daemons without our tracking mark outlive the job
FLOOD = "flood"  # the console is written to without end
DEPRECATED = "deprecated"  # the version is treated as refused by the server
OOM = "oom"  # the worker is killed with SIGKILL as soon as the first step runs
SLOW_START = "slow-start"  # the listener waits before it opens its session
RETRYABLE_ERROR = "retryable-error"  # the listener ends with an unexpected error
SESSION_CONFLICT = "session-conflict"  # the listener's session is always taken
SELF_UPDATE = "self-update"  # the listener ends to update itself, once an installation

KNOWN = frozenset(
    {CRASH, CRASH_EXIT, CRASH_AT_START, HANG, IGNORE_SIGTERM, LEAVE_CHILDREN, FLOOD, DEPRECATED}
    | {OOM, SLOW_START, RETRYABLE_ERROR, SESSION_CONFLICT, SELF_UPDATE}
)


def parse_faults(text: str) -> frozenset[str]:
    """Split a comma-separated list; raises ValueError for a fault that does not exist."""
    faults = frozenset(part.strip() for part in text.split(",") if part.strip())
    unknown = faults - KNOWN
    if unknown:
        raise ValueError(f"unknown misbehaviour: {', '.join(sorted(unknown))}")
    return faults


def start_faults() -> frozenset[str]:
    """The faults that hold for this process, from the environment."""
    return parse_faults(os.environ.get("STANDIN_MISBEHAVE", ""))

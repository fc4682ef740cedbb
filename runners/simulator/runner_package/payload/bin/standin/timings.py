"""Every duration of the stand-in, by name, each one set by a variable of the environment.

A duration that the official runner also has keeps its value unless the comment says "shortened".
"""

import os
from typing import NamedTuple


class Timings(NamedTuple):
    """Durations in seconds; `STANDIN_<FIELD IN CAPITALS>` sets one."""

    poll_wait_seconds: float = 50.0
    busy_poll_seconds: float = 20.0  # a busy listener goes on polling, or it would look offline
    request_timeout_seconds: float = 10.0
    reconnect_seconds: float = 2.0  # shortened: officially 15 to 60, at random
    conflict_retry_seconds: float = 30.0
    conflict_limit_seconds: float = 240.0
    renew_seconds: float = 1.0  # shortened: officially 60
    complete_retry_seconds: float = 2.0  # shortened: officially up to 5 minutes in all
    complete_limit_seconds: float = 60.0
    sigint_grace_seconds: float = 7.5
    sigterm_grace_seconds: float = 2.5
    slow_start_seconds: float = 20.0
    left_children_seconds: float = 3600.0  # bounds what a test that fails leaves behind


def read_timings() -> Timings:
    """Read the durations from the environment; raises ValueError naming the bad variable."""
    chosen: dict[str, float] = {}
    for field in Timings._fields:
        variable = f"STANDIN_{field.upper()}"
        text = os.environ.get(variable, "")
        if not text:
            continue
        try:
            chosen[field] = float(text)
        except ValueError:
            raise ValueError(f"{variable} is not a number of seconds") from None
    return Timings(**chosen)

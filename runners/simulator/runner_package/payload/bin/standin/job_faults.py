"""Misbehaviour of a worker, at the moment its first program runs."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping

from . import faults as fault
from .channel import Channel

LEFT_CHILDREN = 2
LEFT_MARK = "STANDIN_LEFT_BEHIND_BY"
HANG_SECONDS = 3600.0


def misbehave(
    faults: frozenset[str],
    channel: Channel,
    env: Mapping[str, str],
    tracking: str,
    left_children_seconds: float,
    silence: Callable[[], None],
) -> None:
    """Do what was commanded; raises Closed when the commanded crash of the listener happened."""
    if fault.LEAVE_CHILDREN in faults:
        for _ in range(LEFT_CHILDREN):
            _leave_child(env, tracking, left_children_seconds)
    if fault.OOM in faults:
        os.kill(os.getpid(), signal.SIGKILL)
    if fault.HANG in faults:
        silence()
    while fault.HANG in faults:
        time.sleep(HANG_SECONDS)
    while faults & {fault.CRASH, fault.CRASH_EXIT}:
        channel.receive_one()  # until the listener's end closes the pipe


def _leave_child(env: Mapping[str, str], tracking: str, seconds: float) -> None:
    """Start a daemon: other session, other parent, no tracking mark, deaf to polite signals."""
    daemon_env = {key: value for key, value in env.items() if key != tracking}
    daemon_env[LEFT_MARK] = env.get(tracking, "")
    script = f"trap '' INT TERM HUP; sleep {seconds:g} & exit 0"
    subprocess.run(
        ["sh", "-c", script],
        env=daemon_env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        check=True,
    )

"""Processes as whole trees: who belongs to one, and ending all of it.

A tree is a process, its descendants, and whoever still has its session or process group after the
parents between died. Linux only, like everything that runs here. Knows nothing of Django.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Callable, Iterable

import psutil

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_KILL_ROUNDS = 20
_KILL_ROUND_SECONDS = 0.5
_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """From now on descendants whose parents die become our children instead of init's.

    So `psutil.Process().children(recursive=True)` is everything we ever started. The caller reaps
    them with `reap_orphans`.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent(parent_pid: int) -> Callable[[], None]:
    """For Popen's `preexec_fn`: the child gets SIGTERM when `parent_pid`, its parent, dies."""

    def prepare() -> None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent_pid:
            # It died between fork and prctl: nobody will tell us any more.
            os._exit(1)

    return prepare


def tree(pid: int) -> set[psutil.Process]:
    """Everything that belongs to `pid`, without `pid` itself; it need not be alive any more."""
    found: set[psutil.Process] = set()
    with contextlib.suppress(psutil.NoSuchProcess):
        found.update(psutil.Process(pid).children(recursive=True))
    for other in psutil.pids():
        if other == pid:
            continue
        with contextlib.suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            if pid in (os.getsid(other), os.getpgid(other)):
                found.add(psutil.Process(other))
    return found


def kill_all(processes: Iterable[psutil.Process]) -> set[psutil.Process]:
    """SIGKILL each and whatever they started meanwhile; returns those that would not die."""
    left = set(processes)
    for _ in range(_KILL_ROUNDS):
        if not left:
            break
        for process in list(left):
            with contextlib.suppress(psutil.NoSuchProcess):
                left.update(process.children(recursive=True))
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        left = set(psutil.wait_procs(left, timeout=_KILL_ROUND_SECONDS)[1])
    return left


def reap_orphans(known_pids: set[int]) -> None:
    """Collect adopted children that ended; those in `known_pids` are left to their Popen."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in known_pids:
            return
        with contextlib.suppress(ChildProcessError):
            os.waitpid(ended.si_pid, os.WNOHANG)


def describe_exit(code: int) -> str:
    """A return code of Popen in words: "exit code 3", "SIGKILL"."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))

"""The slow things done for a slot, each in a thread of its own: bring up, stop, clean up.

These functions see only what they are given and change nothing of the agent's; the loop applies
what they return. They may be cut off at any instruction by the agent's end: the next start
(``adopt``) takes up or cleans up what it finds.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .causes import Cause, cause_of_error, lacks_space
from .errors import AgentError
from .gpu import Gpu
from .isolation import Isolation, user_of, write_user_files
from .packages import PackageStore, PackageUnavailable
from .process_table import ProcessTable
from .process_tree import Tree, end_tree
from .runner_process import (
    Started,
    StartFailed,
    configure,
    runner_environment,
    start_listener,
)
from .server import Refused, Server, ServerUnavailable
from .slot_directory import SlotDirectory
from .slot_hardware import slot_hardware
from .wire import BadAnswer, Package, Phase, Wanted

log = logging.getLogger(__name__)

STOP_SECONDS = 20.0
WORKER_SECONDS = 300.0
FORCE_SECONDS = 5.0
POLL_SECONDS = 0.1

LABEL_SYSTEMS = {"linux": "Linux", "osx": "macOS", "win": "Windows"}


class TryAgain(AgentError):
    """Bringing up failed for now; ``after_seconds`` when the server named a wait."""

    def __init__(
        self, message: str, after_seconds: float | None = None, *, cause: Cause = Cause.EXIT
    ) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds
        self.cause = cause.value


class StillBusy(AgentError):
    """The runner has a job and was not to be forced."""


class WillNotEnd(AgentError):
    """Processes that survive SIGKILL: they wait for something inside the kernel."""

    cause = Cause.HUNG.value


@dataclass(frozen=True)
class Workshop:
    """What the work needs of the agent: server, packages, the way to wake it, the machine."""

    server: Server
    packages: PackageStore
    wake_fifo: Path
    architecture: Callable[[], str]
    stopping: threading.Event
    gpus: Callable[[], Sequence[Gpu]]
    isolation: Isolation


def bring_up(
    shop: Workshop,
    wanted: Wanted,
    slot: SlotDirectory,
    mark: str,
    report: Callable[[Phase], None],
    still_wanted: Callable[[], bool],
) -> Started:
    """Take a slot from nothing to a started runner.

    Raises TryAgain when waiting may help or nobody waits any more, else another AgentError. A full
    disk is waited for whatever it broke.
    """
    try:
        return bring_up_once(shop, wanted, slot, mark, report, still_wanted)
    except (AgentError, OSError) as err:
        if not lacks_space(err):
            raise
        words = str(err) if isinstance(err, AgentError) else f"{err.strerror}: make room"
        raise TryAgain(words, cause=Cause.DISK_FULL) from err


def bring_up_once(
    shop: Workshop,
    wanted: Wanted,
    slot: SlotDirectory,
    mark: str,
    report: Callable[[Phase], None],
    still_wanted: Callable[[], bool],
) -> Started:
    """Bring up, and say of every failure whether to try again and what caused it."""
    try:
        isolation = shop.isolation
        isolation.require_allowed()
        package = require_package(wanted, shop.architecture())
        report(Phase.FETCHING)
        tree = shop.packages.fetch(package, shop.stopping.is_set)
        uid = isolation.uid_of(wanted.slot)
        environment = runner_environment(
            slot,
            mark,
            os.environ,
            as_root=isolation.runs_jobs_as == "root",
            user="" if uid is None else user_of(wanted.slot),
        )
        secrets: list[Path] = []
        # What was prepared for another way of running it is of no use.
        as_is = slot.configured and slot.in_memory == isolation.private
        if wanted.mode == "jit" or not as_is:
            report(Phase.PREPARING)
            slot.prepare(tree, wanted.work_folder, private=isolation.private, uid=uid)
            if uid is not None:
                write_user_files(slot, uid, user_of(wanted.slot))
            report(Phase.REGISTERING)
            if not still_wanted():
                raise TryAgain("no longer wanted")
            if wanted.mode == "persistent":
                registration = shop.server.registration(wanted.runner_id)
                confinement = isolation.order(slot, wanted, tree, groups=False)
                labels = default_labels(package)
                configure(slot, registration, environment, mark, labels, confinement)
            else:
                files = jit_files(shop.server.jit_config(wanted.runner_id))
                secrets = slot.write_credentials(files, uid)
        environment |= slot_hardware(slot.home, wanted, shop.gpus(), environment)
        report(Phase.STARTING)
        return start_listener(
            slot,
            shop.wake_fifo,
            environment,
            mark,
            confinement=isolation.order(slot, wanted, tree, groups=True),
            secrets=secrets,
        )
    except ServerUnavailable as err:
        raise TryAgain(str(err), err.retry_after_seconds, cause=Cause.REGISTRATION) from err
    except PackageUnavailable as err:
        raise TryAgain(str(err), cause=cause_of_error(err)) from err
    except BadAnswer as err:
        raise TryAgain(str(err), cause=Cause.REGISTRATION) from err
    except Refused as err:
        if err.status in (401, 410, 426):  # the heartbeat hears the same and decides
            raise TryAgain(str(err), cause=Cause.REGISTRATION) from err
        raise StartFailed(str(err), Cause.REGISTRATION) from err


def jit_files(encoded: str) -> dict[str, bytes]:
    """Return the files that a JIT config holds; raises StartFailed when it is none.

    The runner would write them itself, but what it was given for that would stay readable in its
    environment for every process of its user.
    """
    try:
        packed = json.loads(base64.b64decode(encoded, validate=True))
        return {name: base64.b64decode(text, validate=True) for name, text in packed.items()}
    except (ValueError, TypeError, AttributeError):
        raise StartFailed("the server's JIT config is none", Cause.REGISTRATION) from None


def require_package(wanted: Wanted, architecture: str) -> Package:
    """Return the package to run; raises StartFailed where there is none for this machine."""
    package = wanted.package
    if package is None:
        raise StartFailed(
            f"the server named no runner package for {architecture}: add one for this platform",
            Cause.PACKAGE,
        )
    if package.os != "linux" or package.architecture != architecture:
        raise StartFailed(
            f"the package is for {package.os} {package.architecture}, this host is linux "
            f"{architecture}: choose another host or package",
            Cause.PACKAGE,
        )
    return package


def default_labels(package: Package) -> tuple[str, ...]:
    """Return the labels the runner applies by itself on this platform (VarUtil.cs)."""
    system = LABEL_SYSTEMS.get(package.os, package.os)
    return ("self-hosted", system, package.architecture.upper())


def stop(slot: SlotDirectory, tree: Tree, force: threading.Event) -> None:
    """End a runner and wipe its slot.

    Without force a live worker means hands off: raises StillBusy before anything was signalled.
    Raises AgentError when processes or files would not go.
    """
    if tree.runner is not None and tree.runner.alive():
        if not force.is_set() and has_worker(tree):
            raise StillBusy("a job is running")
        # The listener closes its session at GitHub on SIGINT; SIGKILL would leave the runner
        # online there for a while, and a job that is to be forced without a result.
        tree.runner.send(signal.SIGINT)
        wait_for_end(tree, force)
    clean_up(slot, tree)


def wait_for_end(tree: Tree, force: threading.Event) -> None:
    """Wait until the runner ended by itself, for as long as its state deserves."""
    began = time.monotonic()
    while tree.runner is not None and tree.runner.alive():
        waited = time.monotonic() - began
        if force.is_set():
            patience = FORCE_SECONDS
        elif waited > STOP_SECONDS and has_worker(tree):
            patience = WORKER_SECONDS  # a job slipped in as we signalled: let it report
        else:
            patience = STOP_SECONDS
        if waited > patience:
            return
        time.sleep(POLL_SECONDS)


def has_worker(tree: Tree) -> bool:
    """Return whether a live worker runs below the runner (or its keeper)."""
    table = ProcessTable.read()
    roots = [root for root in (tree.keeper, tree.runner) if root is not None]
    return any(table.worker_below(root) is not None for root in roots)


def clean_up(slot: SlotDirectory, tree: Tree) -> None:
    """End what is left of a tree, then wipe the slot; raises AgentError if either is not done."""
    left = end_tree(tree)
    if left:
        raise WillNotEnd(
            f"{left} of the runner's processes do not end, even when killed: look for hung disks "
            "or network mounts"
        )
    try:
        slot.wipe()
    except OSError as err:
        raise AgentError(f"the slot could not be wiped: {err}") from err

"""Start a runner: its environment from an allow-list, its keeper, its configuration.

The listener is started directly (``run.sh`` hides most exit codes). Secrets reach it through its
environment only, by way of the keeper's standard input. Nothing of the agent's — token, server
address, variables — is handed on.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import pwd
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import confine, keeper
from .causes import DISK_FLOOR_BYTES, Cause
from .errors import AgentError
from .process_table import MARK_VARIABLE, ProcessRef
from .process_tree import Tree, end_tree
from .redact import redact
from .slot_directory import SlotDirectory
from .wire import Registration

log = logging.getLogger(__name__)

START_SECONDS = 15.0
POLL_SECONDS = 0.02
CONFIGURE_SECONDS = 180.0
CONFIGURE_OUTPUT_BYTES = 64 * 1024

# fmt: off
ALLOWED = frozenset({
    "PATH", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "SHELL", "USER", "LOGNAME",
    "http_proxy", "https_proxy", "no_proxy", "all_proxy",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS",
    "ACTIONS_RUNNER_HOOK_JOB_STARTED", "ACTIONS_RUNNER_HOOK_JOB_COMPLETED",
    "ACTIONS_RUNNER_CONTAINER_HOOKS", "ACTIONS_RUNNER_REQUIRE_JOB_CONTAINER",
})
# fmt: on
ALLOWED_PREFIX = "RUNNER_"
NEVER = re.compile(r"TOKEN|SECRET|PASSWORD|CREDENTIAL|_PAT$|_KEY$|ALLOW_RUNASROOT")
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class StartFailed(AgentError):
    """The runner could not be started; the message says why and what to do."""

    def __init__(self, message: str, cause: Cause = Cause.EXIT) -> None:
        super().__init__(message)
        self.cause = cause.value


@dataclass(frozen=True)
class Started:
    """A runner that was started, and the keeper beside it."""

    keeper: ProcessRef
    runner: ProcessRef


def runner_environment(
    slot: SlotDirectory, mark: str, ours: Mapping[str, str], *, as_root: bool, user: str = ""
) -> dict[str, str]:
    """Return the whole environment of a runner's processes; ``ours`` is the agent's own.

    ``user`` is the name of the slot's own user, "" where its jobs run as the agent's.
    """
    environment = {
        name: value
        for name, value in ours.items()
        if (name in ALLOWED or name.startswith(ALLOWED_PREFIX)) and not NEVER.search(name)
    }
    environment.setdefault("PATH", DEFAULT_PATH)
    environment.setdefault("LANG", "C.UTF-8")
    with contextlib.suppress(KeyError):
        name = user or pwd.getpwuid(os.geteuid()).pw_name
        environment["USER"] = environment["LOGNAME"] = name
    environment["HOME"] = str(slot.home)
    environment["TMPDIR"] = str(slot.temporary)
    environment[MARK_VARIABLE] = mark
    # Without it a deprecated version ends with 1, like any bad configuration.
    environment["ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE"] = "1"
    if as_root:
        environment["RUNNER_ALLOW_RUNASROOT"] = "1"
    return environment


def start_listener(
    slot: SlotDirectory,
    wake_fifo: Path,
    environment: dict[str, str],
    mark: str,
    *,
    confinement: Mapping[str, object],
    secrets: Iterable[Path] = (),
) -> Started:
    """Start the runner below a new keeper and return both; raises StartFailed.

    ``secrets`` are files that are of no use any more when the runner has ended: the keeper deletes
    them then, even if no agent is there.
    """
    order = {
        **confinement,
        "argv": [str(slot.listener), "run"],
        "cwd": str(slot.runner_root),
        "env": environment,
        "forget": [str(path) for path in secrets],
    }
    slot.forget_run()
    return start_keeper(slot, wake_fifo, order, mark, [])


def attach_keeper(slot: SlotDirectory, wake_fifo: Path, runner: ProcessRef, mark: str) -> Started:
    """Put a new keeper beside a runner whose keeper died; raises StartFailed."""
    order = {"runner_pid": runner.pid, "runner_ticks": runner.ticks}
    slot.keeper_file.unlink(missing_ok=True)
    return start_keeper(slot, wake_fifo, order, mark, ["attach"])


def start_keeper(
    slot: SlotDirectory,
    wake_fifo: Path,
    order: Mapping[str, object],
    mark: str,
    arguments: list[str],
) -> Started:
    """Start a keeper with its order and wait until it recorded whom it keeps."""
    command = [sys.executable, "-I", "-S", keeper.__file__, str(slot.path), str(wake_fifo)]
    try:
        subprocess.run(
            command + arguments,
            input=json.dumps(order).encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={"PATH": DEFAULT_PATH, MARK_VARIABLE: mark},
            start_new_session=True,
            timeout=START_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as err:
        raise StartFailed(f"the keeper could not be started ({type(err).__name__})") from err
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        started = read_keeper_file(slot)
        if started is not None:
            return started
        time.sleep(POLL_SECONDS)
    end_tree(Tree(mark, None, None))
    message = "the keeper did not report in time: look at the disk's free space"
    if shutil.disk_usage(slot.path).free < DISK_FLOOR_BYTES:
        raise OSError(errno.ENOSPC, message)
    raise StartFailed(message)


def read_keeper_file(slot: SlotDirectory) -> Started | None:
    """Return whom the keeper of a slot keeps, once it has recorded it."""
    try:
        facts = json.loads(slot.keeper_file.read_text("utf-8"))
        return Started(
            keeper=ProcessRef(int(facts["keeper_pid"]), int(facts["keeper_ticks"])),
            runner=ProcessRef(int(facts["runner_pid"]), int(facts["runner_ticks"])),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_exit_file(slot: SlotDirectory) -> tuple[bool, int | None]:
    """Return (whether the keeper recorded the runner's end, its exit code if known)."""
    try:
        code = json.loads(slot.exit_file.read_text("utf-8"))["exit_code"]
    except (OSError, ValueError, KeyError, TypeError):
        return False, None
    return True, code if isinstance(code, int) else None


def configure(
    slot: SlotDirectory,
    registration: Registration,
    environment: dict[str, str],
    mark: str,
    default_labels: tuple[str, ...],
    confinement: Mapping[str, object],
) -> None:
    """Register a persistent runner with ``config.sh``; raises StartFailed with its last words.

    It runs as the runner itself will: with its user and its view.

    The registration token goes through the environment (docs: CommandSettings.cs reads any
    argument from ``ACTIONS_RUNNER_INPUT_<NAME>``), never through arguments.
    """
    flags, inputs = registration_inputs(registration, default_labels)
    order = {
        **confinement,
        "argv": [str(slot.runner_root / "config.sh"), *flags],
        "cwd": str(slot.runner_root),
        "env": environment | inputs,
    }
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", confine.__file__],
        cwd="/",
        env={"PATH": DEFAULT_PATH, MARK_VARIABLE: mark},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    with process:
        give_order(process, order)
        try:
            output = read_bounded(process, CONFIGURE_SECONDS)
        finally:
            end_tree(Tree(mark, None, None))
    if process.returncode != 0 or not slot.configured:
        said = redact(output.replace(registration.token, "***"))
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        words = lines[-1][:200] if lines else "it said nothing"
        raise StartFailed(f"config.sh ended with {process.returncode}: {words}", Cause.REGISTRATION)


def give_order(process: subprocess.Popen[bytes], order: Mapping[str, object]) -> None:
    """Hand an order to a program on its standard input; it says itself why it does not take it."""
    assert process.stdin is not None  # noqa: S101  (opened by the caller)
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps(order).encode())
        process.stdin.close()


def registration_inputs(
    registration: Registration, default_labels: tuple[str, ...]
) -> tuple[list[str], dict[str, str]]:
    """Return ``config.sh``'s one flag that no shell can have as a variable, and its environment.

    ``self-hosted``, the system and the architecture are applied by the runner itself (as
    read-only labels) when all of them are wanted; otherwise exactly the named ones are.
    """
    wanted = list(registration.labels)
    defaults = {label.lower() for label in default_labels}
    use_defaults = defaults <= {label.lower() for label in wanted}
    inputs = {
        "UNATTENDED": "true",
        "REPLACE": "true",  # the name is ours: an earlier try may have been cut off
        "DISABLEUPDATE": "true",
        "URL": registration.url,
        "TOKEN": registration.token,
        "NAME": registration.name,
        "WORK": registration.work_folder,
    }
    if use_defaults:
        wanted = [label for label in wanted if label.lower() not in defaults]
    if wanted:
        inputs["LABELS"] = ",".join(wanted)
    if registration.runner_group:
        inputs["RUNNERGROUP"] = registration.runner_group
    if registration.ephemeral:
        inputs["EPHEMERAL"] = "true"
    flags = [] if use_defaults else ["--no-default-labels"]
    return flags, {f"ACTIONS_RUNNER_INPUT_{name}": value for name, value in inputs.items()}


def read_bounded(process: subprocess.Popen[bytes], seconds: float) -> str:
    """Read a process's output to its end or the deadline, keeping the last part only."""
    assert process.stdout is not None  # noqa: S101  (opened by the caller)
    descriptor = process.stdout.fileno()
    deadline = time.monotonic() + seconds
    kept = b""
    while (left := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select([descriptor], [], [], min(left, 1.0))
        if ready:
            data = os.read(descriptor, 65536)
            if not data:
                break
            kept = (kept + data)[-CONFIGURE_OUTPUT_BYTES:]
        elif process.poll() is not None:
            break  # a child it left behind holds the pipe open
    try:
        process.wait(timeout=max(0.0, min(5.0, deadline - time.monotonic())))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    return kept.decode("utf-8", errors="replace")

"""Runner.Listener from start to exit code: arguments, faults of the start, the chosen command."""

import os
import signal
import sys
import time
from collections.abc import Sequence

from . import faults as fault
from . import registration
from .arguments import Arguments, take_environment_inputs
from .console import Terminal, Trace
from .install import Install, load_environment_file
from .listener import (
    RETRYABLE,
    SUCCESS,
    TERMINATED,
    VERSION_DEPRECATED,
    Listener,
    ignore_stop_signals,
)
from .naming import name_process
from .protocol import runner_client
from .session import Session, ShuttingDown, VersionDeprecated, wait_unless_stopped
from .signals import Signals
from .timings import Timings, read_timings
from .usage import usage
from .worker_process import start_flood

YES = ("1", "true")


def main(words: Sequence[str]) -> int:
    """Run one command; answers the exit code."""
    name_process("Runner.Listener")
    install = Install.of_this_process()
    load_environment_file(install.root)
    arguments = Arguments(words, take_environment_inputs())
    try:
        trace = Trace(install.root / "_diag", "Runner")
    except OSError as err:
        print(f"An error occurred: {err}", file=sys.stderr)
        return TERMINATED
    terminal = Terminal(trace)
    trace.info("Listener", f"Version: {install.package().version}")
    unknown = arguments.unknown()
    if unknown:
        command = f" for command {arguments.command}" if arguments.command else ""
        terminal.complain(
            f"Unrecognized command-line input arguments{command}: '{', '.join(unknown)}'."
            " For usage refer to: .\\config.cmd --help or ./config.sh --help"
        )
    try:
        code = _execute(arguments, install, terminal, trace)
    except VersionDeprecated as err:
        terminal.complain(f"An error occurred: {err}")
        asked = os.environ.get("ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE", "").lower()
        code = VERSION_DEPRECATED if asked in YES else TERMINATED
    except ShuttingDown:
        code = SUCCESS
    except Exception as err:  # noqa: BLE001 - the outermost edge: whatever it is, it has one code
        terminal.complain(f"An error occurred: {err}")
        code = RETRYABLE
    trace.info("Listener", f"Runner execution has finished with return code {code}")
    return code


def _execute(arguments: Arguments, install: Install, terminal: Terminal, trace: Trace) -> int:
    if arguments.flag("help"):
        terminal.say(usage(install.package()))
    elif arguments.flag("version"):
        terminal.say(install.package().version)
    elif arguments.flag("commit"):
        terminal.say(install.package().commit)
    elif arguments.flag("check"):
        return registration.check(arguments, terminal)
    elif arguments.command == "configure":
        return registration.configure(arguments, install, terminal)
    elif arguments.command == "remove":
        return registration.remove(arguments, install, terminal)
    elif arguments.command == "run":
        return _run(arguments, install, terminal, trace)
    elif arguments.command != "warmup":
        terminal.say(usage(install.package()))
    return SUCCESS


def _run(arguments: Arguments, install: Install, terminal: Terminal, trace: Trace) -> int:
    faults, timings = fault.start_faults(), read_timings()
    signals = Signals()
    signals.expect_shutdown(signal.SIGINT, signal.SIGTERM)
    _misbehave_at_start(faults, timings, signals)
    jit = arguments.value("jitconfig")
    if jit:
        try:
            install.write_jit(jit)
        except (ValueError, TypeError, AttributeError, OSError) as err:
            terminal.complain(str(err))
            return TERMINATED
    if not install.configured:
        terminal.complain("Runner is not configured.")
        terminal.say(usage(install.package()))
        return TERMINATED
    settings, secret = install.settings(), install.client_secret()
    (install.root / settings.work_folder).mkdir(parents=True, exist_ok=True)
    if arguments.flag("once"):
        terminal.say(
            "Warning: '--once' is going to be deprecated in the future,"
            " please consider using '--ephemeral' during runner registration."
        )
    package = install.package()
    session = Session(
        runner_client(settings.server_url, secret, package.version),
        settings,
        package,
        faults=faults,
        timings=timings,
        signals=signals,
        terminal=terminal,
        trace=trace,
    )
    return Listener(
        install,
        settings,
        session,
        secret=secret,
        one_job=settings.ephemeral or arguments.flag("once"),
        faults=faults,
        timings=timings,
        signals=signals,
        terminal=terminal,
        trace=trace,
    ).run()


def _misbehave_at_start(faults: frozenset[str], timings: Timings, signals: Signals) -> None:
    if fault.CRASH_AT_START in faults:
        os._exit(TERMINATED)
    if fault.RETRYABLE_ERROR in faults:
        raise RuntimeError("The stand-in was told to fail in a way that may be retried")
    if fault.IGNORE_SIGTERM in faults:
        ignore_stop_signals(signals)
    if fault.FLOOD in faults:
        start_flood()
    if fault.SLOW_START in faults:
        wait_unless_stopped(signals, timings.slow_start_seconds)
    while fault.HANG in faults:
        time.sleep(timings.slow_start_seconds)

"""Runner.Worker from start to exit code: receive one job over the pipe, run it, end.

The exit code carries the result: 100 succeeded, 102 failed, 103 cancelled, 1 anything else.
"""

import signal
from collections.abc import Sequence

from .channel import Channel, Closed
from .console import Trace
from .install import Install
from .job_run import JobRun
from .naming import name_process
from .protocol import parse_job
from .signals import Signals
from .timings import read_timings
from .worker_process import EXIT_CODES

BROKEN = 1
NONE = frozenset[str]()


def main(words: Sequence[str]) -> int:
    """Run one job; `words` are `spawnclient`, the descriptor to read and the one to write."""
    name_process("Runner.Worker")
    install = Install.of_this_process()
    trace = Trace(install.root / "_diag", "Worker")
    signals = Signals()
    # Ignored when we were started so: then the listener was told to ignore them.
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN:
        signals.expect_shutdown(signal.SIGTERM)
        signals.discard(signal.SIGINT)
    try:
        channel = Channel(int(words[1]), int(words[2]))
        message = channel.receive_one()
        raw, faults = message.get("job"), message.get("faults")
        settings = install.settings()
        job = JobRun(
            parse_job(dict(raw) if isinstance(raw, dict) else {}),
            settings=settings,
            package=install.package(),
            secret=str(message.get("secret")),
            faults=frozenset(str(name) for name in faults) if isinstance(faults, list) else NONE,
            work=install.root / settings.work_folder,
            channel=channel,
            signals=signals,
            timings=read_timings(),
            trace=trace,
        )
        return EXIT_CODES[job.run()]
    except Closed:
        trace.error("Worker", "The listener is gone; the job is abandoned")
    except Exception as err:  # noqa: BLE001 - the outermost edge: the listener fails the job
        trace.error("Worker", f"{type(err).__name__}: {err}")
    return BROKEN

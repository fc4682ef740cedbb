"""The listening loop: open a session, take jobs one at a time, end as the official one ends."""

import os
import signal

from .console import Terminal, Trace, now_text
from .faults import CRASH, CRASH_EXIT, DEPRECATED, FLOOD, IGNORE_SIGTERM, SELF_UPDATE, parse_faults
from .install import Install, Settings
from .protocol import Job, job_path, parse_job
from .registration import delete_local_configuration
from .session import RunnerGone, Session, SessionConflict, SessionLost, SessionRefused, ShuttingDown
from .signals import Signals
from .timings import Timings
from .update import update_pending, update_self
from .wire import Unreachable
from .worker_process import WorkerProcess, die_by_kill, start_flood

SUCCESS, TERMINATED, RETRYABLE = 0, 1, 2
UPDATING, ONE_JOB_UPDATING, SESSION_CONFLICT, VERSION_DEPRECATED = 3, 4, 5, 7


class Listener:
    """One run of a configured runner."""

    def __init__(
        self,
        install: Install,
        settings: Settings,
        session: Session,
        *,
        secret: str,
        one_job: bool,
        faults: frozenset[str],
        timings: Timings,
        signals: Signals,
        terminal: Terminal,
        trace: Trace,
    ) -> None:
        """Prepare; `run` does everything."""
        self._install = install
        self._settings = settings
        self._session = session
        self._secret = secret
        self._one_job = one_job
        self._faults = faults
        self._timings = timings
        self._signals = signals
        self._terminal = terminal
        self._trace = trace
        self._exit_announced = False

    def run(self) -> int:
        """Listen until there is a reason to end; answers the exit code.

        Raises VersionDeprecated.
        """
        self._signals.call_on_shutdown(self._session.client.interrupt)
        try:
            self._session.open()
        except RunnerGone as err:
            self._trace.info("Listener", f"Registration is gone: {err}")
            if self._settings.ephemeral:
                return self._clean_up()
            self._terminal.complain(
                "The runner no longer exists on the server. Please reconfigure the runner."
            )
            return TERMINATED
        except ShuttingDown:
            self._announce_exit()
            return SUCCESS
        except SessionRefused as err:
            return self._refused(err)
        self._terminal.say(f"Current runner version: '{self._install.package().version}'")
        self._terminal.say(f"{now_text()}: Listening for Jobs")
        return self._listen()

    def _listen(self) -> int:
        job_done, close = False, True
        try:
            if SELF_UPDATE in self._faults and update_pending(self._install.root):
                update_self(self._install, self._terminal)
                return ONE_JOB_UPDATING if self._one_job else UPDATING
            job_done = self._take_jobs()
        except ShuttingDown:
            self._announce_exit()
        except SessionRefused as err:
            return self._refused(err)
        except RunnerGone as err:
            self._trace.info("Listener", f"Registration is gone: {err}")
            close = False
            return self._clean_up()
        finally:
            self._session.client.resume()
            if close:
                self._session.close()
        if job_done and self._settings.ephemeral:
            delete_local_configuration(self._install, self._terminal)
        return SUCCESS

    def _refused(self, err: SessionRefused) -> int:
        self._terminal.complain(str(err))
        return SESSION_CONFLICT if isinstance(err, SessionConflict) else TERMINATED

    def _clean_up(self) -> int:
        self._terminal.complain(
            "The runner no longer exists on the server. Cleaning up local configuration."
        )
        delete_local_configuration(self._install, self._terminal)
        return SUCCESS

    def _announce_exit(self) -> None:
        if self._signals.received is signal.SIGINT and not self._exit_announced:
            self._terminal.say("Exiting...")
        self._exit_announced = True

    def _take_jobs(self) -> bool:
        """Poll and run jobs; answers True when the one job of a one-job runner is done."""
        while True:
            try:
                # After an outage a short question: its answer is what ends the outage.
                lost = self._session.disconnected
                message = self._session.poll(0 if lost else self._timings.poll_wait_seconds)
            except SessionLost as err:
                self._trace.info("Listener", f"Opening a new session: {err}")
                self._session.open()
                continue
            if message is None:
                if self._session.disconnected:
                    self._session.pause_before_retry()
                continue
            if message.get("type") != "job":
                self._trace.error("Listener", f"Unsupported message type {message.get('type')!r}")
                continue
            raw = message.get("job")
            job = parse_job(dict(raw) if isinstance(raw, dict) else {})
            if not self._session.accept(job.id):
                self._trace.info("Listener", f"Skipping job {job.id}")
                self._session.pause_before_retry()
                continue
            self._run_job(job)
            if self._signals.received is not None:
                raise ShuttingDown
            if self._one_job:
                return True

    def _run_job(self, job: Job) -> None:
        faults = self._faults | self._faults_of(job)
        self._terminal.say(f"{now_text()}: Running job: {job.name}")
        if IGNORE_SIGTERM in faults:
            ignore_stop_signals(self._signals)
        stop_flood = start_flood() if FLOOD in faults else None
        worker = WorkerProcess(self._install, job, self._secret, faults, self._trace)
        self._watch(worker, faults)
        result = worker.result()
        if stop_flood is not None:
            stop_flood()
        if result is None:
            result = "Failed"
            self._report_failure(job)
        self._terminal.say(f"{now_text()}: Job {job.name} completed with result: {result}")
        if DEPRECATED in faults:
            self._session.refuse_version()

    def _faults_of(self, job: Job) -> frozenset[str]:
        try:
            return parse_faults(job.misbehave)
        except ValueError as err:
            self._terminal.complain(str(err))
            return frozenset()

    def _watch(self, worker: WorkerProcess, faults: frozenset[str]) -> None:
        """Wait for the worker without a limit; pass a stop signal on, once."""
        told = False
        reading = [worker.descriptor]
        while not worker.ended():
            if self._signals.received is not None and not told:
                self._announce_exit()
                worker.shut_down()
                told = True
            ready = self._signals.wait(self._timings.busy_poll_seconds, reading)
            if ready:
                if worker.heard_running():
                    self._crash_on_command(faults)
                else:
                    reading = []  # the pipe's end; SIGCHLD tells the rest
            elif self._signals.received is None and not worker.ended():
                self._stay_online()

    def _stay_online(self) -> None:
        try:
            self._session.poll(0)
        except (RunnerGone, SessionLost, ShuttingDown) as err:
            self._trace.info("Listener", f"While a job runs: {err!r}")

    def _crash_on_command(self, faults: frozenset[str]) -> None:
        if CRASH in faults:
            die_by_kill()
        if CRASH_EXIT in faults:
            os._exit(TERMINATED)

    def _report_failure(self, job: Job) -> None:
        """Fail a job whose worker died, as far as the server still listens."""
        try:
            self._session.client.resume()
            self._session.client.call(
                "POST",
                job_path(job.id, "complete"),
                {"result": "Failed", "steps": []},
                timeout_seconds=self._timings.request_timeout_seconds,
            )
        except Unreachable as err:
            self._trace.error("JobDispatcher", f"The dead job was not reported: {err}")


def ignore_stop_signals(signals: Signals) -> None:
    """Make SIGINT and SIGTERM mean nothing to this process and to all it starts."""
    signals.ignore(signal.SIGINT, signal.SIGTERM)

"""The listener's session with the server: open, poll, close, and what to say when that fails."""

import time

from .console import Terminal, Trace, now_text
from .faults import DEPRECATED, SESSION_CONFLICT
from .install import Package, Settings
from .signals import Signals
from .timings import Timings
from .wire import Answer, Client, Unreachable

GONE_STATUSES = (401, 404)
NOT_NOW_STATUSES = (408, 429)


class RunnerGone(Exception):
    """The registration no longer exists on the server."""


class SessionLost(Exception):
    """The server no longer knows the session; a new one may be opened."""


class VersionDeprecated(Exception):
    """The server refuses this version."""


class SessionRefused(Exception):
    """The server will not open a session, for good."""


class SessionConflict(SessionRefused):
    """The same runner stayed connected elsewhere for the whole time limit."""


class ShuttingDown(Exception):
    """A signal came while we waited for the server."""


class Session:
    """One runner's connection: announces an outage once and its end once."""

    def __init__(
        self,
        client: Client,
        settings: Settings,
        package: Package,
        *,
        faults: frozenset[str],
        timings: Timings,
        signals: Signals,
        terminal: Terminal,
        trace: Trace,
    ) -> None:
        """Prepare; `open` makes the first call."""
        self.client = client
        self._settings = settings
        self._package = package
        self._faults = faults
        self._timings = timings
        self._signals = signals
        self._terminal = terminal
        self._trace = trace
        self._id = ""
        self._disconnected = False

    @property
    def id(self) -> str:
        """The session's id, needed to accept a job."""
        return self._id

    def open(self) -> None:
        """Create the session, waiting out outages and conflicts.

        Raises RunnerGone, VersionDeprecated, SessionRefused, SessionConflict, ShuttingDown.
        """
        conflict_seconds = 0.0
        while True:
            # Said before the server was heard: the official listener does the same.
            self._terminal.say()
            self._terminal.success("Connected to GitHub")
            self._terminal.say()
            answer = self._create()
            if answer is not None and answer.status == 201:
                self._id = str(answer.body.get("session_id") or "")
                self._connected()
                return
            pause = self._timings.reconnect_seconds
            if answer is not None and answer.status == 409:
                self._terminal.complain("A session for this runner already exists.")
                self._lost(answer.message)
                if conflict_seconds >= self._timings.conflict_limit_seconds:
                    raise SessionConflict(self._conflict_words())
                pause = self._timings.conflict_retry_seconds
                conflict_seconds += pause
            elif answer is not None:
                self._lost(answer.message)
            self._pause(pause)

    def poll(self, wait_seconds: float) -> dict[str, object] | None:
        """Ask for a message; None when there is none or the server could not be reached.

        Raises RunnerGone, SessionLost, VersionDeprecated, ShuttingDown.
        """
        path = f"/_runner/messages?session_id={self._id}&wait={wait_seconds:g}"
        try:
            if DEPRECATED in self._faults:
                raise VersionDeprecated(self._deprecated_words())
            answer = self.client.call(
                "GET", path, timeout_seconds=wait_seconds + self._timings.request_timeout_seconds
            )
        except Unreachable as err:
            self._stop_if_asked()
            self._lost(str(err))
            return None
        if answer.status == 401:
            raise SessionLost(answer.message)
        self._check(answer)
        if answer.status == 200:
            self._connected()
            return answer.body
        if answer.status == 202:
            self._connected()
        else:
            self._lost(answer.message)
        return None

    @property
    def disconnected(self) -> bool:
        """Whether the last call failed, so that the next one should wait a little."""
        return self._disconnected

    def pause_before_retry(self) -> None:
        """Wait before the next call after a failed one; raises ShuttingDown."""
        self._pause(self._timings.reconnect_seconds)

    def refuse_version(self) -> None:
        """From now on treat this version as one that the server refuses."""
        self._faults |= {DEPRECATED}

    def accept(self, job_id: str) -> bool:
        """Take a job that was offered; False when somebody else has it or it was cancelled."""
        try:
            answer = self.client.call(
                "POST",
                f"/_runner/jobs/{job_id}/acquire",
                {"session_id": self._id},
                timeout_seconds=self._timings.request_timeout_seconds,
            )
        except Unreachable as err:
            self._trace.info("Listener", f"Acquiring job {job_id} failed: {err}")
            return False
        self._trace.info("Listener", f"Acquiring job {job_id}: {answer.status}")
        return answer.status == 200

    def close(self) -> None:
        """Delete the session; an unreachable server is no reason to stay."""
        self._trace.info("Listener", "Deleting Runner Session...")
        try:
            self.client.call(
                "DELETE",
                f"/_runner/sessions/{self._id}",
                timeout_seconds=self._timings.request_timeout_seconds,
            )
        except Unreachable as err:
            self._trace.info("Listener", f"The session was not deleted: {err}")

    def _create(self) -> Answer | None:
        self._stop_if_asked()
        if DEPRECATED in self._faults:
            raise VersionDeprecated(self._deprecated_words())
        if SESSION_CONFLICT in self._faults:
            return Answer(409, {"message": "The runner already has an active session."})
        try:
            answer = self.client.call(
                "POST",
                "/_runner/sessions",
                {"runner_id": self._settings.agent_id, "version": self._package.version},
                timeout_seconds=self._timings.request_timeout_seconds,
            )
        except Unreachable as err:
            self._stop_if_asked()
            self._lost(str(err))
            return None
        self._check(answer)
        if 400 <= answer.status < 500 and answer.status not in (409, *NOT_NOW_STATUSES):
            raise SessionRefused(f"Failed to create session. {answer.message}")
        return answer

    def _check(self, answer: Answer) -> None:
        if answer.status in GONE_STATUSES:
            raise RunnerGone(answer.message)
        if answer.status == 403 and "deprecated" in answer.message:
            raise VersionDeprecated(answer.message)

    def _lost(self, reason: str) -> None:
        if not self._disconnected:
            self._terminal.complain(
                f"{now_text()}: Runner connect error: {reason.rstrip('.')}."
                " Retrying until reconnected."
            )
        self._disconnected = True

    def _connected(self) -> None:
        if self._disconnected:
            self._terminal.say(f"{now_text()}: Runner reconnected.")
        self._disconnected = False

    def _pause(self, seconds: float) -> None:
        wait_unless_stopped(self._signals, seconds)

    def _stop_if_asked(self) -> None:
        if self._signals.received is not None:
            raise ShuttingDown

    def _deprecated_words(self) -> str:
        version = self._package.version
        return f"Runner version v{version} is deprecated and cannot receive messages."

    def _conflict_words(self) -> str:
        limit = f"{self._timings.conflict_limit_seconds:g}"
        return f"Stop retry on SessionConflictException after retried for {limit} seconds."


def wait_unless_stopped(signals: Signals, seconds: float) -> None:
    """Let time pass; raises ShuttingDown as soon as a stop signal came."""
    until = time.monotonic() + seconds
    while signals.received is None:
        left = until - time.monotonic()
        if left <= 0:
            return
        signals.wait(left)
    raise ShuttingDown

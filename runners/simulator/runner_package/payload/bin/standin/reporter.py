"""The worker's reports to the server, sent from a thread so that a slow server never stalls a step.

Log lines go in chunks, a lease renewal about every second; either answer may ask for a cancel.
Lines wait, bounded, while the server cannot be reached.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

from .console import Trace
from .protocol import job_path
from .timings import Timings
from .wire import Answer, Client, Unreachable

LINES_PER_POST = 500
WAITING_LINES = 5000
LEASE_LOST_STATUSES = (401, 404, 409, 410)


class Reporter(threading.Thread):
    """Reports on one job; `on_cancel` is called, once, from this thread."""

    def __init__(
        self,
        client: Client,
        job_id: str,
        timings: Timings,
        trace: Trace,
        on_cancel: Callable[[], None],
    ) -> None:
        """Prepare; `start` begins renewing."""
        super().__init__(name="reporter", daemon=True)
        self._client = client
        self._job_id = job_id
        self._timings = timings
        self._trace = trace
        self._on_cancel = on_cancel
        self._lines: deque[str] = deque()
        self._wanted = threading.Event()
        self._ending = False
        self._cancelled = False
        self._silent = False
        self._masks: set[str] = set()

    @property
    def full(self) -> bool:
        """Whether lines pile up, so that the step's output should wait."""
        return len(self._lines) >= WAITING_LINES

    def mask(self, secret: str) -> None:
        """Never send this text from now on."""
        if secret.strip():
            self._masks.add(secret)

    def write(self, line: str) -> None:
        """Queue one log line, stamped with the moment, as GitHub's logs are."""
        for secret in self._masks:
            line = line.replace(secret, "***")
        self._lines.append(f"{log_moment()} {line}")
        if len(self._lines) >= LINES_PER_POST:
            self._wanted.set()

    def begin(self, runner_name: str) -> bool:
        """Report that the job runs here; False when it was cancelled or given away."""
        answer = self._insist("start", {"runner_name": runner_name}, self._patience_ends())
        return answer is None or answer.status not in LEASE_LOST_STATUSES

    def finish(self, result: str, steps: list[dict[str, object]]) -> None:
        """Send the rest of the log, then the result; waits out an outage for a while."""
        self._ending = True
        self._wanted.set()
        self.join()
        until = self._patience_ends()
        while self._lines and time.monotonic() < until:
            time.sleep(self._timings.complete_retry_seconds)
            self._send_lines()
        answer = self._insist("complete", {"result": result, "steps": steps}, until)
        self._trace.info("JobRunner", f"Result {result} reported: {answer}")

    def silence(self) -> None:
        """Send nothing from now on, not even a sign of life: the fault of a hanging worker."""
        self._silent = True

    def run(self) -> None:
        """Renew and send until the end, then send what is left."""
        renew_at = 0.0
        while not self._ending:
            self._wanted.wait(self._timings.renew_seconds)
            self._wanted.clear()
            if self._ending or self._silent:
                continue
            if time.monotonic() >= renew_at:
                renew_at = time.monotonic() + self._timings.renew_seconds
                self._heed(self._post("renew", {}))
            self._send_lines()
        self._send_lines()

    def _send_lines(self) -> None:
        while self._lines:
            chunk = [self._lines[index] for index in range(min(LINES_PER_POST, len(self._lines)))]
            answer = self._post("log", {"lines": chunk})
            if answer is None or answer.status >= 500:
                return  # kept for the next round
            for _ in chunk:
                self._lines.popleft()
            self._heed(answer)

    def _heed(self, answer: Answer | None) -> None:
        if answer is None or self._cancelled:
            return
        if answer.body.get("cancel") is True or answer.status in LEASE_LOST_STATUSES:
            self._cancelled = True
            self._trace.info("JobRunner", f"The server cancels the job: {answer.status}")
            self._on_cancel()

    def _patience_ends(self) -> float:
        return time.monotonic() + self._timings.complete_limit_seconds

    def _insist(self, action: str, body: Mapping[str, object], until: float) -> Answer | None:
        while True:
            answer = self._post(action, body)
            if answer is not None and answer.status < 500:
                return answer
            if time.monotonic() >= until:
                return answer
            time.sleep(self._timings.complete_retry_seconds)

    def _post(self, action: str, body: Mapping[str, object]) -> Answer | None:
        try:
            return self._client.call(
                "POST",
                job_path(self._job_id, action),
                body,
                timeout_seconds=self._timings.request_timeout_seconds,
            )
        except Unreachable as err:
            self._trace.error("JobRunner", f"Report {action} failed: {err}")
            return None


def log_moment() -> str:
    """Now, as GitHub stamps log lines: `2026-01-01T00:00:00.0000000Z`."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{nanoseconds // 100:07d}Z"

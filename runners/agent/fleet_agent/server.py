"""The agent's side of the HTTP API: requests with time-outs, typed answers, typed refusals.

It never follows a redirect (the token would go along), never logs a header or body, and talks
plain HTTP to this machine only. It does not retry: the loop decides when to try again.
"""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Callable
from pathlib import Path

import requests

from . import PROTOCOL, __version__
from .errors import AgentError
from .redact import redact
from .urls import require_safe_url
from .wire import (
    Enrolment,
    HeartbeatAnswer,
    JsonObject,
    Registration,
    as_object,
    parse_enrolment,
    parse_heartbeat,
    parse_registration,
    take,
)

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
ANSWER_BYTES = 4 * 1024 * 1024
ERROR_CHARACTERS = 300


class Bearer(requests.auth.AuthBase):
    """Authenticate with a token or with nothing, and never with what a ``.netrc`` file holds."""

    def __init__(self, token: str | None) -> None:
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the token to one request."""
        if self.token:
            request.headers["Authorization"] = f"Bearer {self.token}"
        return request


class ServerUnavailable(AgentError):
    """No usable answer: try again later."""

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Refused(AgentError):
    """The server said no; trying the same again is of no use."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Unauthorised(Refused):
    """The server does not know this token (any more)."""


class Retired(Refused):
    """This host was retired (or, when enrolling, the code is used or expired)."""


class ProtocolTooOld(Refused):
    """The server no longer speaks this agent's protocol."""


REFUSALS = {401: Unauthorised, 410: Retired, 426: ProtocolTooOld}


class Server:
    """One dashboard, spoken to as one host."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        ca_file: str | None = None,
        read_seconds: float = READ_SECONDS,
        is_cut: Callable[[], bool] = lambda: False,
    ) -> None:
        self.url = require_safe_url(url, "the server's address").rstrip("/")
        self.token = token
        self.read_seconds = read_seconds
        self.is_cut = is_cut  # by a drill
        self.clock_skew_seconds: float | None = None
        if ca_file is not None and not Path(ca_file).is_file():
            raise AgentError(f"the certificate file {ca_file} does not exist")
        self.ca_file = ca_file
        self.session = self._new_session()

    def __repr__(self) -> str:
        return f"Server({self.url!r})"

    def verify_for(self, url: str) -> bool | str:
        """Return how to verify a download: with the server's own certificate file when it is
        the server that offers it."""
        return self.ca_file if self.ca_file and url.startswith(self.url + "/") else True

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        session.headers["User-Agent"] = f"fleet-agent/{__version__}"
        if self.ca_file is not None:
            session.verify = self.ca_file
        return session

    def enrol(self, body: JsonObject) -> Enrolment:
        """Trade a one-time code for the agent's token."""
        return parse_enrolment(self._post("/api/agent/enrol", {"protocol": PROTOCOL, **body}))

    def heartbeat(self, body: JsonObject) -> HeartbeatAnswer:
        """Report, and learn the whole wanted set."""
        return parse_heartbeat(self._post("/api/agent/heartbeat", body, self.session))

    def reach(self) -> None:
        """Ask for anything, to learn the server's time; raises ServerUnavailable."""
        sent_at = time.time()
        try:
            with self._new_session() as session:
                answer = session.get(
                    self.url + "/healthz",
                    auth=Bearer(None),
                    timeout=CONNECT_SECONDS,
                    allow_redirects=False,
                )
        except (requests.RequestException, OSError) as err:
            raise ServerUnavailable(f"{self.url} cannot be reached ({type(err).__name__})") from err
        self._note_clock(answer, sent_at)

    def jit_config(self, runner_id: int) -> str:
        """Return a JIT config made for this very call (a secret)."""
        answer = self._post(f"/api/agent/runners/{runner_id}/jit-config", {})
        return take(answer, "encoded_jit_config", str)

    def registration(self, runner_id: int) -> Registration:
        """Return a registration token made for this very call (a secret)."""
        return parse_registration(self._post(f"/api/agent/runners/{runner_id}/registration", {}))

    def send_log(self, runner_id: int, offset: int, text: str) -> int:
        """Append console text of a runner; returns the offset the server wants next."""
        body: JsonObject = {"offset": offset, "text": text}
        return take(self._post(f"/api/agent/runners/{runner_id}/log", body), "offset", int)

    def _post(
        self, path: str, body: JsonObject, session: requests.Session | None = None
    ) -> JsonObject:
        if self.is_cut():
            raise ServerUnavailable(f"{self.url} cannot be reached (a drill cut the network)")
        # A session is not safe to share among threads: only heartbeats, which come from one,
        # keep their connection.
        if session is None:
            with self._new_session() as own:
                return self._post(path, body, own)
        sent_at = time.time()
        try:
            with session.post(
                self.url + path,
                json=body,
                auth=Bearer(self.token),
                timeout=(CONNECT_SECONDS, self.read_seconds),
                allow_redirects=False,
                stream=True,
            ) as answer:
                content = answer.raw.read(ANSWER_BYTES + 1, decode_content=True)
        except requests.exceptions.SSLError as err:
            raise ServerUnavailable(
                f"the certificate of {self.url} was refused: check the name and pass --ca-file "
                "for a private certificate authority"
            ) from err
        except (requests.RequestException, OSError) as err:
            raise ServerUnavailable(f"{self.url} cannot be reached ({type(err).__name__})") from err
        self._note_clock(answer, sent_at)
        return self._judge(answer, content)

    def _judge(self, answer: requests.Response, content: bytes) -> JsonObject:
        status = answer.status_code
        try:
            if len(content) > ANSWER_BYTES:
                raise ValueError
            parsed = as_object(json.loads(content), "answer")
        except (ValueError, AgentError):
            parsed = {}
        if 200 <= status < 300 and parsed.get("ok") is True:
            return parsed
        message = error_message(parsed) or f"{self.url} answered {status}"
        if 300 <= status < 400:
            raise Refused(status, f"{self.url} redirects: enrol with the final address instead")
        if status in REFUSALS and parsed.get("ok") is False:
            raise REFUSALS[status](status, message)
        if 400 <= status < 500 and status not in (408, 425, 429) and parsed.get("ok") is False:
            raise Refused(status, message)
        raise ServerUnavailable(message, retry_after(answer, parsed))

    def _note_clock(self, answer: requests.Response, sent_at: float) -> None:
        """Remember how far this host's clock is ahead of the server's (seconds)."""
        header = answer.headers.get("Date", "")
        try:
            theirs = email.utils.parsedate_to_datetime(header).timestamp()
        except (TypeError, ValueError):
            return
        now = time.time()
        # The header has whole seconds and was written between the two readings: less than that
        # is no skew.
        skew = 0.0
        if now < theirs:
            skew = now - theirs
        elif sent_at > theirs + 1.0:
            skew = sent_at - theirs - 1.0
        self.clock_skew_seconds = round(skew, 1)


def error_message(parsed: JsonObject) -> str:
    """Return the server's own words for a refusal, bounded and redacted."""
    errors = parsed.get("errors")
    if not isinstance(errors, list):
        return ""
    return redact(" ".join(str(error) for error in errors))[:ERROR_CHARACTERS]


def retry_after(answer: requests.Response, parsed: JsonObject) -> float | None:
    """Return the wait the server asked for, in seconds, by body or header."""
    asked = parsed.get("retry_after_seconds", answer.headers.get("Retry-After"))
    if isinstance(asked, (int, float, str)):
        try:
            return max(0.0, float(asked))
        except ValueError:
            return None
    return None

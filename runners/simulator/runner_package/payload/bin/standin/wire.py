"""HTTP towards the stand-in server: JSON in, JSON out, one connection a request.

It knows no path of the protocol and decides nothing about statuses. It never logs a header.
"""

import http.client
import json
import socket
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit


class Unreachable(Exception):
    """No answer came: refused, reset, timed out, interrupted or not HTTP."""


class Answer(NamedTuple):
    """A status and the JSON object of the body, empty when there was none."""

    status: int
    body: dict[str, object]

    @property
    def message(self) -> str:
        """The server's words, or the bare status."""
        return str(self.body.get("message") or f"Http response code: {self.status}")


class Client:
    """Calls below one base URL with one `Authorization` header."""

    def __init__(self, base_url: str, authorization: str, user_agent: str) -> None:
        """Prepare; nothing is sent before the first `call`."""
        parts = urlsplit(base_url)
        self._secure = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._secure else 80)
        self._prefix = parts.path.rstrip("/")
        self._headers = {
            "Authorization": authorization,
            "User-Agent": user_agent,
            "Accept": "application/json",
        }
        self._open: http.client.HTTPConnection | None = None
        self._interrupted = False

    def __repr__(self) -> str:
        """Name the server only: the header is a secret."""
        return f"Client({self._host}:{self._port})"

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        timeout_seconds: float,
    ) -> Answer:
        """Send one request; raises Unreachable when no whole answer came in time."""
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=timeout_seconds)
        headers = dict(self._headers)
        content = b""
        if body is not None:
            content = json.dumps(body).encode("utf-8")
            headers["Content-Type"] = "application/json"
        try:
            connection.connect()
            self._open = connection
            if self._interrupted:
                raise Unreachable("interrupted")
            connection.request(method, self._prefix + path, content, headers)
            response = connection.getresponse()
            return Answer(response.status, _json_object(response.read()))
        except (OSError, http.client.HTTPException, ValueError) as err:
            raise Unreachable(str(err) or type(err).__name__) from err
        finally:
            self._open = None
            connection.close()

    def interrupt(self) -> None:
        """End the call in flight and refuse later ones until `resume`; safe in a signal handler."""
        self._interrupted = True
        connection = self._open
        if connection is None or connection.sock is None:
            return
        try:
            connection.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # already closed

    def resume(self) -> None:
        """Allow calls again after `interrupt`."""
        self._interrupted = False


def _json_object(content: bytes) -> dict[str, object]:
    if not content.strip():
        return {}
    parsed = json.loads(content)
    return parsed if isinstance(parsed, dict) else {}

"""A receiver of webhooks on loopback that keeps what it was sent."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

PATIENCE_SECONDS = 10


@dataclass(frozen=True)
class Received:
    """One delivery as it came in."""

    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> str:
        return self.headers["X-GitHub-Event"]

    @property
    def payload(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def name(self) -> str:
        """``workflow_job.queued``, or the event alone where it has no action."""
        action = self.payload.get("action")
        return f"{self.event}.{action}" if action else self.event


class Receiver:
    """Answers every POST with ``status`` and remembers it, in order."""

    def __init__(self) -> None:
        self.status = 200
        self.received: list[Received] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.received.append(Received(dict(self.headers.items()), body))
                self.send_response(receiver.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, format: str, *args: object) -> None:
                del format, args

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def names(self) -> list[str]:
        """What arrived, in order of arrival."""
        return [each.name for each in list(self.received)]

    def wait_for(self, name: str, count: int = 1) -> list[Received]:
        """Wait until so many deliveries of a name arrived."""
        until(lambda: self.names().count(name) >= count)
        return [each for each in list(self.received) if each.name == name]


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, or fail."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)

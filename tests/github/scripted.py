"""A server on loopback that gives scripted answers and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Received:
    """One request as it arrived; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """One answer. `missing_bytes` promises more than is sent; `hang` answers nothing at all;
    `trickle` begins a body and never ends it, though a little always comes."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    missing_bytes: int = 0
    hang: bool = False
    drop: bool = False
    trickle: bool = False

    def content(self) -> bytes:
        if self.raw is not None:
            return self.raw
        return b"" if self.body is None else json.dumps(self.body).encode()


Responder = Callable[[Received], Reply]


class ScriptedServer:
    """Answers from a queue, or from `responder` where there is one; an empty queue is a 599."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.replies: list[Reply] = []
        self.responder: Responder | None = None
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def will(self, *replies: Reply) -> None:
        """Queue answers."""
        self.replies.extend(replies)

    def close(self) -> None:
        self._released.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _next(self, received: Received) -> Reply:
        with self._lock:
            self.received.append(received)
            if self.responder is not None:
                return self.responder(received)
            return self.replies.pop(0) if self.replies else Reply(599, {"message": "unscripted"})

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 5

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                headers = {name.lower(): value for name, value in self.headers.items()}
                received = Received(self.command, self.path, headers, self.rfile.read(length))
                server._respond(self, server._next(received))

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing on the console."""

        return Handler

    def _respond(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        if reply.hang:
            self._released.wait(30)
        if reply.hang or reply.drop:
            handler.close_connection = True
            return
        if reply.trickle:
            self._trickle(handler)
            return
        content = reply.content()
        handler.send_response_only(reply.status)
        headers = {"Content-Type": "application/json; charset=utf-8", **reply.headers}
        for name, value in headers.items():
            handler.send_header(name, value)
        if reply.status not in {204, 304}:
            handler.send_header("Content-Length", str(len(content) + reply.missing_bytes))
        handler.end_headers()
        if reply.status not in {204, 304}:
            handler.wfile.write(content)

    def _trickle(self, handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.send_response_only(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        try:
            while not self._released.wait(0.02):
                handler.wfile.write(b" ")
        except OSError:
            return  # the client gave up

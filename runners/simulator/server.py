"""The sockets: an HTTP/1.1 server with keep-alive on threads. It knows nothing of GitHub."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from runners.simulator.gateway import RawAnswer, RawRequest
from runners.simulator.wire import whole

BODY_MOST_BYTES = 25 * 1024 * 1024
STOP_PATIENCE_SECONDS = 5


@dataclass(frozen=True)
class Certificate:
    """Files of a certificate chain and its key, both PEM."""

    chain: Path
    key: Path


class HttpServer(ThreadingHTTPServer):
    """Serves ``answer``; ``close_all`` ends every open connection, like a machine going down."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 512
    allow_reuse_address = True

    def __init__(
        self,
        host: str,
        port: int,
        answer: Callable[[RawRequest], RawAnswer],
        certificate: Certificate | None = None,
    ) -> None:
        super().__init__((host, port), _Handler)
        self.answer = answer
        self.scheme = "http"
        if certificate is not None:
            self.scheme = "https"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.chain, certificate.key)
            # The handshake is left to the connection's own thread: a slow one holds up nobody.
            self.socket = context.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )
        self._open: dict[int, tuple[socket.socket, threading.Thread]] = {}
        self._guard = threading.Lock()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.server_address[1])

    def opened(self, connection: socket.socket) -> None:
        """Note a connection and the thread that serves it."""
        with self._guard:
            self._open[id(connection)] = (connection, threading.current_thread())

    def closed(self, connection: socket.socket) -> None:
        """Forget a connection."""
        with self._guard:
            self._open.pop(id(connection), None)

    def close_all(self) -> None:
        """Cut every connection and wait for the threads behind them."""
        with self._guard:
            threads = [thread for _, thread in self._open.values()]
            for connection, _ in self._open.values():
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    # The client was faster.
                    continue
        for thread in threads:
            thread.join(STOP_PATIENCE_SECONDS)

    def handle_error(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        """A client that went away is no error; anything else is shown as the bug it is."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Answers are small: without this they wait for the client's delayed acknowledgement.
    disable_nagle_algorithm = True
    server: HttpServer
    # One buffer for headers and body, flushed once.
    wbufsize = -1

    def setup(self) -> None:
        super().setup()
        self.server.opened(self.connection)

    def finish(self) -> None:
        self.server.closed(self.connection)
        try:
            super().finish()
        except OSError:
            # The client did not wait for the answer.
            return

    def do_GET(self) -> None:
        length = whole(self.headers.get("Content-Length", "0"))
        if length is None or length > BODY_MOST_BYTES or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            self.send_error(411 if length is None else 413)
            return
        body = self.rfile.read(length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = RawRequest(
            self.command, self.path, headers, body, self._connected, self.server.scheme
        )
        answer = self.server.answer(request)
        self._write(answer)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = do_TRACE = do_QUERY = do_GET

    def _connected(self) -> bool:
        """False when the client has hung up: its end of the connection reads as empty."""
        flags = socket.MSG_PEEK | socket.MSG_DONTWAIT
        try:
            # Of the socket itself, below TLS, where even a client's last words come before its end.
            waiting: bytes = socket.socket.recv(self.connection, 1, flags)
            return waiting != b"" and self.server.scheme == "http"
        except BlockingIOError:
            return True
        except OSError:
            return False

    def _write(self, answer: RawAnswer) -> None:
        if answer.drop:
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status not in (204, 304):
            self.send_header("Content-Length", str(len(answer.body)))
        if answer.cut:
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[: len(answer.body) // 2] if answer.cut else answer.body)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: what happened is in ``GET /_sim/requests``."""
        del format, args

"""One address in front of several web processes: a connection goes to one that answers."""

from __future__ import annotations

import itertools
import socket
import socketserver
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

CHUNK_BYTES = 64 * 1024


class _Forward(socketserver.BaseRequestHandler):
    """One connection, carried to a backend and back until either side ends."""

    server: _Balancer

    def handle(self) -> None:
        backend = self.server.connect()
        if backend is None:
            return
        with backend:
            there = threading.Thread(target=_carry, args=(self.request, backend), daemon=True)
            there.start()
            _carry(backend, self.request)
            there.join(timeout=10)


class _Balancer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], backends: Sequence[tuple[str, int]]) -> None:
        super().__init__(address, _Forward)
        self.backends = backends
        self.turn = itertools.count()

    def connect(self) -> socket.socket | None:
        """The next backend that takes a connection; None when all are away."""
        first = next(self.turn)
        for number in range(len(self.backends)):
            with suppress(OSError):
                address = self.backends[(first + number) % len(self.backends)]
                return socket.create_connection(address, timeout=10)
        return None


def _carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(CHUNK_BYTES):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def balanced(
    port: int, backends: Sequence[tuple[str, int]], *, address: str = "127.0.0.1"
) -> Iterator[None]:
    """Listen on `address:port` and forward to the (address, port) pairs while the block runs."""
    with _Balancer((address, port), backends) as balancer:
        thread = threading.Thread(target=balancer.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            balancer.shutdown()
            thread.join(timeout=10)


def main() -> None:
    """`PORT:ADDRESS` each: listen on the loopback address, forward to that one, until killed."""
    with ExitStack() as listeners:
        for pair in sys.argv[1:]:
            port, _, address = pair.partition(":")
            listeners.enter_context(balanced(int(port), [(address, int(port))]))
        threading.Event().wait()


if __name__ == "__main__":
    main()

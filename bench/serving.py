"""gunicorn as benchmarks use it: two processes of four threads on loopback, ended afterwards."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection

from bench.common import ROOT


@contextmanager
def serve(env: dict[str, str], port: int) -> Iterator[None]:
    """Serve the product with this environment while the block runs."""
    command = [
        *(sys.executable, "-m", "gunicorn", "fleetui.wsgi:application"),
        *(
            "--bind",
            f"127.0.0.1:{port}",
            "--workers",
            "2",
            "--threads",
            "4",
            "--log-level",
            "error",
        ),
    ]
    server = subprocess.Popen(command, env=env, cwd=ROOT)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                connection = HTTPConnection("127.0.0.1", port, timeout=2)
                connection.request("GET", "/healthz")
                if connection.getresponse().status == 200:
                    break
            except OSError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.1)
        yield
    finally:
        server.terminate()
        server.wait(timeout=30)

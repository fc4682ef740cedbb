"""Heartbeats a second against a bare Django view doing one UPDATE, on the same server, in one run.

gunicorn serves both from one process group with the product's middleware. The load comes from `wrk`
where it is installed, else from a generator in Python; which one is printed. Runs alternate between
baseline and heartbeat, so that noise of the machine falls on both.

Then 200 runners on 50 hosts beat at the pace of a fleet in which something moves, and how late each
heartbeat is answered is measured from when it was due.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from http.client import HTTPConnection
from pathlib import Path

from bench.common import (
    Options,
    environment,
    finish,
    median,
    options,
    percentile,
    run_python,
    say,
)
from bench.databases import Unavailable, database, free_port
from bench.pace import Beat, lateness
from bench.serving import serve

HOSTS = 100
RUNNERS_A_HOST = 4
CONNECTIONS = 16
BUDGET_SHARE = 0.60
PACED_HOSTS = 50
PACE_SECONDS = 3.0
LATENESS_BUDGET_SECONDS = 5.0
WRK_SCRIPT = """
local list = {REQUESTS}
local n = 0
request = function()
  n = n % #list + 1
  local r = list[n]
  local headers = {["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. r[2]}
  return wrk.format("POST", r[1], headers, r[3])
end
done = function(summary)
  local e = summary.errors
  local failed = e.status + e.connect + e.read + e.timeout
  io.write(string.format("RESULT %d %d %d\\n", summary.requests, summary.duration, failed))
end
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure each database and print rates, ratio and method."""
    chosen = options(__doc__ or "", argv)
    figures: dict[str, object] = {}
    for kind in chosen.databases:
        with tempfile.TemporaryDirectory(prefix="fleetui-bench-") as folder:
            try:
                with database(kind, Path(folder)) as url:
                    figures[kind] = measure(kind, url, Path(folder), chosen)
            except Unavailable as reason:
                say(f"{kind}: skipped, {reason}")
                figures[kind] = {"skipped": str(reason)}
    finish(
        chosen,
        {
            "bench": "heartbeat",
            "figures": figures,
            "baseline": "a bare view doing one UPDATE behind the same middleware",
            "budget_share": BUDGET_SHARE,
            "lateness_budget_seconds": LATENESS_BUDGET_SECONDS,
            "sizes": {"hosts": HOSTS, "runners_a_host": RUNNERS_A_HOST, "connections": CONNECTIONS},
        },
    )
    return 0


def measure(kind: str, url: str, folder: Path, chosen: Options) -> dict[str, object]:
    """Fill the database, serve it, and alternate baseline and heartbeat runs."""
    port = free_port()
    env = environment(folder, url, "bench.settings")
    run_python(env, "manage.py", "migrate", "--verbosity", "0")
    agents = json.loads(
        run_python(env, "-m", "bench.fleet_data", str(HOSTS), str(HOSTS * RUNNERS_A_HOST))
    )
    seconds, rounds = (2, 3) if chosen.quick else (10, 3)
    load = WrkLoad(folder) if shutil.which("wrk") else PythonLoad()
    bare = [(f"/bench/bare?host={pk}", "", "{}") for _, pk, _ in agents]
    beats = [("/api/agent/heartbeat", token, _body(slots)) for token, _, slots in agents]
    rates: dict[str, list[float]] = {"bare": [], "heartbeat": []}
    with serve(env, port):
        for name, requests in (("bare", bare), ("heartbeat", beats)):
            load.run(port, requests, seconds=1)
            _check_answers(port, requests[0], name)
        for _ in range(rounds):
            rates["bare"].append(load.run(port, bare, seconds=seconds))
            rates["heartbeat"].append(load.run(port, beats, seconds=seconds))
        late = _paced(port, beats[:PACED_HOSTS], periods=2 if chosen.quick else 20)
    share = median(rates["heartbeat"]) / median(rates["bare"])
    say(
        f"{kind}: heartbeat {median(rates['heartbeat']):.0f}/s, bare UPDATE "
        f"{median(rates['bare']):.0f}/s, ratio {share:.2f} (budget at least {BUDGET_SHARE:.2f}); "
        f"median of {rounds} runs of {seconds} s, load by {load.name}, {CONNECTIONS} connections"
    )
    p99 = percentile(late, 0.99)
    say(
        f"{kind}: {PACED_HOSTS * RUNNERS_A_HOST} runners on {PACED_HOSTS} hosts, a heartbeat every "
        f"{PACE_SECONDS:.0f} s: answered {p99 * 1000:.0f} ms after it was due (p99 of {len(late)}; "
        f"budget {LATENESS_BUDGET_SECONDS:.0f} s), the median {median(late) * 1000:.0f} ms"
    )
    return {
        "lateness_p99_seconds": round(p99, 4),
        "lateness_median_seconds": round(median(late), 4),
        "heartbeat_a_second": [round(rate, 1) for rate in rates["heartbeat"]],
        "baseline_a_second": [round(rate, 1) for rate in rates["bare"]],
        "ratio": round(share, 3),
        "load": load.name,
    }


class WrkLoad:
    """Load by wrk, one Lua script with every request prepared."""

    name = "wrk"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, port: int, requests: Sequence[tuple[str, str, str]], *, seconds: int) -> float:
        """Requests a second; raises when any answer was not 2xx."""
        script = self.folder / "load.lua"
        entries = ",".join(
            f"{{{json.dumps(path)},{json.dumps(token)},{json.dumps(body)}}}"
            for path, token, body in requests
        )
        script.write_text(WRK_SCRIPT.replace("REQUESTS", entries))
        done = subprocess.run(
            [
                "wrk",
                *("-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script)),
                f"http://127.0.0.1:{port}",
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))
        count, microseconds, errors = (int(part) for part in line.split()[1:])
        if errors:
            raise RuntimeError(f"{errors} of {count} requests failed")
        return count / (microseconds / 1_000_000)


class PythonLoad:
    """Load by threads of this process; its own work shares the cores with the server."""

    name = "python threads"

    def run(self, port: int, requests: Sequence[tuple[str, str, str]], *, seconds: int) -> float:
        """Requests a second; raises when any answer was not 2xx."""
        counts = [0] * CONNECTIONS
        failures: list[int] = []
        end = time.monotonic() + seconds

        def worker(index: int) -> None:
            connection = HTTPConnection("127.0.0.1", port, timeout=30)
            position = index
            while time.monotonic() < end:
                path, token, body = requests[position % len(requests)]
                position += CONNECTIONS
                status = _post(connection, path, token, body)
                if status >= 300:
                    failures.append(status)
                counts[index] += 1

        threads = [threading.Thread(target=worker, args=(i,)) for i in range(CONNECTIONS)]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise RuntimeError(f"{len(failures)} requests failed, the first with {failures[0]}")
        return sum(counts) / (time.monotonic() - started)


def _paced(port: int, beats: Sequence[Beat], *, periods: int) -> list[float]:
    senders = []
    for _ in range(CONNECTIONS):
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        senders.append(lambda beat, connection=connection: _post(connection, *beat))
    return lateness(beats, senders, period=PACE_SECONDS, periods=periods)


def _post(connection: HTTPConnection, path: str, token: str, body: str) -> int:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def _check_answers(port: int, request: tuple[str, str, str], name: str) -> None:
    status = _post(HTTPConnection("127.0.0.1", port, timeout=10), *request)
    if status != 200:
        raise RuntimeError(f"The {name} request is answered with {status}")


def _body(slots: Sequence[tuple[int, str, int]]) -> str:
    return json.dumps(
        {
            "protocol": 1,
            "agent_version": "0.1.0",
            "boot_id": "boot",
            "at": "2026-11-23T12:00:00Z",
            "wanted_version": 0,
            "sample": {
                "cpu_percent": 37.5,
                "load1": 1.2,
                "memory_used_bytes": 40 * 2**30,
                "disk_used_bytes": 300 * 2**30,
                "network_sent_bytes": 1_000_000,
                "network_received_bytes": 1_000_000,
                "temperature_celsius": None,
            },
            "slots": [
                {
                    "runner_id": pk,
                    "name": name,
                    "slot": slot,
                    "phase": "listening",
                    "pid": 1000,
                    "process_started_at": None,
                    "exit_code": None,
                    "reason": "",
                    "job": None,
                    "runner_version": "2.336.0",
                }
                for pk, name, slot in slots
            ],
            "journal": [],
        }
    )


if __name__ == "__main__":
    sys.exit(main())

"""Webhook deliveries a second against a bare Django view doing one UPDATE, same server, same run.

Signed 7 kB `workflow_job` deliveries of distinct jobs over 1, 8 and 32 connections; gunicorn serves
both with the product's middleware. Runs alternate, so that noise of the machine falls on both.
Afterwards what was kept is taken in by the worker's own function, timed by itself, and every job
must be there. GARM, measured on such a machine, holds about 400 deliveries a second.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from http.client import HTTPConnection
from itertools import count
from pathlib import Path

from bench.common import (
    ROOT,
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
from bench.serving import serve

CONNECTIONS = (1, 8, 32)
TARGET_A_SECOND = 400
SECRET = "a secret for the benchmark alone"
PAYLOAD = ROOT / "tests" / "payloads" / "github" / "webhooks" / "workflow_job.queued.1.json"
BODY_BYTES = 7_000
ACTIONS = ("queued", "in_progress", "completed")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure each database and print rates, latencies, ratio and queries."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["--fill"]:
        print(_fill())
        return 0
    if arguments[:1] == ["--queries"]:
        print(_queries())
        return 0
    if arguments[:1] == ["--take-in"]:
        print(json.dumps(_take_in()))
        return 0
    chosen = options(__doc__ or "", arguments)
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
            "bench": "webhook",
            "figures": figures,
            "baseline": "a bare view doing one UPDATE behind the same middleware",
            "target_a_second": TARGET_A_SECOND,
            "sizes": {"body_bytes": BODY_BYTES, "connections": list(CONNECTIONS)},
        },
    )
    return 0


def measure(kind: str, url: str, folder: Path, chosen: Options) -> dict[str, object]:
    """Serve an empty database and alternate baseline and delivery runs."""
    port = free_port()
    env = environment(folder, url, "bench.settings")
    run_python(env, "manage.py", "migrate", "--verbosity", "0")
    scope, host = run_python(env, "-m", "bench.webhook", "--fill").split()
    queries = int(run_python(env, "-m", "bench.webhook", "--queries").splitlines()[-1])
    seconds, rounds = (1.0, 3) if chosen.quick else (8.0, 3)
    numbers = count(1)
    figures: dict[str, object] = {"queries": queries}
    kept = 0
    with serve(env, port):
        _run(port, _bare(host), connections=4, seconds=1)
        for connections in CONNECTIONS:
            bare: list[float] = []
            rates: list[float] = []
            took: list[float] = []
            for _ in range(rounds):
                bare.append(_run(port, _bare(host), connections=connections, seconds=seconds).rate)
                deliveries = _deliveries(scope, numbers)
                done = _run(port, deliveries, connections=connections, seconds=seconds)
                rates.append(done.rate)
                took += done.took
                kept += len(done.took)
            figures[f"{connections} connections"] = {
                "deliveries_a_second": round(median(rates), 1),
                "baseline_a_second": round(median(bare), 1),
                "ratio": round(median(rates) / median(bare), 3),
                "p50_ms": round(percentile(took, 0.5) * 1000, 2),
                "p99_ms": round(percentile(took, 0.99) * 1000, 2),
            }
            say(
                f"{kind}, {connections:2} connections: {median(rates):.0f} deliveries/s "
                f"(target over {TARGET_A_SECOND}), bare UPDATE {median(bare):.0f}/s, ratio "
                f"{median(rates) / median(bare):.2f}; p50 {percentile(took, 0.5) * 1000:.1f} ms, "
                f"p99 {percentile(took, 0.99) * 1000:.1f} ms; {queries} queries each"
            )
    answer = run_python(env, "-m", "bench.webhook", "--take-in")
    taken: dict[str, float] = json.loads(answer.splitlines()[-1])
    if taken["deliveries"] != kept or taken["left"] or taken["jobs"] != taken["distinct"]:
        raise RuntimeError(f"{kept} deliveries were answered, and this was taken in: {taken}")
    say(f"{kind}: taken in afterwards, {taken['a_second']:.0f} deliveries/s by one process")
    return {**figures, "taken_in_a_second": round(taken["a_second"], 1)}


class Done:
    """One run: how many a second, and how long each took in seconds."""

    def __init__(self, took: list[float], seconds: float) -> None:
        self.took = took
        self.rate = len(took) / seconds


Request = tuple[str, bytes, dict[str, str]]


def _run(port: int, requests: Iterator[Request], *, connections: int, seconds: float) -> Done:
    """Load by threads of this process; its own work shares the cores with the server.

    Requests are made beforehand, so that signing is not measured. Raises for any answer but 2xx.
    """
    prepared = [next(requests) for _ in range(int(seconds * 2000) + connections)]
    taking = iter(prepared)
    lock = threading.Lock()
    took: list[float] = []
    wrong: list[str] = []
    end = time.monotonic() + seconds

    def worker() -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        mine: list[float] = []
        while time.monotonic() < end:
            with lock:
                request = next(taking, None)
            if request is None:
                break
            path, body, headers = request
            began = time.perf_counter()
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
            mine.append(time.perf_counter() - began)
            if answer.status not in (200, 202):
                wrong.append(f"{answer.status} {text[:200]!r}")
                break
        connection.close()
        with lock:
            took.extend(mine)

    threads = [threading.Thread(target=worker) for _ in range(connections)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise RuntimeError(f"{len(wrong)} connections were refused, the first with {wrong[0]}")
    return Done(took, time.monotonic() - began)


def _bare(host: str) -> Iterator[Request]:
    while True:
        yield f"/bench/bare?host={host}", b"{}", {"Content-Type": "application/json"}


def _deliveries(scope: str, numbers: Iterator[int]) -> Iterator[Request]:
    """Distinct jobs, each told once: queued, running or completed in turn."""
    from runners.github.webhooks import sign

    said = json.loads(PAYLOAD.read_text("utf-8"))
    owner = said["repository"]["full_name"].partition("/")[0]
    said["repository"]["full_name"] = f"acme/{owner}".lower()
    for number in numbers:
        action = ACTIONS[number % len(ACTIONS)]
        said["action"] = said["workflow_job"]["status"] = action
        said["workflow_job"] |= {"id": number, "run_id": number // 4 + 1, "run_attempt": 1}
        said["padding"] = ""
        said["padding"] = "x" * max(0, BODY_BYTES - len(json.dumps(said)))
        body = json.dumps(said).encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "GitHub-Hookshot/bench",
            "X-GitHub-Event": "workflow_job",
            "X-GitHub-Delivery": f"00000000-0000-0000-0000-{number:012}",
            "X-GitHub-Hook-ID": "292430182",
            "X-Hub-Signature-256": sign(SECRET, body),
        }
        yield f"/webhooks/{scope}/", body, headers


# --- in the process whose settings name the database ---------------------------------------------


def _fill() -> str:
    # Sets Django up, which needs the database's address in the environment
    from bench.fleet_data import fill  # isort: skip

    from runners import wiring
    from runners.models import Host, Scope

    fill(hosts=1, runners=4)
    scope = Scope.objects.get()
    Scope.objects.update(webhook_secret_encrypted=wiring.vault().encrypt(SECRET))
    return f"{scope.pk} {Host.objects.get().pk}"


def _queries() -> int:
    """The queries of one delivery, the first of a quiet scope: with the worker's task."""
    import django

    django.setup()

    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from runners.models import Delivery, Scope

    scope = str(Scope.objects.get().pk)
    path, body, headers = next(_deliveries(scope, iter([0])))
    client = Client(headers={"host": "127.0.0.1"})
    with CaptureQueriesContext(connection) as captured:
        answer = client.post(path, body, content_type="application/json", headers=headers)
    if answer.status_code != 202:
        raise RuntimeError(f"A delivery is answered with {answer.status_code}")
    Delivery.objects.all().delete()
    # BEGIN and COMMIT are not asked of a table
    return sum(
        not each["sql"].startswith(("BEGIN", "COMMIT")) for each in captured.captured_queries
    )


def _take_in() -> dict[str, float]:
    """Take in everything that was kept, as the worker's task does, and say how fast."""
    import django

    django.setup()

    from runners import deliveries, wiring
    from runners.models import Delivery, Job, Scope

    scope = Scope.objects.get()
    total, began = 0, time.perf_counter()
    while taken := deliveries.take_in(scope, now=wiring.now()):
        total += taken
    seconds = time.perf_counter() - began
    return {
        "deliveries": total,
        "left": Delivery.objects.filter(processed_at__isnull=True).count(),
        "distinct": Delivery.objects.values("subject_id").distinct().count(),
        "jobs": Job.objects.filter(repository__startswith="acme/").count(),
        "a_second": total / seconds,
    }


if __name__ == "__main__":
    sys.exit(main())

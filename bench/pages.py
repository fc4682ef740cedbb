"""Server time and queries of each page: 1,000 hosts, 10,000 live runners, 1,000,000 past jobs.

Each page is rendered through the whole middleware stack by Django's test client in one process;
what is measured is the time from request to finished response, without network and browser. The
baseline is the /healthz page of the same run: what any request costs before it does anything.
`cpu` is the time this process computed, without the database: what other work on the machine
changes least.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.common import Options, environment, finish, options, percentile, run_python, say
from bench.databases import Unavailable, database

HOSTS = 1_000
RUNNERS = 10_000
JOBS = 1_000_000
QUICK_JOBS = 50_000
BUDGET_MS = {"sqlite": 200, "postgresql": 100}
PAGES = {
    "baseline /healthz": "/healthz",
    "overview": "/",
    "runners": "/runners/",
    "runners, searched": "/runners/?q=00ff",
    "runners, filtered": "/runners/?state=busy&page=3",
    "runner": "/runners/{runner}/",
    "hosts": "/hosts/",
    "host": "/hosts/forge-0007/",
    "provision": "/runners/new/",
    "jobs": "/jobs/",
    "jobs, searched": "/jobs/?q=repo-17",
    "report of the month": "/reports/",
    "targets": "/reports/targets/",
    "metrics": "/metrics",
    "history by label set": "/reports/history/",
    "history by host, 90 days": "/reports/history/?by=host&days=90",
    "pools": "/pools/",
    "audit": "/audit/",
    "settings": "/settings/scopes/",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure each database in a process of its own and print a table."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["--measure"]:
        print(json.dumps(measure(repetitions=int(arguments[1]), jobs=int(arguments[2]))))
        return 0
    chosen = options(__doc__ or "", arguments)
    figures = {kind: _figures(kind, chosen) for kind in chosen.databases}
    finish(
        chosen,
        {
            "bench": "pages",
            "figures": figures,
            "baseline": "/healthz in the same process",
            "budget_p95_ms": BUDGET_MS,
            "sizes": {
                "hosts": HOSTS,
                "runners": RUNNERS,
                "jobs": QUICK_JOBS if chosen.quick else JOBS,
            },
        },
    )
    return 0


def _figures(kind: str, chosen: Options) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="fleetui-bench-") as folder:
        try:
            with database(kind, Path(folder)) as url:
                env = environment(Path(folder), url, "fleetui.settings")
                run_python(env, "manage.py", "migrate", "--verbosity", "0")
                run_python(env, "manage.py", "collectstatic", "--noinput", "--verbosity", "0")
                repetitions = "10" if chosen.quick else "50"
                jobs = str(QUICK_JOBS if chosen.quick else JOBS)
                answer = run_python(env, "-m", "bench.pages", "--measure", repetitions, jobs)
        except Unavailable as reason:
            say(f"{kind}: skipped, {reason}")
            return {"skipped": str(reason)}
    pages: dict[str, dict[str, float]] = json.loads(answer.splitlines()[-1])
    baseline = pages["baseline /healthz"]["p50_ms"]
    say(f"{kind}: server time a page in ms (budget p95 under {BUDGET_MS[kind]} ms)")
    for name, page in pages.items():
        say(
            f"  {name:25} p50 {page['p50_ms']:7.1f}  p95 {page['p95_ms']:7.1f}  "
            f"cpu {page['cpu_p50_ms']:6.1f}  "
            f"queries {page['queries']:3.0f}  {page['kilobytes']:6.1f} kB  "
            f"x {page['p50_ms'] / baseline:5.1f} of baseline"
        )
    return {**pages}


def measure(*, repetitions: int, jobs: int) -> dict[str, dict[str, float]]:
    """Fill the database and time every page; runs in the process whose settings name the
    database."""
    # bench.fleet_data sets Django up, which needs the database's address in the environment
    from bench.fleet_data import fill  # isort: skip

    from django.contrib.auth.models import User
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from runners.models import Runner

    fill(hosts=HOSTS, runners=RUNNERS, jobs=jobs)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    admin = User.objects.create_superuser("bench", password=None)
    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(admin)
    runner = Runner.objects.order_by("pk").values_list("pk", flat=True)[RUNNERS // 2]
    for address in PAGES.values():
        client.get(address.format(runner=runner))
    # As fleetui.gunicorn does with a process that has loaded everything
    gc.collect()
    gc.freeze()
    pages: dict[str, dict[str, float]] = {}
    for name, address in PAGES.items():
        url = address.format(runner=runner)
        with CaptureQueriesContext(connection) as queries:
            answer = client.get(url)
            count = len(queries)  # the next request empties the log
        if answer.status_code != 200:
            raise RuntimeError(f"{url} is answered with {answer.status_code}")
        times, busy = [], []
        for _ in range(repetitions):
            started, worked = time.perf_counter(), time.process_time()
            client.get(url)
            busy.append((time.process_time() - worked) * 1000)
            times.append((time.perf_counter() - started) * 1000)
        pages[name] = {
            "cpu_p50_ms": round(percentile(busy, 0.5), 2),
            "p50_ms": round(percentile(times, 0.5), 2),
            "p95_ms": round(percentile(times, 0.95), 2),
            "queries": count,
            "kilobytes": round(len(answer.content) / 1024, 1),
        }
    return pages


if __name__ == "__main__":
    sys.exit(main())

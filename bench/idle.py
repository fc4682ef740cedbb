"""What a fleet costs while nothing happens: web, worker and loop as real processes.

Three looks at the same installation on SQLite: empty (the baseline), with 1,000 idle runners
registered here and at the simulator (10,000 too in the full run), and then with 2,000 jobs waiting
on a full pool besides. Each look is a window of time in which CPU time, queries, calls to GitHub
and bytes of log are counted; memory is the proportional set at its end. Hosts report nothing here:
what heartbeats cost is bench/heartbeat.py. Target: under 5 % of one core with 1,000 runners. GARM:
22 % rising to 140 %, 15.7 MB of log in 70 s.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench.common import ROOT, finish, options, say
from bench.counting import VARIABLE
from tests.e2e.fleet import Fleet, running_fleet
from tests.installation import wait_for

TARGET_PERCENT = 5
WAITING = 2_000
RUNNERS_A_HOST = 10
FULL = 10
LABELS = ["self-hosted", "linux", "x64"]
SETTLE_SECONDS = 15


def main(argv: Sequence[str] | None = None) -> int:
    """Measure each size and print it beside the empty installation."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["--fill"]:
        _fill(json.loads(Path(arguments[1]).read_text()))
        return 0
    chosen = options(__doc__ or "", arguments)
    window = 12 if chosen.quick else 120
    settle = 5 if chosen.quick else SETTLE_SECONDS
    sizes = (1_000,) if chosen.quick else (1_000, 10_000)
    figures = {f"{size} runners": _measure(size, window, settle) for size in sizes}
    finish(
        chosen,
        {
            "bench": "idle",
            "figures": figures,
            "baseline": "the same processes on an empty database",
            "target_percent_of_a_core": TARGET_PERCENT,
            "sizes": {"runners": list(sizes), "waiting": WAITING, "window_seconds": window},
        },
    )
    return 0


def _measure(size: int, window: float, settle: float) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="fleetui-bench-") as name:
        folder = Path(name)
        variables = {"DJANGO_SETTINGS_MODULE": "bench.counting_settings", VARIABLE: name}
        url = f"sqlite:///{folder / 'fleet.sqlite3'}"
        with running_fleet(folder, url, quick=False, variables=variables) as fleet:
            fleet.sim("PATCH", "settings", limits={"user_per_hour": 0})
            fleet.connect_webhook()
            figures: dict[str, object] = {"empty": _look(fleet, "empty", window, settle)}
            fleet.programs["fleet"].stop()
            _register(fleet, size)
            fleet.start_control_plane()
            figures["idle"] = _look(fleet, f"{size} idle runners", window, settle)
            fleet.sim(
                "POST", "jobs", repository="acme/web", count=WAITING, labels=[*LABELS, "full"]
            )
            wait_for("all jobs", lambda: _queued(fleet) == WAITING, seconds=300)
            words = f"{size} runners, {WAITING} jobs waiting"
            figures["waiting"] = _look(fleet, words, window, settle)
            if _queued(fleet) != WAITING or len(fleet.current_runners()) != size + FULL:
                raise RuntimeError("Something happened: this was no idle fleet")
    return figures


@dataclass(frozen=True)
class Reading:
    """Counters at one moment; `cpu` in seconds of all processes together."""

    at: float
    cpu: float
    queries: int
    calls: int
    log: int


def _look(fleet: Fleet, words: str, window: float, settle: float) -> dict[str, float]:
    """Let it settle, then count for a while."""
    time.sleep(settle)
    before = _read(fleet)
    time.sleep(window)
    after = _read(fleet)
    seconds = after.at - before.at
    minutes = seconds / 60
    figures = {
        "cpu_percent": round(100 * (after.cpu - before.cpu) / seconds, 1),
        "memory_mib": round(_memory(fleet) / 2**20),
        "queries_a_minute": round((after.queries - before.queries) / minutes),
        "calls_a_minute": round((after.calls - before.calls) / minutes, 1),
        "log_bytes_a_minute": round((after.log - before.log) / minutes),
    }
    say(
        f"{words}: {figures['cpu_percent']} % of a core (target under {TARGET_PERCENT} at 1,000), "
        f"{figures['memory_mib']} MiB, {figures['queries_a_minute']} queries, "
        f"{figures['calls_a_minute']} calls to GitHub and {figures['log_bytes_a_minute']} bytes of "
        "log a minute"
    )
    return figures


def _read(fleet: Fleet) -> Reading:
    folder, program = fleet.folder, fleet.programs["fleet"]
    cpu = 0.0
    for process in _family(fleet):
        with suppress(psutil.NoSuchProcess):
            # With what it got from children that ended
            cpu += sum(process.cpu_times()[:4])
    return Reading(
        time.monotonic(),
        cpu,
        (folder / "queries").stat().st_size,
        (folder / "calls").stat().st_size,
        program.log.stat().st_size,
    )


def _memory(fleet: Fleet) -> int:
    return sum(process.memory_full_info().pss for process in _family(fleet))


def _family(fleet: Fleet) -> list[psutil.Process]:
    main = psutil.Process(fleet.programs["fleet"].process.pid)
    return [main, *main.children(recursive=True)]


def _queued(fleet: Fleet) -> int:
    rows = fleet.installation.rows("SELECT COUNT(*) FROM runners_job WHERE status = 'queued'")
    return int(rows[0][0])


def _register(fleet: Fleet, size: int) -> None:
    """Register runners at the simulator, then write the same ones here as if they had started."""
    for label, count in (("spare", size), ("full", FULL)):
        labels = [*LABELS, label]
        fleet.sim("POST", "runners", scope="orgs/acme", count=count, prefix=label, labels=labels)
    file = fleet.folder / "runners.json"
    file.write_text(json.dumps(fleet.github_runners()))
    subprocess.run(
        [sys.executable, "-m", "bench.idle", "--fill", str(file)],
        env=fleet.installation.environment({"PYTHONPATH": str(ROOT)}),
        cwd=ROOT,
        check=True,
    )


# --- in the process whose settings name the database ---------------------------------------------


def _fill(listed: list[dict[str, Any]]) -> None:
    """A pool that keeps every spare, and a full one whose runners all work."""
    # Sets Django up, which needs the database's address in the environment
    from bench.fleet_data import BATCH, add_hosts  # isort: skip

    from django.db import connection

    from runners import wiring
    from runners.models import Label, Pool, Runner, Scope
    from runners.states import GitHubStatus, Phase, RunnerState

    now, scope = wiring.now(), Scope.objects.get()
    hosts = [host for host, _ in add_hosts(len(listed) // RUNNERS_A_HOST, RUNNERS_A_HOST, now)]
    names = {name: Label.objects.get_or_create(name=name)[0] for name in (*LABELS, "spare", "full")}
    pools = {}
    for kind, size in (("spare", len(listed) - FULL), ("full", FULL)):
        idle = size if kind == "spare" else 0
        pools[kind] = Pool.objects.create(
            name=kind, scope=scope, min_idle=idle, max_runners=size, created_at=now
        )
        pools[kind].labels.set([names[name] for name in (*LABELS, kind)])
    rows = []
    for number, told in enumerate(listed):
        kind = str(told["name"]).partition("-")[0]
        rows.append(
            Runner(
                name=told["name"],
                scope=scope,
                host=hosts[number % len(hosts)],
                pool=pools[kind],
                slot=number // len(hosts) + 1,
                state=RunnerState.ACTIVE,
                state_changed_at=now,
                phase=Phase.BUSY if kind == "full" else Phase.LISTENING,
                pid=1000 + number,
                runner_version=told["version"],
                observed_at=now,
                github_id=told["id"],
                github_status=GitHubStatus.ONLINE,
                github_labels=[*LABELS, kind],
                github_seen_at=now,
                created_at=now,
                registered_at=now,
                online_at=now,
            )
        )
    Runner.objects.bulk_create(rows, batch_size=BATCH)
    through = Runner.labels.through
    through.objects.bulk_create(
        [
            through(runner_id=row.pk, label_id=names[name].pk)
            for row in rows
            for name in row.github_labels
        ],
        batch_size=BATCH,
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


if __name__ == "__main__":
    sys.exit(main())

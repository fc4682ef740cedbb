"""From a queued job to a runner online and to the job's first step, with real processes.

Simulator, web, worker, loop and one agent, on SQLite, with the intervals they come with and a
webhook. Warm: a pool keeps an idle runner, and each job comes when there is one. Cold: each job
comes when nothing is left of the one before, neither at GitHub nor on the host. Moments: the job is
queued (this process), its delivery kept, its runner ordered and registered (the database), the
runner online (GitHub's list, looked at ten times a second), the job's first step (the step itself).
Baseline: what a runner takes by itself from being online to the first step of a job that waits; the
control plane has no part in it. GARM, measured on such a machine: 37.8 s by default, 7.8 s tuned.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.common import finish, options, percentile, say
from tests.e2e.fleet import Fleet, running_fleet
from tests.e2e.watch import Sighting, Watch, watching
from tests.installation import wait_for

TARGET_SECONDS = 5
LABELS = ["self-hosted", "linux", "x64"]
PATIENCE_SECONDS = 180
LOOK_SECONDS = 0.1
HOST = "forge-01"
STAGES = ("delivered", "ordered", "registered", "online", "started")
POOLS = """
[[pool]]
name = "warm"
scope = "acme"
labels = ["self-hosted", "linux", "x64", "warm"]
min_idle = 1
max_runners = 4

[[pool]]
name = "cold"
scope = "acme"
labels = ["self-hosted", "linux", "x64", "cold"]
max_runners = 4
"""

Course = dict[str, float]
"""One job's moments by STAGES, in seconds after it was queued."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure warm and cold starts, one job after the other."""
    chosen = options(__doc__ or "", argv)
    count = 10 if chosen.quick else 100
    with tempfile.TemporaryDirectory(prefix="fleetui-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # jobs run as users of their own, who must pass through
        url = f"sqlite:///{folder / 'fleet.sqlite3'}"
        with running_fleet(folder, url, quick=False) as fleet:
            fleet.connect_webhook()
            fleet.start_agent(HOST, code=fleet.enrolment_code(site="here"), slots=8)
            wait_for("the host", lambda: fleet.host_states() == ["online"])
            fleet.manage("apply", "-", stdin=POOLS)
            with watching(fleet, seconds=LOOK_SECONDS) as watch:
                figures = {
                    "warm": _warm([_course(fleet, watch, "warm", each) for each in range(count)]),
                    "cold": _cold([_course(fleet, watch, "cold", each) for each in range(count)]),
                }
    finish(
        chosen,
        {
            "bench": "latency",
            "figures": figures,
            "baseline": "a runner by itself, from online to the first step of a job that waits",
            "target_warm_p95_seconds": TARGET_SECONDS,
            "sizes": {"jobs": count},
        },
    )
    return 0


def _course(fleet: Fleet, watch: Watch, pool: str, number: int) -> Course:
    """Run one job of this pool and tell its moments."""
    wait_for(f"a {pool} pool", lambda: _ready(fleet, watch, pool), seconds=PATIENCE_SECONDS)
    started = fleet.shared / f"{pool}-{number}.started"
    script = f"date +%s.%N > '{started}.part'; mv '{started}.part' '{started}'"
    queued = time.time()
    job = fleet.queue_job(f"{pool}-{number}", script, labels=[*LABELS, pool])
    wait_for("the job's first step", started.exists, seconds=PATIENCE_SECONDS)
    runner = wait_for("its runner's name", lambda: fleet.github_job(job)["runner_name"])
    sighting = wait_for("a look at its runner", lambda: _seen_online(watch, runner))
    delivered = wait_for("the delivery", lambda: _delivered(fleet).get(job))
    ordered, registered = _ordered(fleet)[runner]
    moments = {
        "delivered": _unix(delivered),
        "ordered": _unix(ordered),
        "registered": _unix(registered),
        "online": sighting.online_at or 0.0,
        "started": float(started.read_text()),
    }
    return {name: at - queued for name, at in moments.items()}


def _delivered(fleet: Fleet) -> dict[int, str]:
    """When the news of each queued job was kept."""
    sql = "SELECT subject_id, received_at FROM runners_delivery WHERE action = 'queued'"
    return dict(fleet.installation.rows(sql))


def _ordered(fleet: Fleet) -> dict[str, tuple[str, str]]:
    """When each runner was ordered and registered, by name."""
    rows = fleet.installation.rows("SELECT name, created_at, registered_at FROM runners_runner")
    return {name: (ordered, registered) for name, ordered, registered in rows}


def _seen_online(watch: Watch, name: str) -> Sighting | None:
    return next((each for each in watch.seen() if each.name == name and each.online_at), None)


def _ready(fleet: Fleet, watch: Watch, pool: str) -> bool:
    """Warm: an idle runner and no other of this pool. Cold: none, and no process of one."""
    mine = [each for each in watch.present() if each.name.startswith(f"{pool}-")]
    if pool == "warm":
        return len(mine) == 1 and mine[0].online_at is not None and mine[0].busy_at is None
    return not mine and not [
        name for name in fleet.current_runners() if name.startswith(f"{pool}-")
    ]


def _unix(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def _warm(courses: Sequence[Course]) -> dict[str, float]:
    figures = {
        **_spread("queued to started", [each["started"] for each in courses]),
        **_spread("queued to delivered", [each["delivered"] for each in courses]),
    }
    say(
        f"warm, {len(courses)} jobs: queued to started p50 {figures['queued to started p50']} s, "
        f"p95 {figures['queued to started p95']} s (target under {TARGET_SECONDS}); our part of "
        f"it, queued to delivery kept: p95 {figures['queued to delivered p95']} s"
    )
    return figures


def _cold(courses: Sequence[Course]) -> dict[str, float]:
    figures: dict[str, float] = {
        **_spread("queued to online", [each["online"] for each in courses]),
        **_spread("queued to started", [each["started"] for each in courses]),
    }
    say(
        f"cold, {len(courses)} jobs: queued to online p50 {figures['queued to online p50']} s, p95 "
        f"{figures['queued to online p95']} s; to started p50 {figures['queued to started p50']} "
        f"s, p95 {figures['queued to started p95']} s"
    )
    before = [0.0] * len(courses)
    for stage in STAGES:
        now = [each[stage] for each in courses]
        took = [at - was for at, was in zip(now, before, strict=True)]
        figures |= _spread(f"stage {stage}", took)
        part = ", by the runner itself (baseline)" if stage == "started" else ""
        p50, p95 = figures[f"stage {stage} p50"], figures[f"stage {stage} p95"]
        say(f"    {stage:10} p50 {p50:6.2f} s, p95 {p95:6.2f} s{part}")
        before = now
    slowest = max(courses, key=lambda course: course["started"])
    moments = ", ".join(f"{stage} {slowest[stage]:.2f}" for stage in STAGES)
    say(f"    the slowest of them, seconds after it was queued: {moments}")
    return figures


def _spread(name: str, values: Sequence[float]) -> dict[str, float]:
    return {
        f"{name} p50": round(percentile(values, 0.5), 2),
        f"{name} p95": round(percentile(values, 0.95), 2),
    }


if __name__ == "__main__":
    sys.exit(main())

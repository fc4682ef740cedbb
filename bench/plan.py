"""One plan of the scaler, and one reconcile pass, at a thousand hosts and ten thousand runners.

The plan: 1,000 hosts, 10,000 runners, 5,000 waiting jobs in 400 groups, 40 pools. Baseline, in the
same process: reading every input once, which any plan must. Memory is the peak of a pass of its own
under tracemalloc, which slows what it counts. The pass: 10,000 runners on SQLite against GitHub's
list of them, planned and written, first with every row changed and then with none.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.common import environment, finish, options, percentile, run_python, say
from bench.databases import Unavailable, database
from runners.scaling import (
    Demand,
    HostRoom,
    Pacing,
    Plan,
    Policy,
    PoolView,
    RunnerView,
    ScopeView,
    Worth,
    plan,
)

HOSTS, RUNNERS, JOBS, POOLS, REPOSITORIES = 1_000, 10_000, 5_000, 40, 100
SLOTS = 12
PLAN_BUDGET_MS = 250
PASS_BUDGET_SECONDS = 10
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
SCOPE = ScopeView(1, "organization", "acme", picture_at=NOW, looked_at=NOW)
# Sixteen in twenty work, as in a fleet that 5,000 jobs wait for
WORTH = (*[Worth.BUSY] * 16, Worth.IDLE, Worth.STARTING, Worth.DRAINING, Worth.UNKNOWN)


class Picture:
    """Everything a plan takes."""

    def __init__(self) -> None:
        chance = random.Random(4)
        self.pools = [
            PoolView(
                id=number + 1,
                name=f"pool-{number}",
                scope=SCOPE,
                policy=Policy(
                    labels=frozenset({"self-hosted", "linux", f"kind-{number}"}),
                    min_idle=number % 3,
                    max_runners=1_000,
                    priority=number % 4,
                    weight=1 + number % 3,
                    sites=("eu-central", "us-east") if number % 2 else (),
                ),
            )
            for number in range(POOLS)
        ]
        self.hosts = [
            HostRoom(
                id=number + 1,
                name=f"forge-{number:04d}",
                slots=SLOTS,
                free=SLOTS - RUNNERS // HOSTS,
                site=("eu-central", "us-east", "ap-south")[number % 3],
                architecture="x64",
                refusal="cordoned" if number % 50 == 0 else "",
            )
            for number in range(HOSTS)
        ]
        self.supply = [
            RunnerView(
                id=number + 1,
                worth=WORTH[number // POOLS % len(WORTH)],
                since=NOW - timedelta(seconds=chance.randrange(90)),
                online_at=NOW - timedelta(minutes=10),
                pool_id=number % POOLS + 1,
                host_id=number % HOSTS + 1,
                scope=SCOPE,
            )
            for number in range(RUNNERS)
        ]
        each = JOBS // (POOLS * 10)
        self.demand = [
            Demand(
                scope=SCOPE,
                repository=f"acme/repo-{(pool * 10 + group) % REPOSITORIES}",
                labels=frozenset({"self-hosted", f"kind-{pool}"}),
                job_ids=tuple(range(each)),
                queued_at=(NOW - timedelta(seconds=60),) * each,
            )
            for pool in range(POOLS)
            for group in range(10)
        ]
        remaining = JOBS - sum(each.count for each in self.demand)
        first = self.demand[0]
        self.demand[0] = Demand(
            first.scope,
            first.repository,
            first.labels,
            tuple(range(each + remaining)),
            (NOW - timedelta(seconds=60),) * (each + remaining),
        )

    def plan(self) -> Plan:
        """What the live loop does at each look."""
        return plan(
            self.demand,
            self.supply,
            self.pools,
            self.hosts,
            now=NOW,
            pacing=Pacing(left=1_500, burst=200),
        )

    def read(self) -> tuple[Counter[object], Counter[object], int, int]:
        """Every input once, and nothing decided."""
        runners = Counter[object]((each.pool_id, each.worth) for each in self.supply)
        jobs = Counter[object]()
        for each in self.demand:
            jobs[each.labels] += len(each.job_ids)
        return runners, jobs, sum(host.free for host in self.hosts), len(self.pools)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the plan, then the pass, and print both against their budgets."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["--pass"]:
        print(json.dumps(_reconcile(rounds=int(arguments[1]))))
        return 0
    chosen = options(__doc__ or "", arguments)
    figures = {"plan": _measure_plan(20 if chosen.quick else 200)}
    for kind in chosen.databases:
        with tempfile.TemporaryDirectory(prefix="fleetui-bench-") as folder:
            try:
                with database(kind, Path(folder)) as url:
                    figures[f"pass, {kind}"] = _measure_pass(
                        kind, url, Path(folder), rounds=2 if chosen.quick else 10
                    )
            except Unavailable as reason:
                say(f"{kind}: skipped, {reason}")
    finish(
        chosen,
        {
            "bench": "plan",
            "figures": figures,
            "baseline": "reading every input once",
            "target_ms": PLAN_BUDGET_MS,
            "target_pass_seconds": PASS_BUDGET_SECONDS,
            "sizes": {"hosts": HOSTS, "runners": RUNNERS, "jobs": JOBS, "pools": POOLS},
        },
    )
    return 0


def _measure_plan(rounds: int) -> dict[str, float]:
    picture = Picture()
    decided = picture.plan()
    if not decided.starts or sum(verdict.demand.count for verdict in decided.verdicts) != JOBS:
        raise RuntimeError("The plan starts nothing or forgot jobs: it is not the one to measure")
    took: list[float] = []
    bare: list[float] = []
    for _ in range(rounds):
        bare.append(_timed(picture.read))
        took.append(_timed(picture.plan))
    tracemalloc.start()
    picture.plan()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    figures = {
        "rounds": rounds,
        "p50_ms": round(percentile(took, 0.5) * 1000, 1),
        "p95_ms": round(percentile(took, 0.95) * 1000, 1),
        "baseline_p50_ms": round(percentile(bare, 0.5) * 1000, 1),
        "baseline_p95_ms": round(percentile(bare, 0.95) * 1000, 1),
        "peak_mib": round(peak / 2**20, 1),
        "starts": sum(start.count for start in decided.starts),
    }
    say(
        f"plan: p50 {figures['p50_ms']} ms, p95 {figures['p95_ms']} ms (target under "
        f"{PLAN_BUDGET_MS}), reading alone {figures['baseline_p50_ms']} / "
        f"{figures['baseline_p95_ms']} ms; {figures['peak_mib']} MiB at most; "
        f"{figures['starts']} starts, {rounds} rounds"
    )
    return figures


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _measure_pass(kind: str, url: str, folder: Path, *, rounds: int) -> dict[str, float]:
    env = environment(folder, url, "bench.settings")
    run_python(env, "manage.py", "migrate", "--verbosity", "0")
    answer = run_python(env, "-m", "bench.plan", "--pass", str(rounds))
    figures: dict[str, float] = json.loads(answer.splitlines()[-1])
    say(
        f"{kind}, pass over {RUNNERS} runners: {figures['all_changed_seconds']} s with every row "
        f"changed, {figures['none_changed_seconds']} s with none (median of {rounds}; target under "
        f"{PASS_BUDGET_SECONDS}); reading the rows alone {figures['baseline_seconds']} s"
    )
    return figures


# --- in the process whose settings name the database ---------------------------------------------


def _reconcile(*, rounds: int) -> dict[str, float]:
    # Sets Django up, which needs the database's address in the environment
    from bench.fleet_data import fill  # isort: skip

    from django.db import connection

    from runners import wiring
    from runners.models import Runner, Scope
    from runners.reconcile import Summary, reconcile_scope
    from runners.registry import path_of
    from tests.fakes import FakeGitHub

    fill(hosts=HOSTS, runners=RUNNERS)
    scope = Scope.objects.get()
    github = FakeGitHub()
    Runner.objects.update(github_id=None)
    rows = list(Runner.objects.order_by("pk"))
    for row in rows:
        row.github_id = github.add_runner(
            path_of(scope),
            row.name,
            labels=("self-hosted", "linux", "x64"),
            online=True,
            busy=row.github_busy,
            version=row.runner_version,
        ).id
    Runner.objects.bulk_update(rows, ["github_id"], batch_size=200)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")

    def once() -> Summary:
        deadlines = wiring.deadlines()
        return reconcile_scope(scope, github=github, deadlines=deadlines, now=wiring.now())

    changed, same, bare = [], [], []
    for _ in range(rounds):
        Runner.objects.update(github_status="offline", github_labels=[])
        changed.append(_timed(once))
        if Runner.objects.exclude(github_status="online").exists():
            raise RuntimeError("The pass did not write what GitHub says")
        same.append(_timed(once))
        bare.append(_timed(lambda: list(Runner.objects.select_related("host"))))
    summary = once()
    if (summary.listed, summary.moved, summary.drifts) != (RUNNERS, 0, 0):
        raise RuntimeError(f"The pass is not the one to measure: {summary}")
    return {
        "all_changed_seconds": round(percentile(changed, 0.5), 2),
        "none_changed_seconds": round(percentile(same, 0.5), 2),
        "baseline_seconds": round(percentile(bare, 0.5), 2),
    }


if __name__ == "__main__":
    sys.exit(main())

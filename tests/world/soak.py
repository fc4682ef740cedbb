"""Days of a whole fleet in virtual time, with every fault there is and nobody at the keyboard.

`run` plays a `Plan` and returns a `Report`. A soak passes when every job ended by its own plan or
for a cause that was written down, nothing was left over at GitHub, on machines or in the tables,
and no operator did anything.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial

from runners import manual
from runners.models import Event, Postmortem, Runner
from tests.world import faults, invariants
from tests.world.faults import STRIKES, Faults
from tests.world.github import REPOSITORIES, JobPlan
from tests.world.world import PoolPlan, World

HOUR = 3600.0
SITES = ("north", "south", "west")


@dataclass(frozen=True)
class Plan:
    """How long, how big, how rough. `quiet_hours` is what the fleet gets to settle at the end.

    `beat_seconds` is the pace of the loop: slower than in production, which is harder on the fleet.
    """

    hours: float
    hosts: int
    jobs: int
    faults: int
    seed: int = 0
    quiet_hours: float = 3.0
    beat_seconds: float = 10.0
    check_every: int = 20


SMALL = Plan(hours=6, hosts=5, jobs=80, faults=len(STRIKES) * 2, quiet_hours=1.5)
FULL = Plan(hours=7 * 24, hosts=20, jobs=5000, faults=1500, beat_seconds=15)


@dataclass
class Report:
    """What came of it. `broken` names everything that should not be."""

    plan: Plan
    jobs_done: int = 0
    jobs_failed_own: int = 0
    jobs_lost: Counter[str] = field(default_factory=Counter)
    max_wait_seconds: float = 0.0
    median_wait_seconds: float = 0.0
    faults: dict[str, int] = field(default_factory=dict)
    kills: int = 0
    interleaved: int = 0
    repeated: int = 0
    passes: int = 0
    tasks: int = 0
    github_calls: int = 0
    runners: int = 0
    runners_failed: Counter[str] = field(default_factory=Counter)
    operator_actions: int = 0
    ghosts: int = 0
    broken: list[str] = field(default_factory=list)
    wall_seconds: float = 0.0

    def as_json(self) -> dict[str, object]:
        """For machines; sums in figures, breakages in words."""
        return {
            "hours": self.plan.hours,
            "hosts": self.plan.hosts,
            "seed": self.plan.seed,
            "jobs_done": self.jobs_done,
            "jobs_failed_by_themselves": self.jobs_failed_own,
            "jobs_lost": dict(self.jobs_lost),
            "max_wait_seconds": round(self.max_wait_seconds, 1),
            "median_wait_seconds": round(self.median_wait_seconds, 1),
            "faults_tried": sum(self.faults.values()),
            "faults": self.faults,
            "process_kills": self.kills,
            "passes_interleaved": self.interleaved,
            "tasks_repeated": self.repeated,
            "passes": self.passes,
            "tasks": self.tasks,
            "github_calls": self.github_calls,
            "runners": self.runners,
            "runners_failed": dict(self.runners_failed),
            "operator_actions": self.operator_actions,
            "ghosts": self.ghosts,
            "broken": self.broken,
            "wall_seconds": round(self.wall_seconds, 1),
        }

    def __str__(self) -> str:
        lines = [
            f"{self.plan.hours:g} virtual hours, {len(SITES)} sites, {self.plan.hosts} hosts, "
            f"seed {self.plan.seed}, in {self.wall_seconds:.0f} s",
            f"jobs: {self.jobs_done} done, {self.jobs_failed_own} failed by themselves, "
            f"{sum(self.jobs_lost.values())} lost",
            *(f"    {cause}: {count}" for cause, count in sorted(self.jobs_lost.items())),
            f"wait: median {self.median_wait_seconds:.0f} s, max {self.max_wait_seconds:.0f} s",
            f"faults: {sum(self.faults.values())} tried",
            *(f"    {name}: {self.faults.get(name, 0)}" for name in sorted(STRIKES)),
            f"our own processes killed: {self.kills}; passes interleaved: {self.interleaved}; "
            f"tasks run twice: {self.repeated}",
            f"runners: {self.runners}, of them failed:",
            *(f"    {cause}: {count}" for cause, count in sorted(self.runners_failed.items())),
            f"passes: {self.passes}; tasks: {self.tasks}; GitHub calls: {self.github_calls}",
            f"operator actions: {self.operator_actions}; ghosts: {self.ghosts}",
            *(f"BROKEN: {words}" for words in self.broken),
        ]
        return "\n".join(lines)


def run(plan: Plan) -> Report:
    """Play the plan on an empty database."""
    began = time.monotonic()
    with World(seed=plan.seed, beat_seconds=plan.beat_seconds) as world:
        pools = _fleet(world, plan)
        world.advance(300)
        struck = Faults(world)
        _order_jobs(world, plan, pools)
        _order_faults(world, plan, struck)
        broken = _live(world, plan)
        world.advance(HOUR)  # what still lasts ends by itself
        faults.calm(world)
        world.advance(plan.quiet_hours * HOUR)
        report = _report(world, plan, struck)
        report.broken = [*dict.fromkeys([*broken, *report.broken])]
    report.wall_seconds = time.monotonic() - began
    return report


def _fleet(world: World, plan: Plan) -> list[PoolPlan]:
    for number in range(plan.hosts):
        world.add_machine(
            f"host-{number:02}",
            site=SITES[number % len(SITES)],
            architecture="arm64" if number % 5 == 4 else "x64",
            slots=4,
            gpu=number % 5 == 3,
        )
    scale = max(1, plan.hosts // 5)
    pools = [
        PoolPlan("linux-x64", ("x64",), 2 * scale, 9 * scale),
        PoolPlan("linux-arm64", ("arm64",), scale, 3 * scale, architecture="arm64"),
        PoolPlan("linux-gpu", ("x64", "gpu"), scale, 2 * scale, needs_gpu=True),
        PoolPlan("linux-kept", ("x64", "kept"), scale, scale, ephemeral=False),
    ]
    for pool in pools:
        world.add_pool(pool)
    return pools


def _order_jobs(world: World, plan: Plan, pools: list[PoolPlan]) -> None:
    """Jobs come in bursts, as pushes do; some fail for their own reason."""
    left = plan.jobs
    while left:
        burst = min(left, world.random.randint(1, 25))
        at = world.random.uniform(0, plan.hours * HOUR)
        for _ in range(burst):
            (pool,) = world.random.choices(pools, (6, 2, 1, 1))
            repository = world.random.choice(REPOSITORIES)
            seconds = min(3 * HOUR, world.random.lognormvariate(5, 1))
            result = "Failed" if world.random.random() < 0.08 else "Succeeded"
            job = JobPlan(seconds, result)
            order = partial(world.github.queue_job, pool.all_labels, repository, job)
            world.later(at + world.random.uniform(0, 120), order)
        left -= burst


def _order_faults(world: World, plan: Plan, struck: Faults) -> None:
    """Every kind in turn, at moments of chance; what finds nothing to hit waits for it."""
    names = sorted(STRIKES)

    def strike(name: str) -> None:
        if not struck.strike(name) and world.time() < last:
            world.later(60, lambda: strike(name))

    last = world.time() + plan.hours * HOUR
    for number in range(plan.faults):
        name = names[number % len(names)]
        at = world.random.uniform(0, plan.hours * HOUR)
        world.later(at, partial(strike, name))


def _live(world: World, plan: Plan) -> list[str]:
    """Let the hours pass, looking now and then; stops looking once something is broken."""
    broken: list[str] = []
    steps = max(1, int(plan.hours * plan.check_every / 4))
    for _ in range(steps):
        world.advance(plan.hours * HOUR / steps)
        if not broken:
            broken = invariants.always(world)
    return broken


def _report(world: World, plan: Plan, struck: Faults) -> Report:
    server = world.server
    report = Report(
        plan,
        faults=struck.counts,
        kills=server.kills,
        interleaved=server.intrusions,
        repeated=server.repeated,
        passes=server.passes,
        tasks=server.tasks_run,
        github_calls=world.github.calls,
        runners=Runner.objects.count(),
        operator_actions=Event.objects.filter(actor_kind__in=manual.PEOPLE).count(),
    )
    waits = []
    for job in world.github.jobs():
        if job.status == "completed" and job.started_at is not None:
            waits.append(job.started_at - job.queued_at)
        own = world.github.plans[job.id].result
        if job.id in world.job_ends and job.conclusion != "success":
            report.jobs_lost[world.job_ends[job.id].cause] += 1
        elif job.conclusion == "success":
            report.jobs_done += 1
        elif job.conclusion == "failure" and own == "Failed":
            report.jobs_failed_own += 1
    waits.sort()
    if waits:
        report.max_wait_seconds, report.median_wait_seconds = waits[-1], waits[len(waits) // 2]
    report.runners_failed.update(Postmortem.objects.values_list("cause", flat=True))
    live = set(Runner.objects.live().values_list("name", flat=True))
    report.ghosts = sum(runner.name not in live for runner in world.github.ours())
    report.broken = invariants.when_calm(world) + invariants.unexplained_losses(world)
    if report.operator_actions:
        report.broken.append(f"{report.operator_actions} operator actions")
    return report

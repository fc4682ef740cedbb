"""Jobs asked for from outside: by a test, the control API or the traffic generator."""

from __future__ import annotations

from dataclasses import dataclass, field

from runners.simulator import seed, work
from runners.simulator.model import Job, JobTemplate, Step, Workflow
from runners.simulator.wire import Fields, invalid
from runners.simulator.world import World


@dataclass(frozen=True)
class JobOrder:
    """``count`` jobs alike, each in a run of its own.

    ``steps`` are shell commands; ``duration_seconds`` adds a step that sleeps; ``misbehave`` is
    what the stand-in runner does wrong on it; ``environment`` makes the job wait for an approval.
    """

    repository: str
    labels: tuple[str, ...] = ("self-hosted",)
    name: str = "build"
    workflow: str = "CI"
    steps: tuple[str, ...] = ()
    duration_seconds: float = 0
    count: int = 1
    group: str = ""
    misbehave: str = ""
    environment: str = ""
    timeout_minutes: int = 360
    env: dict[str, str] = field(default_factory=dict)
    branch: str = ""
    event: str = "push"
    actor: str = seed.ADMIN_LOGIN


def order_from(fields: Fields) -> JobOrder:
    """An order as a client of the control API writes it. Raises 422."""
    count = fields.integer("count", 1)
    if not 1 <= count <= 10_000:
        raise invalid("count: must be between 1 and 10000")
    return JobOrder(
        repository=fields.text("repository"),
        labels=tuple(fields.texts("labels", ["self-hosted"])),
        name=fields.text("name", "build"),
        workflow=fields.text("workflow", "CI"),
        steps=tuple(fields.texts("steps", [])),
        duration_seconds=fields.number("duration_seconds", 0.0),
        count=count,
        group=fields.text("group", ""),
        misbehave=fields.text("misbehave", ""),
        environment=fields.text("environment", ""),
        timeout_minutes=fields.integer("timeout_minutes", 360),
        env=fields.mapping("env"),
        branch=fields.text("branch", ""),
        event=fields.text("event", "push"),
        actor=fields.text("actor", seed.ADMIN_LOGIN),
    )


def place(world: World, order: JobOrder) -> list[Job]:
    """Queue what was ordered; answers the jobs. Raises 422 for an unknown repository."""
    repository = world.store.repository(order.repository)
    if repository is None:
        raise invalid(f"repository: {order.repository!r} does not exist")
    template = _template(order)
    workflow: Workflow | None = seed.workflow_named(world, repository, order.workflow)
    if workflow is None:
        workflow = seed.add_workflow(world, repository, order.workflow, [template])
    jobs: list[Job] = []
    for _ in range(order.count):
        run = work.create_run(
            world,
            repository,
            workflow,
            [template],
            event=order.event,
            branch=order.branch or repository.default_branch,
            actor=order.actor,
        )
        jobs += work.current_jobs(world, run)
    return jobs


def _template(order: JobOrder) -> JobTemplate:
    steps = [Step(command.splitlines()[0][:60] or "Run", command) for command in order.steps]
    if order.duration_seconds:
        steps.append(Step("Work", f"sleep {order.duration_seconds:g}"))
    return JobTemplate(
        name=order.name,
        labels=list(order.labels),
        steps=steps or [Step("Say hello", "echo hello")],
        group=order.group,
        env=dict(order.env),
        timeout_minutes=order.timeout_minutes,
        misbehave=order.misbehave,
        environment=order.environment,
    )

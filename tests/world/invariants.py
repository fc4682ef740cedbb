"""What must hold after every step, and what must hold once the world is calm; each in words.

Both return what is broken, so that a report can list everything and a test can assert none.
"""

from __future__ import annotations

from collections import Counter

from runners.models import Event, Job, Runner
from runners.states import LIVE, RunnerState
from tests.world.world import World


def always(world: World) -> list[str]:
    """What is broken right now, whatever else goes on."""
    broken = list(world.broken)
    rows = list(Runner.objects.current().with_display_state(world.now()).select_related("host"))
    broken += _display(world, rows)
    broken += _registrations(world)
    broken += _holders(world)
    missing = world.github.foreign - world.github.world.store.runners.keys()
    if missing:
        broken.append(f"{len(missing)} runners of somebody else were deleted at GitHub")
    return broken


def _display(world: World, rows: list[Runner]) -> list[str]:
    """The word on the page is the word the filter finds."""
    now = world.now()
    return [
        f"{row.name} shows {row.display_at(now)} and is filtered as {row.display}"  # type: ignore[attr-defined]
        for row in rows
        if row.display_at(now) != row.display  # type: ignore[attr-defined]
    ]


def _registrations(world: World) -> list[str]:
    """At most one registration a runner, and none that no row of ours accounts for."""
    names = Counter(runner.name.lower() for runner in world.github.ours())
    twice = [name for name, count in names.items() if count > 1]
    sessions = Counter(p.github_id for p in world.processes() if p.listening and not p.hung)
    shared = [github_id for github_id, count in sessions.items() if count > 1]
    known = {name.lower() for name in Runner.objects.values_list("name", flat=True)}
    unknown = [name for name in names if name not in known]
    return (
        [f"{name} is registered twice" for name in twice]
        + [f"registration {github_id} is served by two processes" for github_id in shared]
        + [f"{name} is registered and in no row" for name in unknown]
    )


def _holders(world: World) -> list[str]:
    """A slot has at most one holder, in the table and (orphans aside) on the machine."""
    held = Counter(
        Runner.objects.filter(slot__isnull=False).order_by().values_list("host_id", "slot")
    )
    broken = [f"slot {key} has {count} holders" for key, count in held.items() if count > 1]
    for machine in world.machines.values():
        numbers = Counter(
            slot.number
            for slot in machine.slots.values()
            if slot.process is not None and slot.process.alive
        )
        broken += [
            f"{machine.name} runs {count} processes in slot {number}"
            for number, count in numbers.items()
            if count > 1
        ]
    return broken


def no_removal_on_the_unknown(world: World, since_event: int) -> list[str]:
    """Reconcile took nothing out of service by what it could not see; for total outages only."""
    forced = ("Drain deadline",)
    events = Event.objects.filter(
        pk__gt=since_event, action="runner.removing", actor_name="reconcile"
    )
    return [
        f"{event.object_name} was taken out while GitHub was unknown: {event.reason}"
        for event in events
        if not event.reason.startswith(forced)
    ]


def when_calm(world: World) -> list[str]:
    """What is left over after faults ended and time was given."""
    rows = list(Runner.objects.select_related("host"))
    live = {row.name: row for row in rows if row.state in LIVE}
    broken = [*always(world)]
    registered = {runner.name for runner in world.github.ours()}
    processes = {process.name for process in world.processes()}
    broken += [f"{name} is a ghost: at GitHub, not wanted" for name in registered - live.keys()]
    broken += [f"{name} runs and is not wanted" for name in processes - live.keys()]
    for row in live.values():
        if row.state == RunnerState.ACTIVE and row.name not in registered:
            broken.append(f"{row.name} is active and not at GitHub (phase {row.phase})")
        if row.state == RunnerState.ACTIVE and row.name not in processes:
            broken.append(f"{row.name} is active and has no process (phase {row.phase})")
        if row.state != RunnerState.ACTIVE:
            broken.append(f"{row.name} is still {row.state} (phase {row.phase})")
    broken += [
        f"{row.name} is {row.state} and holds slot {row.slot} of {row.host} (phase {row.phase})"
        for row in rows
        if row.state in (RunnerState.REMOVED, RunnerState.FAILED) and row.slot is not None
    ]
    return broken + jobs_told(world)


def jobs_told(world: World) -> list[str]:
    """Every job has ended, and our table says of it what GitHub says."""
    ours = {
        job.github_id: job
        for job in Job.objects.only("github_id", "status", "conclusion", "runner_name")
    }
    broken = []
    for job in world.github.jobs():
        row = ours.get(job.id)
        if job.status != "completed":
            broken.append(f"job {job.id} ({job.template.labels}) is {job.status} at GitHub")
        elif row is None:
            broken.append(f"job {job.id} is not in our table")
        elif (row.status, row.conclusion) != (job.status, job.conclusion):
            broken.append(
                f"job {job.id} is {job.status} {job.conclusion} at GitHub and "
                f"{row.status} {row.conclusion} in our table"
            )
    return broken


def unexplained_losses(world: World) -> list[str]:
    """Jobs that did not end by their own plan and of which nobody wrote down why."""
    expected = {"Succeeded": "success", "Failed": "failure"}
    return [
        f"job {job.id} ended as {job.conclusion} on {job.runner_name or 'no runner'}: "
        f"{job.log[-1:]}"
        for job in world.github.jobs()
        if job.status == "completed"
        and job.conclusion != expected[world.github.plans[job.id].result]
        and job.id not in world.job_ends
    ]

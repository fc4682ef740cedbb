"""Everything that may go wrong, by name. A fault strikes once and, where it lasts, ends by itself.

`STRIKES` is the whole list: a soak that leaves one out says so by its count of 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from runners.models import Scope
from runners.models.process import Lease
from runners.simulator import seed as simulator_seed
from runners.simulator.faults import Fault
from runners.simulator.versions import is_older
from tests.world.listener import Listener
from tests.world.machine import Machine
from tests.world.world import World

MINUTE = 60.0
Strike = Callable[[World], bool]
"""Lets one fault happen; False where there is nothing it could hit."""


@dataclass
class Faults:
    """Strikes faults on a world and counts them by name."""

    world: World
    counts: dict[str, int] = field(default_factory=dict)

    def strike(self, name: str) -> bool:
        """Let one fault happen; False where there is nothing it could hit."""
        hit = STRIKES[name](self.world)
        if hit:
            self.counts[name] = self.counts.get(name, 0) + 1
        return hit

    def strike_any(self) -> str:
        """One at random; its name, "" when it hit nothing."""
        name = self.world.random.choice(sorted(STRIKES))
        return name if self.strike(name) else ""


def calm(world: World) -> None:
    """Every fault ends: networks are back, machines up, hung processes go on."""
    world.github.faults.clear()
    world.reachable = True
    server = world.server
    server.fuse, server.intruder, server.lose_answers, server.repeat_tasks = None, None, 0, 0
    server.worker_down_until = 0.0
    for machine in world.machines.values():
        machine.disk_full, machine.clock_offset_seconds = False, 0.0
        if not machine.powered:
            machine.boot()
        if not machine.network:
            machine.reconnect()
        machine.start_agent()
        for process in list(machine.processes):
            if process.hung:
                process.wake()
                process.poll()
        machine.converge_all()


# --- GitHub ------------------------------------------------------------------------------------


def _misbehave(fault: Callable[[World], Fault], least: float, most: float) -> Strike:
    def strike(world: World) -> bool:
        added = world.github.fault(fault(world))
        seconds = world.random.uniform(least, most)
        world.later(seconds, lambda: world.github.faults.clear(added.id))
        return True

    return strike


def _status(status: int) -> Callable[[World], Fault]:
    return lambda world: Fault("status", status=status, probability=world.random.choice((0.5, 1.0)))


def _github_unreachable(world: World) -> bool:
    world.reachable = False

    def back() -> None:
        world.reachable = True

    world.later(world.random.uniform(30, 60 * MINUTE), back)
    return True


def _few(kind: str, path: str = "", method: str = "") -> Callable[[World], Fault]:
    return lambda world: Fault(kind, path=path, method=method, count=world.random.randint(1, 4))


def _webhooks(kind: str, seconds: float = 0) -> Callable[[World], Fault]:
    return lambda world: Fault(kind, count=world.random.randint(1, 12), seconds=seconds)


# --- machines ----------------------------------------------------------------------------------


def _some_machine(world: World) -> Machine | None:
    well = [
        machine
        for machine in world.machines.values()
        if machine.online and machine.agent_alive and not machine.disk_full
    ]
    return world.random.choice(well) if well else None


def _on_machine(hit: Callable[[World, Machine], None]) -> Strike:
    def strike(world: World) -> bool:
        machine = _some_machine(world)
        if machine is not None:
            hit(world, machine)
        return machine is not None

    return strike


def _silent(world: World, machine: Machine) -> None:
    seconds = world.random.choice((20.0, 3 * MINUTE, 20 * MINUTE, 3 * 60 * MINUTE))
    for process in machine.processes:
        if process.job_id:
            world.note_job_ended(process.job_id, process, "network cut")
    machine.cut()

    world.later(seconds, machine.reconnect)


def _agent_killed(world: World, machine: Machine) -> None:
    machine.kill_agent()
    world.later(world.random.uniform(1, 10 * MINUTE), machine.start_agent)


def _rebooted(world: World, machine: Machine) -> None:
    machine.power_off("host rebooted")
    world.later(world.random.uniform(30, 15 * MINUTE), machine.boot)


def _state_lost(world: World, machine: Machine) -> None:
    machine.lose_state()
    world.later(world.random.uniform(5, 2 * MINUTE), machine.start_agent)


def _disk_full(world: World, machine: Machine) -> None:
    machine.disk_full = True

    def freed() -> None:
        machine.disk_full = False
        for slot in machine.slots.values():
            slot.recorded = True
        machine.converge_all()

    world.later(world.random.uniform(MINUTE, 60 * MINUTE), freed)


def _clock_jump(world: World, machine: Machine) -> None:
    machine.clock_offset_seconds = world.random.choice((-86400.0, -300.0, 300.0, 86400.0))

    def mended() -> None:
        machine.clock_offset_seconds = 0.0

    world.later(world.random.uniform(MINUTE, 120 * MINUTE), mended)


# --- runner processes --------------------------------------------------------------------------


def _on_process(
    which: Callable[[Listener], bool], hit: Callable[[World, Listener], None]
) -> Strike:
    def strike(world: World) -> bool:
        found = [process for process in world.processes() if which(process)]
        if found:
            hit(world, world.random.choice(found))
        return bool(found)

    return strike


def _idle(process: Listener) -> bool:
    return process.listening and not process.job_id and not process.hung


def _busy(process: Listener) -> bool:
    return bool(process.job_id) and not process.hung


def _hang(world: World, process: Listener) -> None:
    if process.job_id:
        world.note_job_ended(process.job_id, process, "runner hung")
    process.hung = True


def _version_deprecated(world: World) -> bool:
    """GitHub publishes a version and refuses the one so far from an hour later on."""
    github = world.github.world
    was = github.settings.runner_version
    major, minor, patch = was.split(".")
    new = f"{major}.{int(minor) + 1}.{patch}"
    now = world.time()
    simulator_seed.publish(github, new, now)
    github.settings.runner_version = new
    for release in github.store.releases.values():
        if is_older(release.version, new) and release.runtime_deprecates_at is None:
            release.runtime_deprecates_at = now + 3600
    return True


def _refused(world: World) -> Fault:
    path, status = world.random.choice((("generate-jitconfig", 403), ("generate-jitconfig", 422)))
    return Fault("status", path=path, status=status, count=world.random.randint(1, 6))


# --- our own processes -------------------------------------------------------------------------


def _killed(world: World) -> bool:
    world.server.fuse = world.random.randint(1, 80)
    return True


def _worker_down(world: World) -> bool:
    world.server.worker_down_until = world.time() + world.random.uniform(5, 20 * MINUTE)
    return True


def _twice(world: World) -> bool:
    world.server.repeat_tasks = world.random.randint(1, 5)
    return True


def _lost_answers(world: World) -> bool:
    world.server.lose_answers = world.random.randint(1, 4)
    return True


def _two_workers(world: World) -> bool:
    """While one worker waits for GitHub, another runs whole tasks and a host reports."""
    server = world.server

    def other() -> None:
        if world.in_transaction():
            return
        for task in ("scale_pools", "sweep_hosts"):
            server.run_now(f"runners.tasks.{task}")
        for pk in Scope.objects.values_list("pk", flat=True):
            server.run_now("runners.tasks.reconcile_scope", pk)
            server.run_now("runners.tasks.poll_jobs", pk)
        machine = _some_machine(world)
        if machine is not None:
            machine.talk()

    server.intruder, server.intruder_after = other, world.random.randint(0, 12)
    return True


def _overtaken(world: World) -> bool:
    """The lease of a slow pass runs out, so that two passes work at once."""
    server = world.server

    def other() -> None:
        if world.in_transaction():
            return
        Lease.objects.update(expires_at=world.now())
        for pk in Scope.objects.values_list("pk", flat=True):
            server.run_now("runners.tasks.reconcile_scope", pk)

    server.intruder, server.intruder_after = other, world.random.randint(0, 12)
    return True


STRIKES: dict[str, Strike] = {
    "github: 5xx": _misbehave(_status(502), 20, 20 * MINUTE),
    "github: 401": _misbehave(_status(401), 20, 10 * MINUTE),
    "github: secondary limit": _misbehave(
        lambda world: Fault("secondary_limit", count=3, seconds=60), 20, 10 * MINUTE
    ),
    "github: primary limit": _misbehave(_few("primary_limit"), 20, 10 * MINUTE),
    "github: no answer": _misbehave(_few("hang"), 20, 10 * MINUTE),
    "github: unreachable": _github_unreachable,
    "github: answer cut": _misbehave(_few("truncate"), 20, 10 * MINUTE),
    "github: empty page": _misbehave(_few("empty_page", "actions/runners"), 20, 10 * MINUTE),
    "github: answer lost": _misbehave(_few("lost_response"), 20, 10 * MINUTE),
    "github: answer to registration lost": _misbehave(
        _few("lost_response", "generate-jitconfig", "POST"), 60, 30 * MINUTE
    ),
    "github: answer to deletion lost": _misbehave(
        _few("lost_response", "actions/runners", "DELETE"), 60, 30 * MINUTE
    ),
    "github: clock skew": _misbehave(
        lambda world: Fault("clock_skew", seconds=600.0), 60, 60 * MINUTE
    ),
    "webhook: dropped": _misbehave(_webhooks("webhook_drop"), 60, 60 * MINUTE),
    "webhook: vanished": _misbehave(_webhooks("webhook_vanish"), 60, 60 * MINUTE),
    "webhook: twice": _misbehave(_webhooks("webhook_duplicate"), 60, 60 * MINUTE),
    "webhook: reordered": _misbehave(_webhooks("webhook_reorder"), 60, 60 * MINUTE),
    "webhook: late": _misbehave(_webhooks("webhook_late", 15 * MINUTE), 60, 60 * MINUTE),
    "host: network cut": _on_machine(_silent),
    "host: agent killed": _on_machine(_agent_killed),
    "host: rebooted": _on_machine(_rebooted),
    "host: state lost": _on_machine(_state_lost),
    "host: disk full": _on_machine(_disk_full),
    "host: clock jump": _on_machine(_clock_jump),
    "runner: crash idle": _on_process(_idle, lambda world, p: p.kill("crash", 1)),
    "runner: crash busy": _on_process(_busy, lambda world, p: p.kill("runner crashed", 137)),
    "runner: hangs": _on_process(lambda p: _idle(p) or _busy(p), _hang),
    "runner: exits early": _on_process(_idle, lambda world, p: p.stop()),
    "runner: version deprecated": _version_deprecated,
    "runner: registration refused": _misbehave(_refused, 60, 20 * MINUTE),
    "server: killed inside": _killed,
    "server: worker down": _worker_down,
    "server: task twice": _twice,
    "server: two workers": _two_workers,
    "server: lease overtaken": _overtaken,
    "server: answer to agent lost": _lost_answers,
}
"""Fault by name."""

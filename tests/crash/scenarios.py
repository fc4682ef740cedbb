"""What processes are ended in: each step of a runner's life, done by web or by the worker."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.urls import reverse

from runners import enrolment, fleet, maintenance, wiring
from runners.audit import Actor
from runners.drift_kinds import DriftKind
from runners.github.types import RunnerApplication
from runners.github.webhooks import sign
from runners.models import Drift, Event, Host, Pool, Runner, RunnerPackage, Scope
from tests.crash.world import World
from tests.factories import PoolFactory

Step = Callable[[World], None]
WEBHOOK_SECRET = "It's a Secret to Everybody"
BY = Actor(Event.ActorKind.USER, "ada")


@dataclass(frozen=True)
class Scenario:
    """`prepare` leads up to the step, `act` is the step in which the process ends."""

    name: str
    prepare: Step
    act: Step


def nothing(world: World) -> None:
    """An enrolled host, a scope, and no runner."""


def five_slots(world: World) -> None:
    """An enrolled host that takes five runners, and none yet."""
    Host.objects.update(slots=5)


def wanted(world: World) -> None:
    """One runner provisioned, and the host told of it."""
    world.provision()
    world.machine.beat()


def wanted_persistent(world: World) -> None:
    """The same of a persistent one."""
    world.provision(persistent=True)
    world.machine.beat()


def registered(world: World) -> None:
    """One runner listening; neither the host nor GitHub's list told of it yet."""
    wanted(world)
    world.machine.converge()


def started(world: World) -> None:
    """The same, and the host told of it."""
    registered(world)
    world.machine.beat()


def idle(world: World) -> None:
    """One runner that counts."""
    world.provision()
    world.rounds(2)


def idle_persistent(world: World) -> None:
    """One persistent runner that counts."""
    world.provision(persistent=True)
    world.rounds(2)


def busy(world: World) -> None:
    """One runner with a job, known to all."""
    idle(world)
    world.start_job(world.running()[0])
    world.round()


def one_busy_one_idle(world: World) -> None:
    """Two runners, the first with a job."""
    world.provision(2)
    world.rounds(2)
    world.start_job(world.running()[0])
    world.round()


def job_over(world: World) -> None:
    """A runner whose one job ended; its host has not said so."""
    busy(world)
    world.end_job(world.running()[0])


def job_over_and_told(world: World) -> None:
    """The same, and the host has said so."""
    job_over(world)
    world.machine.beat()


def job_over_and_draining(world: World) -> None:
    """A persistent runner drained in its job, which ended."""
    idle_persistent(world)
    world.start_job(world.running()[0])
    world.round()
    drain(world)
    world.round()
    world.end_job(world.running()[0])


def crashed(world: World) -> None:
    """A runner that died while idle; its host has not said so."""
    idle(world)
    world.machine.crash(world.running()[0])


def crashed_and_told(world: World) -> None:
    """The same, and the host has said so and was told to clean up."""
    crashed(world)
    world.machine.turn()


def failed_and_due(world: World) -> None:
    """A runner that failed, whose replacement may start."""
    crashed_and_told(world)
    world.pass_time(60)
    reconcile(world)
    assert Runner.objects.filter(replace_at__lte=world.now).exists()


def ghost(world: World) -> None:
    """A registration with our mark and no runner, known for long enough to be mended."""
    idle(world)
    mark = fleet.get().owner_mark
    world.github.add_runner(world.path, "left-behind", labels=["self-hosted", mark])
    reconcile(world)
    world.pass_time(61)
    assert Drift.objects.filter(kind=DriftKind.GHOST).exists()


def round_of_maintenance(world: World) -> None:
    """An idle runner on the one host of a round that has just begun."""
    idle(world)
    plan = maintenance.Plan(reason="kernel", hosts=[world.host])
    maintenance.start(plan, by=BY, now=world.now)


def draining(world: World) -> None:
    """An idle runner asked to leave."""
    idle(world)
    drain(world)


def removing(world: World) -> None:
    """A runner deleted at GitHub and ended on its host, which has not said so."""
    draining(world)
    world.beat()
    world.machine.beat()
    world.machine.converge()


def removing_unknown_to_github(world: World) -> None:
    """A runner forced out of which the host has let go, while GitHub still has it."""
    busy(world)
    force(world)
    world.machine.turn()


def overdue(world: World) -> None:
    """A busy runner whose drain has a deadline, and it is past."""
    busy(world)
    world.submit("runner-drain", world.only().pk, deadline_minutes=15, reason="now")
    world.pass_time(15 * 60 + 1)
    world.machine.beat()


def lost_answer(world: World) -> None:
    """A runner made at GitHub whose answer never came to us: the name is taken."""
    wanted(world)
    world.github.add_runner(world.path, world.only().name, labels=[fleet.owner_mark()])


def label_wish(world: World) -> None:
    """New labels of a persistent runner, waiting for the worker."""
    idle_persistent(world)
    edit_labels(world)


def short_pool(world: World) -> None:
    """A pool that keeps two ready and has none."""
    PoolFactory(name="linux", scope=world.scope, min_idle=2, max_runners=3)


def pool_with_one_too_many(world: World) -> None:
    """A pool that needs none and has one, idle for long."""
    idle_persistent(world)
    pool = PoolFactory(name="linux", scope=world.scope)
    now = wiring.now()
    long_ago = now - timedelta(hours=1)
    Runner.objects.update(pool=pool, online_at=long_ago, state_changed_at=long_ago)
    Scope.objects.update(jobs_polled_at=now, jobs_swept_at=now)


def short_pool_held_back(world: World) -> None:
    """A pool whose last start failed, with one on its way again."""
    short_pool(world)
    Pool.objects.update(consecutive_failures=2)
    world.beat()
    world.machine.turn()


def secret_set(world: World) -> None:
    """A scope that expects webhooks."""
    Scope.objects.update(webhook_secret_encrypted=wiring.vault().encrypt(WEBHOOK_SECRET))


def delivered(*actions: str) -> Step:
    """Deliveries accepted, waiting for the worker."""

    def prepare(world: World) -> None:
        secret_set(world)
        idle(world)
        for action in actions:
            deliver(world, action)

    return prepare


def jobs_at_github(world: World) -> None:
    """One job that waits and one that ran between two polls."""
    idle(world)
    world.github.add_job(world.github.add_run("acme/web"), name="waiting")
    world.start_job(world.running()[0])
    world.end_job(world.running()[0])


def silent_host(world: World) -> None:
    """A host that has said nothing for longer than it may."""
    idle(world)
    world.pass_time(100)


def silent_and_noted(world: World) -> None:
    """The same, and it was noted."""
    silent_host(world)
    world.beat()


def no_packages(world: World) -> None:
    """A scope whose packages are not known, and a runner that waits for one."""
    RunnerPackage.objects.all().delete()
    world.github.applications = (
        RunnerApplication(
            os="linux",
            architecture="x64",
            download_url="https://example.com/actions-runner-linux-x64-2.336.0.tar.gz",
            filename="actions-runner-linux-x64-2.336.0.tar.gz",
            sha256_checksum="0" * 64,
        ),
    )
    world.provision()


def token_wish(world: World) -> None:
    """A host whose token is to be changed."""
    idle(world)
    enrolment.ask_token_rotation(world.host, by=BY, now=world.now)


# What web does.


def provision_one(world: World) -> None:
    world.provision()


def provision_five(world: World) -> None:
    world.provision(5)


def provision_persistent(world: World) -> None:
    world.provision(persistent=True)


def drain(world: World) -> None:
    world.submit("runner-drain", Runner.objects.order_by("slot")[0].pk, reason="drained")


def stop_drain(world: World) -> None:
    world.submit("runner-stop-drain", world.only().pk)


def deregister(world: World) -> None:
    world.submit("runner-deregister", world.only().pk, how="when-done", reason="old")


def force(world: World) -> None:
    runner = world.only()
    world.submit("runner-deregister", runner.pk, how="now", reason="stuck", name=runner.name)


def edit_labels(world: World) -> None:
    world.submit("runner-labels", world.only().pk, labels="self-hosted, linux, x64, big")


def cordon_and_drain(world: World) -> None:
    world.submit("host-drain", world.host.name, reason="away")


def host_beats(world: World) -> None:
    world.machine.beat()


def host_turns(world: World) -> None:
    world.machine.turn()


def asks_for_secret(world: World) -> None:
    world.machine.converge()


def workflow_job(world: World, action: str) -> dict[str, Any]:
    """What GitHub tells of a job."""
    name = world.running()[0].name if world.running() else ""
    started = action != "queued"
    job = {
        "id": 77,
        "run_id": 7,
        "run_attempt": 1,
        "name": "told",
        "workflow_name": "CI",
        "status": action,
        "conclusion": "success" if action == "completed" else None,
        "labels": ["self-hosted"],
        "runner_name": name if started else None,
        "created_at": world.now.isoformat(),
        "started_at": world.now.isoformat() if started else None,
        "completed_at": world.now.isoformat() if action == "completed" else None,
    }
    return {"action": action, "workflow_job": job, "repository": {"full_name": "acme/web"}}


def deliver(world: World, action: str) -> None:
    """GitHub posts a workflow_job event; a person has it sent again when it got no answer."""
    body = json.dumps(workflow_job(world, action)).encode()
    headers = {
        "X-GitHub-Event": "workflow_job",
        "X-GitHub-Delivery": f"guid-{action}",
        "X-GitHub-Hook-ID": "9",
        "X-Hub-Signature-256": sign(WEBHOOK_SECRET, body),
    }
    url = reverse("webhook-receive", args=[world.scope.pk])

    def send() -> None:
        answer = world.agent.post(url, body, content_type="application/json", headers=headers)
        assert answer.status_code in (200, 202), answer.content

    world.unanswered.append(send)
    send()
    world.unanswered.remove(send)


def receive_webhook(world: World) -> None:
    deliver(world, "queued")


# What the worker does.


def reconcile(world: World) -> None:
    world.run_task("runners.tasks.reconcile_scope", world.scope.pk)


def queue_due(world: World) -> None:
    world.run_task("runners.tasks.reconcile_due_scopes")


def poll_jobs(world: World) -> None:
    world.run_task("runners.tasks.poll_jobs", world.scope.pk)


def push_labels(world: World) -> None:
    world.run_task("runners.tasks.push_labels", world.only().pk)


def scale(world: World) -> None:
    world.run_task("runners.tasks.scale_pools")


def replace(world: World) -> None:
    world.run_task("runners.tasks.replace_failed")


def sweep(world: World) -> None:
    world.run_task("runners.tasks.sweep_hosts")


def process_deliveries(world: World) -> None:
    world.run_task("runners.tasks.take_in_deliveries", world.scope.pk)


def whole_beat(world: World) -> None:
    world.beat()


def drain_with_deadline(world: World) -> None:
    world.submit("runner-drain", world.only().pk, deadline_minutes=60, reason="soon")
    assert world.only().drain_deadline_at == world.now + timedelta(minutes=60)


SCENARIOS = (
    Scenario("web: provision one", nothing, provision_one),
    Scenario("web: provision five", five_slots, provision_five),
    Scenario("web: provision persistent", nothing, provision_persistent),
    Scenario("web: drain an idle runner", idle, drain),
    Scenario("web: drain with a deadline", busy, drain_with_deadline),
    Scenario("web: stop a drain", draining, stop_drain),
    Scenario("web: deregister an idle runner", idle, deregister),
    Scenario("web: deregister a failed runner", crashed_and_told, deregister),
    Scenario("web: force a busy runner", busy, force),
    Scenario("web: drain a host", one_busy_one_idle, cordon_and_drain),
    Scenario("web: edit labels", idle_persistent, edit_labels),
    Scenario("web: heartbeat of a runner that listens", registered, host_beats),
    Scenario("web: heartbeat of a job's end", job_over, host_beats),
    Scenario("web: heartbeat of a crash", crashed, host_beats),
    Scenario("web: heartbeat of a runner that is gone", removing, host_beats),
    Scenario("web: heartbeat of a host that was silent", silent_and_noted, host_beats),
    Scenario("web: heartbeat with a new token", token_wish, host_turns),
    Scenario("web: JIT config", wanted, asks_for_secret),
    Scenario("web: JIT config, name taken", lost_answer, asks_for_secret),
    Scenario("web: registration token", wanted_persistent, asks_for_secret),
    Scenario("web: webhook", secret_set, receive_webhook),
    Scenario("worker: queue what is due", started, queue_due),
    Scenario("worker: pass, runner comes online", started, reconcile),
    Scenario("worker: pass, pool's runner comes online", short_pool_held_back, reconcile),
    Scenario("worker: pass, answer of the JIT config lost", lost_answer, reconcile),
    Scenario("worker: pass, drain of an idle runner", draining, reconcile),
    Scenario("worker: pass, drain deadline", overdue, reconcile),
    Scenario("worker: pass, drained job over", job_over_and_draining, reconcile),
    Scenario("worker: pass, one job over", job_over_and_told, reconcile),
    Scenario("worker: pass, host let go first", removing_unknown_to_github, reconcile),
    Scenario("worker: pass, failed runner", crashed_and_told, reconcile),
    Scenario("worker: pass, packages", no_packages, reconcile),
    Scenario("worker: edit labels", label_wish, push_labels),
    Scenario("worker: scale a short pool", short_pool, scale),
    Scenario("worker: let a pool's idle runner go", pool_with_one_too_many, scale),
    Scenario(
        "worker: job told from queue to end", delivered("queued", "completed"), process_deliveries
    ),
    Scenario("worker: job told late", delivered("in_progress", "queued"), process_deliveries),
    Scenario("worker: poll jobs", jobs_at_github, poll_jobs),
    Scenario("worker: pass, ghost", ghost, reconcile),
    Scenario("worker: replace a failed runner", failed_and_due, replace),
    Scenario("worker: begin maintenance of a host", round_of_maintenance, sweep),
    Scenario("worker: note a silent host", silent_host, sweep),
    Scenario("worker: whole beat, one busy and one drained", one_busy_one_idle, whole_beat),
)

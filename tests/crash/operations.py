"""Further steps that processes are ended in: what operators do to the fleet, its hosts, pools and
rounds of maintenance, and what the loop has done now and then."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

from runners import (
    drift,
    drift_cleanup,
    enrolment,
    fleet,
    maintenance,
    pool_policy,
    pools,
    recovery,
    wiring,
)
from runners.drift_kinds import DriftKind
from runners.github.types import Delivery
from runners.models import Credential, Drift, Host, Job, Maintenance, Pool, Runner, Scope
from tests.crash.scenarios import (
    BY,
    WEBHOOK_SECRET,
    Scenario,
    Step,
    crashed_and_told,
    idle,
    job_over_and_told,
    nothing,
    reconcile,
    round_of_maintenance,
    secret_set,
    short_pool,
    workflow_job,
)
from tests.crash.world import World
from tests.factories import NOW, PoolFactory, RunnerFactory

# What leads up.


def quiesced(world: World) -> None:
    """A runner held back by a fleet that lets none in."""
    world.provision()
    quiesce(world)


def foreign(world: World) -> None:
    """Somebody else's runner, known."""
    world.github.add_runner(world.path, "theirs", labels=["self-hosted"])
    reconcile(world)
    assert Drift.objects.filter(kind=DriftKind.FOREIGN).exists()


def two_ghosts(world: World) -> None:
    """Two offline registrations with our mark and no runner, just found."""
    for name in ("left-1", "left-2"):
        world.github.add_runner(world.path, name, labels=[fleet.get().owner_mark])
    reconcile(world)
    assert Drift.objects.filter(kind=DriftKind.GHOST).count() == 2


def round_paused(world: World) -> None:
    """A round that takes no further host out."""
    round_of_maintenance(world)
    pause_round(world)


def round_on_its_host(world: World) -> None:
    """A round whose host is out and waits for the work."""
    round_of_maintenance(world)
    world.rounds(3)
    assert Host.objects.get().cordoned


def cordoned(world: World) -> None:
    """A host that is given no more."""
    cordon(world)


def runner_in_quarantine(world: World) -> None:
    """A runner that crashed too often."""
    RunnerFactory(
        host=world.host,
        scope=world.scope,
        failed=True,
        slot=None,
        github_id=None,
        quarantined_at=NOW,
    )


def host_in_quarantine(world: World) -> None:
    """A host whose runners kept failing, and a pool that wants one there."""
    short_pool(world)
    Host.objects.update(quarantined_at=NOW, consecutive_failures=10)


def pool_in_quarantine(world: World) -> None:
    """A pool whose runners kept failing."""
    short_pool(world)
    Pool.objects.update(quarantined_at=NOW, consecutive_failures=10)


def empty_pool(world: World) -> None:
    """A pool that keeps nothing ready."""
    PoolFactory(name="linux", scope=world.scope, max_runners=2)


def paused_pool(world: World) -> None:
    """A pool that wants runners and may not."""
    short_pool(world)
    pause_pool(world)


def unserved_pool(world: World) -> None:
    """A pool that no host can serve; the loop watches it."""
    PoolFactory(name="arm", scope=world.scope, architecture="arm64")
    world.also = ("watch_pools",)


def job_to_settle(world: World) -> None:
    """A job that is over; the loop keeps its history."""
    job_over_and_told(world)
    world.rounds(2)
    assert Job.objects.filter(status=Job.Status.COMPLETED).exists()
    world.also = ("keep_history",)


def failed_long_ago(world: World) -> None:
    """A failed runner that was replaced and shown for long enough."""
    crashed_and_told(world)
    world.rounds(4)
    world.pass_time(wiring.keep_failed().total_seconds())
    world.also = ("close_failed",)


def delivery_lost(world: World) -> None:
    """GitHub sent a delivery that never arrived."""
    secret_set(world)
    Scope.objects.update(created_at=NOW - timedelta(days=1))
    address = wiring.webhook_address(world.scope)
    hook = world.github.create_webhook(
        world.path, url=address, secret=WEBHOOK_SECRET, events=["workflow_job"]
    )
    world.github.payloads["guid-lost"] = json.dumps(workflow_job(world, "queued"))
    world.github.add_delivery(
        world.path,
        hook.id,
        Delivery(
            id=1,
            guid="guid-lost",
            delivered_at=NOW - timedelta(minutes=2),
            redelivery=False,
            duration_seconds=0.1,
            status="failed to connect to host",
            status_code=0,
            event="workflow_job",
            action="queued",
            repository_id=1,
            throttled_at=None,
        ),
    )


def code_issued(world: World) -> None:
    """A machine has the one-time code with which it may join."""
    _, token = enrolment.issue_code(by=BY, now=world.now, minutes=30)
    world.code = token.text


# What web does.


def quiesce(world: World) -> None:
    world.submit("fleet-quiesce", reason="moving")


def resume(world: World) -> None:
    world.submit("fleet-resume")


def adopt(world: World) -> None:
    drift.adopt(Drift.objects.get(), by=BY, reason="the old tool is gone", now=world.now)


def clean_up_ghosts(world: World) -> None:
    keys = list(Drift.objects.values_list("pk", flat=True))
    drift_cleanup.clean_up(keys, by=BY, reason="tidy", now=world.now)


def mend_nothing_unasked(world: World) -> None:
    drift.set_auto_kinds((), by=BY, now=world.now)


def start_round(world: World) -> None:
    maintenance.start(maintenance.Plan([world.host], "kernel"), by=BY, now=world.now)


def pause_round(world: World) -> None:
    world.submit("maintenance-pause", Maintenance.objects.get().pk)


def resume_round(world: World) -> None:
    world.submit("maintenance-resume", Maintenance.objects.get().pk)


def stop_round(world: World) -> None:
    world.submit("maintenance-stop", Maintenance.objects.get().pk)


def skip_host(world: World) -> None:
    world.submit("maintenance-skip", Maintenance.objects.get().hosts.get().pk)


def confirm_done(world: World) -> None:
    world.submit("maintenance-done", Maintenance.objects.get().hosts.get().pk)


def cordon(world: World) -> None:
    enrolment.cordon(Host.objects.get(), by=BY, reason="look", now=world.now)


def uncordon(world: World) -> None:
    enrolment.uncordon(Host.objects.get(), by=BY, reason="seen", now=world.now)


def set_slots(world: World) -> None:
    enrolment.set_slots(Host.objects.get(), 2, by=BY, reason="small", now=world.now)


def ask_token_rotation(world: World) -> None:
    enrolment.ask_token_rotation(Host.objects.get(), by=BY, now=world.now)


def retire(world: World) -> None:
    enrolment.retire(Host.objects.get(), by=BY, reason="sold", now=world.now)


def enrol(world: World) -> None:
    """A machine joins; it asks again when it got no answer."""
    message = {"protocol": 1, "code": world.code, "name": "kiln-01", "facts": {}}

    def send() -> None:
        answer = world.post("/api/agent/enrol", message, "")
        assert answer.status_code == 201, answer.content

    world.unanswered.append(send)
    send()
    world.unanswered.remove(send)


def release_runner(world: World) -> None:
    recovery.release_runner(Runner.objects.get(), by=BY, reason="mended", now=world.now)


def release_host(world: World) -> None:
    recovery.release_host(Host.objects.get(), by=BY, reason="mended", now=world.now)


def release_pool(world: World) -> None:
    recovery.release_pool(Pool.objects.get(), by=BY, reason="mended", now=world.now)


def make_pool(world: World) -> None:
    policy = pool_policy.Policy(
        scope=world.scope, name="big", labels=("linux", "big"), min_idle=0, max_runners=2
    )
    pool_policy.create(policy, by=BY, now=world.now)


def change_pool(world: World) -> None:
    pool = Pool.objects.get()
    policy = replace(pool_policy.policy_of(pool), min_idle=1)
    pool_policy.change(pool, policy, by=BY, reason="more", now=world.now)


def remove_pool(world: World) -> None:
    pool_policy.remove(Pool.objects.get(), by=BY, reason="unused", now=world.now)


def one_more(world: World) -> None:
    pools.start_now(Pool.objects.get(), by=BY, reason="now", now=world.now)


def pause_pool(world: World) -> None:
    pools.pause(Pool.objects.get(), by=BY, reason="costs", now=world.now)


def resume_pool(world: World) -> None:
    pools.resume(Pool.objects.get(), by=BY, reason="", now=world.now)


# What the worker does.


def check_credential(world: World) -> None:
    world.run_task("runners.tasks.check_credential_by_id", Credential.objects.get().pk)


def replay_deliveries(world: World) -> None:
    world.run_task("runners.tasks.replay_deliveries", world.scope.pk)


def task(name: str) -> Step:
    """One of the loop's tasks that takes nothing."""

    def act(world: World) -> None:
        world.run_task(f"runners.tasks.{name}")

    return act


OPERATIONS = (
    Scenario("web: quiesce the fleet", nothing, quiesce),
    Scenario("web: resume the fleet", quiesced, resume),
    Scenario("web: adopt somebody else's runner", foreign, adopt),
    Scenario("web: clean up two ghosts", two_ghosts, clean_up_ghosts),
    Scenario("web: choose what is mended unasked", nothing, mend_nothing_unasked),
    Scenario("web: begin a round", nothing, start_round),
    Scenario("web: pause a round", round_of_maintenance, pause_round),
    Scenario("web: resume a round", round_paused, resume_round),
    Scenario("web: stop a round", round_on_its_host, stop_round),
    Scenario("web: skip a host of a round", round_on_its_host, skip_host),
    Scenario("web: confirm the work on a host", round_on_its_host, confirm_done),
    Scenario("web: cordon a host", nothing, cordon),
    Scenario("web: uncordon a host", cordoned, uncordon),
    Scenario("web: change a host's slots", nothing, set_slots),
    Scenario("web: ask for a new token", nothing, ask_token_rotation),
    Scenario("web: retire a host", idle, retire),
    Scenario("web: enrol a machine", code_issued, enrol),
    Scenario("web: release a runner", runner_in_quarantine, release_runner),
    Scenario("web: release a host", host_in_quarantine, release_host),
    Scenario("web: release a pool", pool_in_quarantine, release_pool),
    Scenario("web: make a pool", nothing, make_pool),
    Scenario("web: change a pool", empty_pool, change_pool),
    Scenario("web: remove a pool", empty_pool, remove_pool),
    Scenario("web: one more now", empty_pool, one_more),
    Scenario("web: pause a pool", short_pool, pause_pool),
    Scenario("web: resume a pool", paused_pool, resume_pool),
    Scenario("worker: check a credential", nothing, check_credential),
    Scenario("worker: find a lost delivery", delivery_lost, replay_deliveries),
    Scenario("worker: look at jobs", secret_set, task("watch_jobs")),
    Scenario("worker: watch a pool", unserved_pool, task("watch_pools")),
    Scenario("worker: keep a job's history", job_to_settle, task("keep_history")),
    Scenario("worker: close a failed runner", failed_long_ago, task("close_failed")),
)

"""The virtual world lives as the real one does, and its proofs can fail."""

from collections.abc import Iterator
from datetime import datetime

import pytest

from runners.models import Host, Postmortem, Runner
from runners.states import RunnerState
from tests.world import invariants
from tests.world.faults import Faults
from tests.world.github import SCOPE, JobPlan
from tests.world.server import Killed
from tests.world.world import PoolPlan, World

pytestmark = pytest.mark.django_db(transaction=True)

X64 = PoolPlan("linux-x64", ("x64",), min_idle=2, max_runners=6)
KEPT = PoolPlan("linux-kept", ("x64", "kept"), min_idle=1, max_runners=1, ephemeral=False)


@pytest.fixture
def world() -> Iterator[World]:
    """One machine and one pool of two, up and idle."""
    with World(seed=1) as made:
        made.add_machine("forge-01")
        made.add_pool(X64)
        made.advance(120)
        yield made


def test_a_pool_comes_up_and_a_job_runs_through_it(world):
    job = world.github.queue_job(X64.all_labels, "acme/web", JobPlan(60, "Succeeded"))
    world.advance(300)
    assert (job.status, job.conclusion) == ("completed", "success")
    assert Runner.objects.filter(state=RunnerState.REMOVED, jobs_done=1).count() == 1
    assert len(world.github.ours()) == len(world.processes()) == 2
    assert invariants.when_calm(world) == []


def test_a_hundred_jobs_go_through_an_ephemeral_pool_of_two():
    with World(seed=1, beat_seconds=20) as world:
        world.add_machine("forge-01")
        world.add_pool(PoolPlan("linux-x64", ("x64",), min_idle=2, max_runners=2))
        for _ in range(100):
            world.github.queue_job(X64.all_labels, "acme/web", JobPlan(20, "Succeeded"))
        world.advance(7200)
        assert {job.conclusion for job in world.github.jobs()} == {"success"}
        assert Runner.objects.filter(state=RunnerState.REMOVED, jobs_done=1).count() == 100
        assert invariants.when_calm(world) == []


def test_a_kept_runner_of_a_refused_version_is_replaced_by_a_newer_one(world):
    world.add_pool(KEPT)
    world.advance(120)
    was = Runner.objects.get(pool__name=KEPT.name)
    Faults(world).strike("runner: version deprecated")
    world.advance(5000)
    now = Runner.objects.get(pool__name=KEPT.name, state=RunnerState.ACTIVE)
    assert now.pk != was.pk
    assert now.runner_version != was.runner_version
    assert Postmortem.objects.get(runner=was).cause == "deprecated"


def test_skipped_heartbeats_write_what_real_ones_would_have(world):
    world.advance(3600)
    skipped = _moments()
    world.machines["forge-01"].talk()
    told = _moments()
    assert (told[0] - skipped[0]).total_seconds() <= world.quiet_seconds
    assert [each - skipped[0] for each in skipped] == [each - told[0] for each in told]


def _moments() -> list[datetime]:
    row = Host.objects.get()
    moments = [row.last_seen_at, row.late_after, row.offline_after]
    return [moment for moment in moments if moment is not None]


def test_a_machine_that_is_cut_off_falls_silent_in_the_tables(world):
    world.machines["forge-01"].cut()
    world.advance(600)
    assert Host.objects.get().offline_noted_at is not None


def test_an_agent_that_ends_a_job_unasked_is_found_out(world):
    world.github.queue_job(X64.all_labels, "acme/web", JobPlan(600, "Succeeded"))
    world.advance(30)
    machine = world.machines["forge-01"]
    (busy,) = [slot for slot in machine.slots.values() if slot.phase == "busy"]
    busy.force = True
    machine._stop(busy)
    assert "was ended with its job on it" in " ".join(invariants.always(world))


def test_a_ghost_is_found_out(world):
    world.github.admin(
        "POST", "/_sim/runners", {"scope": SCOPE, "count": 1, "prefix": "ghost", "labels": ["x"]}
    )
    assert "is registered and in no row" in " ".join(invariants.always(world))


def test_a_foreign_runner_that_disappears_is_found_out(world):
    (one, *_) = world.github.foreign
    world.github.world.store.remove_runner(world.github.world.store.runners[one])
    assert "somebody else" in " ".join(invariants.always(world))


def test_a_killed_process_has_no_effect_after_its_death(world):
    host = Host.objects.get()
    with world.server.acts("worker"):
        world.server.fuse = 1
        for _ in range(2):
            with pytest.raises(Killed):
                Host.objects.filter(pk=host.pk).update(site="elsewhere")
    world.server.restart("worker")
    assert Host.objects.get().site == host.site


def test_runners_of_one_gpu_follow_each_other_on_it(world):
    gpu = PoolPlan("linux-gpu", ("x64", "gpu"), min_idle=2, max_runners=3, needs_gpu=True)
    world.add_machine("gpu-01", gpu=True)
    world.add_pool(gpu)
    jobs = [
        world.github.queue_job(gpu.all_labels, "acme/web", JobPlan(30, "Succeeded"))
        for _ in range(3)
    ]
    world.advance(900)
    assert [job.conclusion for job in jobs] == ["success"] * 3
    assert Runner.objects.exclude(gpu="").filter(slot__isnull=False).count() == 1
    assert invariants.when_calm(world) == []

"""The virtual world lives as the real one does, and its proofs can fail."""

import pytest

from runners.models import Runner
from runners.states import RunnerState
from tests.world.github import JobPlan
from tests.world.world import PoolPlan, World

pytestmark = pytest.mark.django_db(transaction=True)

X64 = PoolPlan("linux-x64", ("x64",), min_idle=2, max_runners=6)


@pytest.fixture
def world():
    with World(seed=1) as made:
        made.add_machine("forge-01")
        made.add_pool(X64)
        yield made


def test_a_pool_comes_up_and_a_job_runs_through_it(world):
    world.advance(120)
    assert Runner.objects.filter(state=RunnerState.ACTIVE).count() == 2
    job = world.github.queue_job(X64.all_labels, "acme/web", JobPlan(60, "Succeeded"))
    world.advance(300)
    assert (job.status, job.conclusion) == ("completed", "success")
    assert Runner.objects.filter(state=RunnerState.REMOVED, jobs_done=1).count() == 1
    assert len(world.github.ours()) == len(world.processes()) == 2

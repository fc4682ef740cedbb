"""Webhooks dropped, doubled, turned round and late: jobs end as if all had come as they should."""

from __future__ import annotations

import functools

import pytest

from runners.models import Delivery, Job
from runners.simulator.faults import Fault
from tests.world.github import JobPlan
from tests.world.world import PoolPlan, World

pytestmark = pytest.mark.django_db(transaction=True)

X64 = PoolPlan("linux-x64", ("x64",), min_idle=2, max_runners=4)
CHAOS = (
    Fault("webhook_drop", probability=0.1),
    Fault("webhook_duplicate", probability=0.1),
    Fault("webhook_reorder", probability=0.1),
    Fault("webhook_late", probability=0.1, seconds=300),
)
JOBS = 12


def lived(seed: int, faults: tuple[Fault, ...], source: str) -> tuple[list[object], list[int]]:
    """What our table says once all jobs are done, and how many deliveries came and were fetched."""
    with World(seed=seed, beat_seconds=15) as world:
        world.scope.job_source = source
        world.scope.save(update_fields=["job_source"])
        world.add_machine("forge-01")
        world.add_pool(X64)
        world.advance(90)
        for fault in faults:
            world.github.fault(fault)
        for number in range(JOBS):
            result = "Failed" if number % 5 == 4 else "Succeeded"
            world.github.queue_job(X64.all_labels, "acme/web", JobPlan(20, result))
        world.advance(900)
        world.github.faults.clear()
        world.advance(1200)
        assert {job.status for job in world.github.jobs()} == {"completed"}
        rows = Job.objects.order_by("github_id").values_list(
            "name", "run_attempt", "status", "conclusion", "repository"
        )
        came = [Delivery.objects.count(), Delivery.objects.filter(replayed=True).count()]
        assert not Delivery.objects.filter(processed_at__isnull=True).exists()
        return list(rows), came


@functools.cache
def cleanly() -> tuple[list[object], list[int]]:
    """As it ends when every delivery comes as it should; the same for every test."""
    return lived(1, (), "both")


@pytest.mark.parametrize("source", ["webhook", "both"])
def test_rough_delivery_ends_as_clean_delivery_does(source):
    clean, _ = cleanly()
    rough, (came, fetched) = lived(1, CHAOS, source)

    assert rough == clean
    assert len(rough) == JOBS
    assert came >= JOBS
    assert fetched > 0, "the faults lost nothing: this proves nothing"

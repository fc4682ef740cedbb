"""Pools made, changed and removed; every change an event."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runners import placement, pool_policy
from runners.audit import Actor
from runners.errors import InvalidRequest, StaleState
from runners.models import Event, Pool
from runners.pool_policy import Policy
from tests.factories import NOW, PoolFactory, RunnerFactory, ScopeFactory

pytestmark = pytest.mark.django_db
BY = Actor(Event.ActorKind.USER, "ci-admin")


@pytest.fixture
def policy():
    return Policy("linux-x64", ScopeFactory(slug="acme"), ["self-hosted", "linux"], 1, 10)


def test_a_pool_is_what_its_policy_says(policy):
    wanted = replace(
        policy,
        ephemeral=False,
        architecture="arm64",
        needs_gpu=True,
        sites=("eu",),
        owner="platform",
    )

    pool = pool_policy.create(wanted, by=BY, now=NOW)

    assert pool_policy.policy_of(pool) == replace(wanted, labels=["linux", "self-hosted"])


def test_making_one_is_on_record_in_one_line(policy):
    pool_policy.create(policy, by=BY, now=NOW)

    assert Event.objects.get().became == (
        "linux-x64, acme, linux+self-hosted, idle 1, max 10, aggressive, one job"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "no blanks"},
        {"name": ""},
        {"labels": []},
        {"labels": ["a,b"]},
        {"min_idle": 11},
        {"min_idle": -1},
        {"max_runners": 10_001, "min_idle": 1},
    ],
)
def test_what_no_pool_may_be_is_refused(policy, changes):
    with pytest.raises(InvalidRequest):
        pool_policy.create(replace(policy, **changes), by=BY, now=NOW)

    assert (Pool.objects.count(), Event.objects.count()) == (0, 0)


def test_a_name_is_taken_once(policy):
    PoolFactory(name="linux-x64")

    with pytest.raises(InvalidRequest, match="a pool named linux-x64 already"):
        pool_policy.create(policy, by=BY, now=NOW)


def test_labels_are_cleaned_of_doubles(policy):
    pool = pool_policy.create(replace(policy, labels=["Linux", "linux ", ""]), by=BY, now=NOW)

    assert [label.name for label in pool.labels.all()] == ["Linux"]


def test_a_change_tells_what_was_and_what_became(policy):
    pool = pool_policy.create(policy, by=BY, now=NOW)

    event = pool_policy.change(
        pool, replace(policy, max_runners=20), by=BY, reason="Release week", now=NOW
    )

    pool.refresh_from_db()
    assert pool.max_runners == 20
    assert event is not None
    assert "max 10" in event.was
    assert "max 20" in event.became
    assert event.reason == "Release week"


def test_nothing_changed_is_no_event(policy):
    pool = pool_policy.create(policy, by=BY, now=NOW)

    assert pool_policy.change(pool, policy, by=BY, reason="", now=NOW) is None
    assert Event.objects.count() == 1


def test_a_change_to_a_taken_name_changes_nothing(policy):
    PoolFactory(name="taken")
    pool = pool_policy.create(policy, by=BY, now=NOW)

    with pytest.raises(InvalidRequest):
        pool_policy.change(pool, replace(policy, name="taken"), by=BY, reason="", now=NOW)

    assert Pool.objects.get(pk=pool.pk).name == "linux-x64"


def test_a_change_keeps_what_is_not_policy(policy):
    pool = pool_policy.create(policy, by=BY, now=NOW)
    Pool.objects.filter(pk=pool.pk).update(paused_at=NOW)

    pool_policy.change(pool, replace(policy, min_idle=2), by=BY, reason="", now=NOW)

    assert Pool.objects.get().paused_at == NOW


@pytest.mark.parametrize("label", ["gpu", "GPU", "cuda", "a100", "mig", "linux"])
def test_a_label_of_a_gpu_takes_one_of_the_host_as_placement_says(policy, label):
    wanted = replace(policy, labels=["self-hosted", label])

    size = pool_policy.size_of(wanted)

    assert size == placement.size_of(placement.Need(labels=wanted.labels))
    assert (size.gpu_shares > 0) == (label != "linux")
    shared = pool_policy.problems(replace(wanted, runners_per_gpu=2))
    assert shared.get("runners_per_gpu", "") == (
        "" if size.gpu_shares else "Only a pool that needs a GPU can share one."
    )


def test_a_pool_with_runners_is_not_removed():
    pool = RunnerFactory(pool=PoolFactory()).pool

    with pytest.raises(InvalidRequest, match="still has runners"):
        pool_policy.remove(pool, by=BY, reason="", now=NOW)


def test_a_pool_is_removed_once():
    pool = PoolFactory()
    looked_at = Pool.objects.get()
    pool_policy.remove(pool, by=BY, reason="", now=NOW)

    with pytest.raises(StaleState, match="removed a moment ago"):
        pool_policy.remove(looked_at, by=BY, reason="", now=NOW)

    assert Event.objects.filter(action="pool.remove").count() == 1


def test_past_runners_outlive_their_pool():
    runner = RunnerFactory(pool=PoolFactory(name="old"), removed=True)

    event = pool_policy.remove(runner.pool, by=BY, reason="Merged", now=NOW)

    runner.refresh_from_db()
    assert runner.pool is None
    assert (event.object_name, event.reason) == ("old", "Merged")

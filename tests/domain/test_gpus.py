"""A GPU that its host has no more: said, and its runner drained; the unknown stops nothing."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from runners import gpus, heartbeat, lifecycle, wiring
from runners.agent_messages import parse_heartbeat
from runners.audit import Actor
from runners.errors import InvalidRequest, NoCapacity
from runners.models import Event, Runner
from runners.scaling.policy import GPU_SHARES, Size
from tests.api.conftest import example
from tests.factories import (
    NOW,
    HostFactory,
    PoolFactory,
    RunnerFactory,
    RunnerPackageFactory,
    ScopeFactory,
)

pytestmark = pytest.mark.django_db
ADA = Actor(Event.ActorKind.USER, "ada")


def card(uuid="GPU-1", **fields):
    return {
        "vendor": "nvidia",
        "model": "NVIDIA L4",
        "uuid": uuid,
        "pci": "0000:01:00.0",
        "state": "ok",
        "reason": "",
        "mig": [],
    } | fields


def tell(host, *cards):
    """Have the host's agent report these cards."""
    message = example("heartbeat.first.request")
    message["facts"]["gpus"] = list(cards)
    heartbeat.receive(
        host, "token", parse_heartbeat(message), policy=wiring.heartbeat_policy(), now=NOW
    )


def test_lost_gpu_drains_its_runner_and_no_other_and_is_said():
    host = HostFactory(gpus=[card("GPU-1"), card("GPU-2")])
    lost = RunnerFactory(host=host, slot=1, gpu="GPU-1", busy=True)
    kept = RunnerFactory(host=host, slot=2, gpu="GPU-2")
    plain = RunnerFactory(host=host, slot=3)

    tell(host, card("GPU-1", state="lost", reason="the driver lost it"), card("GPU-2"))

    states = {r.pk: (r.state, r.state_reason) for r in Runner.objects.all()}
    assert states[lost.pk] == ("draining", "Its GPU NVIDIA L4 is lost: the driver lost it")
    assert [states[r.pk][0] for r in (kept, plain)] == ["active", "active"]
    event = Event.objects.get(action="host.gpu-lost")
    assert (event.object_name, event.reason) == (
        host.name,
        "Its GPU NVIDIA L4 is lost: the driver lost it",
    )


def test_gpu_that_is_gone_altogether_is_lost_too():
    host = HostFactory(gpus=[card("GPU-1")])
    runner = RunnerFactory(host=host, gpu="GPU-1")

    tell(host)

    runner.refresh_from_db()
    assert runner.state_reason == f"Its GPU GPU-1 is not in {host.name} any more"


def test_lost_gpu_is_said_once():
    host = HostFactory(gpus=[card("GPU-1")])

    tell(host, card("GPU-1", state="lost"))
    tell(host, card("GPU-1", state="lost"))

    assert Event.objects.filter(action="host.gpu-lost").count() == 1


def test_heartbeat_without_facts_stops_nothing():
    host = HostFactory(gpus=[])
    runner = RunnerFactory(host=host, gpu="GPU-1")
    message = parse_heartbeat(example("heartbeat.quiet.request"))

    heartbeat.receive(host, "token", message, policy=wiring.heartbeat_policy(), now=NOW)

    runner.refresh_from_db()
    assert runner.state == "active"


@pytest.mark.parametrize("state", ["new", "draining", "removing", "failed"])
def test_runner_on_its_way_out_is_left_to_it(state):
    host = HostFactory(gpus=[])
    runner = RunnerFactory(host=host, gpu="GPU-1", **{state: True})

    drained = gpus.drain_without(host, [runner], now=NOW)

    assert [r.pk for r in drained] == ([runner.pk] if state == "new" else [])


def test_instance_of_a_lost_card_is_explained_by_its_card():
    mig = [{"uuid": "MIG-1", "profile": "3g.20gb"}]
    host = HostFactory(gpus=[card(mig=mig, state="lost", reason="fell off the bus")])

    assert gpus.why_lost(host, "MIG-1") == "Its GPU NVIDIA L4 is lost: fell off the bus"


def order(labels=("gpu",), scope=None, **fields):
    return lifecycle.Order(scope=scope or ScopeFactory(), labels=labels, **fields)


def provision(order):
    made = lifecycle.provision(order, by=ADA, reason="", now=NOW)
    return [(runner.gpu, runner.gpu_place) for runner in made]


def test_each_runner_is_given_a_gpu_of_its_own():
    host = HostFactory(slots=4, gpus=[card("GPU-1"), card("GPU-2")])

    assert provision(order(count=2)) == [("GPU-1", 0), ("GPU-2", 0)]
    with pytest.raises(NoCapacity):
        provision(order())
    assert provision(order(labels=["linux"])) == [("", 0)]
    Runner.objects.filter(host=host, gpu="GPU-1").update(slot=None)
    assert provision(order(labels=["l4"])) == [("GPU-1", 0)]


def test_instances_of_a_divided_gpu_are_given_one_by_one():
    mig = [{"uuid": "MIG-1", "profile": "3g.20gb"}, {"uuid": "MIG-2", "profile": "3g.20gb"}]
    HostFactory(slots=4, gpus=[card(mig=mig)])

    assert provision(order(count=2)) == [("MIG-1", 0), ("MIG-2", 0)]


@pytest.mark.parametrize(
    "gpu", [{"state": "lost"}, {"state": "no-driver"}, {"integrated": True}], ids=str
)
def test_gpu_that_can_not_be_used_is_given_to_nobody(gpu):
    HostFactory(gpus=[card(**gpu)])

    with pytest.raises(NoCapacity, match="no "):
        provision(order())


def test_only_runners_of_a_pool_that_shares_are_put_on_one_gpu():
    HostFactory(slots=6, gpus=[card("GPU-1"), card("GPU-2")])
    pool = PoolFactory(runners_per_gpu=2, needs_gpu=True)
    sharing = order(pool=pool, scope=pool.scope, size=Size(gpu_shares=GPU_SHARES // 2))

    assert provision(sharing) == [("GPU-1", 0)]
    assert provision(order()) == [("GPU-2", 0)]
    assert provision(sharing) == [("GPU-1", 1)]
    with pytest.raises(NoCapacity):
        provision(sharing)


def test_gpu_is_told_to_the_agent_with_its_runner():
    host = HostFactory(gpus=[card()])
    scope = RunnerPackageFactory().scope
    provision(order(scope=scope))
    message = parse_heartbeat(example("heartbeat.quiet.request"))

    answer = heartbeat.receive(host, "token", message, policy=wiring.heartbeat_policy(), now=NOW)

    assert [(one.gpu, one.emulates) for one in answer.wanted] == [("GPU-1", "")]


def test_runner_that_emulates_says_what():
    HostFactory(emulations=[{"architecture": "arm64", "slowdown": 5.0}])

    provision(order(labels=["emulated-arm64"], emulation=True))

    assert Runner.objects.get().emulates == "arm64"


def test_architecture_that_github_makes_no_runner_for_needs_a_build_of_ones_own():
    host = HostFactory(name="sifive-01", architecture="riscv64")
    scope = ScopeFactory()

    with pytest.raises(InvalidRequest, match="GitHub makes no runner for riscv64, which sifive-01"):
        provision(order(scope=scope, labels=["riscv64"]))

    RunnerPackageFactory(scope=scope, os=host.os, architecture="riscv64")
    assert provision(order(scope=scope, labels=["riscv64"])) == [("", 0)]


def test_runner_whose_host_turns_out_to_be_another_machine_is_drained():
    host = HostFactory(arm64=True)
    wrong = RunnerFactory(host=host, slot=1, labels=["self-hosted", "ARM64"])
    right = RunnerFactory(host=host, slot=2, labels=["self-hosted", "linux"])

    tell(host)

    wrong.refresh_from_db()
    right.refresh_from_db()
    assert (wrong.state, wrong.state_reason) == ("draining", "It carries ARM64: x64, not arm64")
    assert right.state == "active"


def test_two_runners_never_hold_one_gpu():
    host = HostFactory()
    RunnerFactory(host=host, slot=1, gpu="GPU-1")

    with pytest.raises(IntegrityError), transaction.atomic():
        RunnerFactory(host=host, slot=2, gpu="GPU-1")

    RunnerFactory(host=host, slot=3, gpu="GPU-1", gpu_place=1)
    RunnerFactory(host=HostFactory(), slot=1, gpu="GPU-1")
    RunnerFactory(host=host, slot=None, gpu="GPU-1", removed=True)

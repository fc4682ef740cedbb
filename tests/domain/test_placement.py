"""Which host takes a runner, and what is said of each that does not."""

from itertools import product
from typing import Any

import pytest

from runners import placement
from runners.errors import NoCapacity
from runners.placement import Need, refusal
from tests.factories import NOW, HostFactory, RunnerFactory

pytestmark = pytest.mark.django_db


def choose(count=1, **need):
    wanted = Need(**{"labels": ("self-hosted",), **need})
    return [(host.name, slot) for host, slot in placement.free_slots(wanted, count=count, now=NOW)]


EMULATES = {"emulations": [{"architecture": "arm64", "slowdown": 5.0}]}

REFUSALS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {}, ""),
    ({"cordoned_for_work": True}, {}, "cordoned: Disk replacement"),
    ({"cordoned_at": NOW}, {}, "cordoned"),
    ({"enrolling": True}, {}, "not connected yet"),
    ({"late": True}, {}, "its heartbeat is late"),
    ({"offline": True}, {}, "its heartbeat is late"),
    ({"emulated": True}, {}, "it runs emulated itself, where GitHub's runner can not"),
    (
        {"emulated": True},
        {"emulation": True},
        "it runs emulated itself, where GitHub's runner can not",
    ),
    (EMULATES, {"labels": ("emulated-arm64",)}, "emulation was not asked for"),
    (EMULATES, {"labels": ("emulated-arm64",), "emulation": True}, ""),
    (EMULATES, {"labels": ("arm64",), "emulation": True}, "x64, not arm64"),
    (
        {},
        {"labels": ("emulated-riscv64",), "emulation": True},
        "it can not emulate riscv64: install qemu-user-static there",
    ),
    ({}, {"architecture": "arm64"}, "x64, not arm64"),
    ({"arm64": True}, {"architecture": "arm64"}, ""),
    ({"architecture": ""}, {"architecture": "x64"}, "unknown architecture, not x64"),
    ({}, {"labels": ("ARM64",)}, "x64, not arm64"),
    ({}, {"labels": ("X64",)}, ""),
    ({"arm64": True}, {"labels": ("arm64", "linux")}, ""),
    ({"arm64": True}, {"labels": ("arm64",), "architecture": "x64"}, "arm64, not x64"),
    ({}, {"labels": ("ARM64",), "architecture": "x64"}, "x64, not arm64"),
    ({}, {"labels": ("x64", "ARM64")}, "x64, not arm64"),
    ({}, {"labels": ("windows",)}, "linux, not windows"),
    ({"gpu": True}, {"labels": ("h100",)}, "its GPU is no h100"),
    ({}, {"labels": ("riscv64",)}, "x64, not riscv64"),
    ({}, {"needs_gpu": True}, "no GPU"),
    ({}, {"labels": ("GPU",)}, "no GPU"),
    ({"gpu": True}, {"needs_gpu": True}, ""),
    ({"gpu": True}, {"labels": ("gpu",)}, ""),
    ({}, {"host_id": 999_999}, "not the host asked for"),
    ({}, {"sites": ("another",)}, ""),
    ({}, {"sites": ("another",), "sites_only": True}, "at eu-central, where it may not run"),
]


@pytest.mark.parametrize(("traits", "need", "words"), REFUSALS)
def test_host_says_why_it_cannot_take_a_runner(traits, need, words):
    host = HostFactory(**traits)

    assert refusal(Need(**{"labels": (), **need}), host, now=NOW) == words


def test_host_asked_for_by_name_is_held_to_the_same_rules():
    host = HostFactory(cordoned_for_work=True)

    assert refusal(Need(labels=(), host_id=host.pk), host, now=NOW).startswith("cordoned")


@pytest.mark.parametrize(
    ("traits", "need"),
    [(traits, need) for traits, need, words in REFUSALS if words and "host_id" not in need],
)
def test_refused_host_is_never_chosen_and_its_reason_is_told(traits, need):
    host = HostFactory(**traits)
    words = refusal(Need(**{"labels": (), **need}), host, now=NOW)

    with pytest.raises(NoCapacity) as error:
        choose(**need)

    assert f"{host.name} ({words})" in error.value.user_message


def test_without_any_host_the_next_step_is_told():
    with pytest.raises(NoCapacity, match="There is no host yet"):
        choose()


def test_retired_hosts_do_not_count():
    host = HostFactory(retired=True)
    RunnerFactory(host=host)

    with pytest.raises(NoCapacity, match="There is no host yet"):
        choose()
    HostFactory()
    with pytest.raises(NoCapacity, match="not in service any more"):
        choose(host_id=host.pk)


def test_full_hosts_are_named_with_what_to_do():
    first, second = HostFactory(slots=1), HostFactory(slots=1)
    RunnerFactory(host=first)

    with pytest.raises(NoCapacity) as error:
        choose(count=2)

    message = error.value.user_message
    assert f"{first.name}, {second.name} can serve this but have too few free slots" in message
    assert "for 2" in message


def test_only_the_host_asked_for_is_named():
    HostFactory(cordoned_for_work=True)
    asked = HostFactory(late=True)

    with pytest.raises(NoCapacity) as error:
        choose(host_id=asked.pk)

    assert error.value.user_message == (
        f"No host can take this runner: {asked.name} (its heartbeat is late)."
    )


def test_at_most_five_refusals_are_told():
    HostFactory.create_batch(8, late=True)

    with pytest.raises(NoCapacity) as error:
        choose()

    assert error.value.user_message.count("late") == 5


def test_slots_are_spread_by_the_share_that_is_taken():
    HostFactory(name="a", slots=2)
    HostFactory(name="b", slots=4)

    assert choose(count=6) == [("a", 1), ("b", 1), ("b", 2), ("a", 2), ("b", 3), ("b", 4)]


def test_every_choice_is_a_free_slot_and_no_two_are_the_same():
    taken = set()
    for name, slots in (("a", 3), ("b", 2), ("c", 5)):
        host = HostFactory(name=name, slots=slots)
        RunnerFactory(host=host, slot=2)
        taken.add((name, 2))

    chosen = choose(count=7)

    every = {("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2), *(("c", n) for n in range(1, 6))}
    assert sorted(chosen) == sorted(every - taken)


def test_runners_above_a_lowered_number_of_slots_leave_no_room():
    host = HostFactory(slots=2)
    for slot in (1, 3, 4):
        RunnerFactory(host=host, slot=slot)

    with pytest.raises(NoCapacity):
        choose()


@pytest.mark.parametrize(
    ("architecture", "labels"),
    list(product(["", "x64", "arm64"], [(), ("x64",), ("linux", "ARM64"), ("gpu", "riscv64")])),
)
def test_architecture_comes_from_the_field_and_else_from_the_first_label(architecture, labels):
    promised = [label.lower() for label in labels if label.lower() in placement.ARCHITECTURE_LABELS]

    wanted = placement.wanted_architecture(Need(labels=labels, architecture=architecture))

    assert wanted == (architecture or (promised[0] if promised else ""))

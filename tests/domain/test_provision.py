"""Provisioning: what is asked for, all or none, on slots that nobody else holds."""

import pytest

from runners import lifecycle, placement
from runners.errors import InvalidRequest, NoCapacity
from runners.lifecycle import NAME_LIMIT, Order
from runners.models import Event, Host, Label, Runner
from runners.states import Phase, RunnerState
from tests.factories import (
    NOW,
    HostFactory,
    LabelFactory,
    PoolFactory,
    RunnerFactory,
    ScopeFactory,
)

pytestmark = pytest.mark.django_db


def provision(ada, **wanted):
    order = Order(**{"scope": wanted.pop("scope", None) or ScopeFactory(), **wanted})
    return lifecycle.provision(order, by=ada, reason="Wanted", now=NOW)


def test_runner_is_provisioned_with_everything_that_was_asked_for(ada):
    host, scope = HostFactory(), ScopeFactory(runner_group_id=7, runner_group_name="Builders")

    (made,) = provision(ada, scope=scope, host=host, labels=["self-hosted", "linux"])

    runner = Runner.objects.get()
    assert made == runner
    assert (runner.state, runner.phase, runner.ephemeral) == ("provisioning", Phase.UNSEEN, True)
    assert (runner.host, runner.slot, runner.scope) == (host, 1, scope)
    assert (runner.runner_group_id, runner.runner_group_name) == (7, "Builders")
    assert (runner.github_id, runner.created_at) == (None, NOW)
    assert {label.name for label in runner.labels.all()} == {"self-hosted", "linux"}


def test_each_runner_has_its_event_and_each_host_hears_of_it_once(ada):
    host = HostFactory(slots=3)

    made = provision(ada, host=host, labels=["linux"], count=3)

    events = Event.objects.order_by("pk")
    assert [event.object_id for event in events] == [runner.pk for runner in made]
    assert {(e.action, e.reason, e.became) for e in events} == {
        ("runner.provision", "Wanted", "provisioning")
    }
    assert events[0].detail == {
        "host": host.name,
        "scope": made[0].scope.slug,
        "labels": ["linux"],
        "ephemeral": True,
    }
    assert Host.objects.get().wanted_version == host.wanted_version + 1


def test_slots_are_filled_from_the_lowest_free_one(ada):
    host = HostFactory(slots=4)
    RunnerFactory(host=host, slot=2)

    made = provision(ada, host=host, labels=["linux"], count=3)

    assert [runner.slot for runner in made] == [1, 3, 4]


def test_runners_spread_over_the_emptiest_hosts(ada):
    small, large = HostFactory(slots=2), HostFactory(slots=4)

    made = provision(ada, labels=["linux"], count=3)

    assert [runner.host for runner in made] == [small, large, large]


def test_preferred_site_is_filled_before_another(ada):
    HostFactory(site="us-east", slots=4)
    near = HostFactory(site="eu-west", slots=2)

    made = provision(ada, labels=["linux"], count=3, sites=("eu-west",))

    assert [runner.host == near for runner in made] == [True, True, False]


def test_too_few_slots_provision_nothing_at_all(ada):
    host = HostFactory(slots=2)

    with pytest.raises(NoCapacity, match="too few free slots for 3"):
        provision(ada, host=host, labels=["linux"], count=3)

    assert not Runner.objects.exists()
    assert not Event.objects.exists()
    assert Host.objects.get().wanted_version == host.wanted_version


def test_slot_taken_in_the_same_moment_undoes_the_whole_order(ada, monkeypatch):
    host, scope = HostFactory(slots=3), ScopeFactory()
    choose = placement.free_slots

    def choose_and_lose_one(*args, **kwargs):
        chosen = choose(*args, **kwargs)
        RunnerFactory(host=host, scope=scope, slot=3)
        return chosen

    monkeypatch.setattr(placement, "free_slots", choose_and_lose_one)

    with pytest.raises(NoCapacity, match="Slot 3"):
        provision(ada, scope=scope, host=host, labels=["linux"], count=3)

    # The other writer's row was part of this test's one connection, so it is undone with the rest
    assert not Runner.objects.filter(state=RunnerState.PROVISIONING).exists()
    assert not Event.objects.exists()


@pytest.mark.parametrize("count", [0, -1, 101])
def test_count_out_of_range_is_refused(ada, count):
    with pytest.raises(InvalidRequest, match="between 1 and 100"):
        provision(ada, host=HostFactory(), labels=["linux"], count=count)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([], "between 1 and 100 labels"),
        (["", "  "], "between 1 and 100 labels"),
        ([f"label-{n}" for n in range(101)], "between 1 and 100 labels"),
        (["a,b"], "no comma"),
        (["x" * 257], "at most 256"),
    ],
)
def test_labels_that_github_would_refuse_are_refused_here(ada, labels, words):
    with pytest.raises(InvalidRequest, match=words):
        provision(ada, host=HostFactory(), labels=labels)

    assert not Label.objects.exists()


def test_labels_are_trimmed_and_case_makes_no_second_one():
    assert lifecycle.clean_labels([" Linux ", "GPU", "linux", "", "gpu "]) == ["Linux", "GPU"]


def test_known_label_is_used_again_in_its_first_spelling(ada):
    known = LabelFactory(name="GPU-Large")

    (runner,) = provision(ada, host=HostFactory(), labels=["gpu-large"])

    assert list(runner.labels.all()) == [known]


def test_label_made_by_somebody_else_in_the_same_moment_is_used(monkeypatch):
    look = Label.objects.filter

    def look_before_the_other_writer(**wanted):
        assert not look(**wanted).exists()
        LabelFactory(name="Fresh")
        return Label.objects.none()

    monkeypatch.setattr(Label.objects, "filter", look_before_the_other_writer)

    (row,) = lifecycle.get_labels(["fresh"])

    assert Label.objects.get() == row


@pytest.mark.parametrize(
    "pattern", ["{host}-{random}", "{pool}-{host}-{random}", "ci", "{random}", "a_b.c-{host}"]
)
def test_every_name_holds_its_host_and_something_random(pattern):
    host = HostFactory.build(name="forge-01")

    names = {lifecycle.runner_name(pattern, host=host, pool=None) for _ in range(20)}

    assert len(names) == 20
    assert all("forge-01" in name and len(name) <= NAME_LIMIT for name in names)


def test_long_pool_name_is_cut_so_that_host_and_random_part_fit():
    host, pool = HostFactory.build(name="h" * 40), PoolFactory.build(name="p" * 40)

    name = lifecycle.runner_name("{pool}-{host}-{random}", host=host, pool=pool)

    assert len(name) == NAME_LIMIT
    assert "h" * 40 in name
    assert name.startswith("ppp")


@pytest.mark.parametrize("pattern", ["a b", "ü-{host}", "{host}/{random}", "x" * 60, "{site}"])
def test_name_that_github_would_refuse_is_refused(ada, pattern):
    host = HostFactory()

    with pytest.raises(InvalidRequest, match="letters, digits"):
        provision(ada, host=host, labels=["linux"], name_pattern=pattern)

    assert not Runner.objects.exists()


def test_two_hosts_with_one_pattern_never_share_a_name(ada):
    first, second = HostFactory(), HostFactory()

    names = [
        provision(ada, host=host, labels=["linux"], name_pattern="ci-{random}")[0].name
        for host in (first, second)
    ]

    assert [first.name in names[0], second.name in names[1]] == [True, True]


def test_queries_do_not_grow_with_the_number_of_hosts(ada, count_queries):
    host, scope = HostFactory(slots=8), ScopeFactory()
    provision(ada, scope=scope, host=host, labels=["linux"])
    few = count_queries(lambda: provision(ada, scope=scope, host=host, labels=["linux"]))
    HostFactory.create_batch(30)

    many = count_queries(lambda: provision(ada, scope=scope, host=host, labels=["linux"]))

    assert many == few

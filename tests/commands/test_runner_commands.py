"""provision, drain, deregister: by name, many at once, twice, and refused."""

from datetime import timedelta

import pytest
from django_q.models import OrmQ

from runners.models import Event, Runner
from tests.factories import NOW, HostFactory, PoolFactory, RunnerFactory, ScopeFactory

pytestmark = pytest.mark.django_db


def stored(runner):
    return Runner.objects.get(pk=runner.pk)


# provision


def test_provision_makes_runners_and_says_where(manage):
    host, scope = HostFactory(slots=3), ScopeFactory(slug="acme")

    done = manage(
        "provision",
        *("--scope", "acme", "--label", "self-hosted", "--label", "linux"),
        *("--host", host.name, "--count", "2", "--persistent", "--reason", "Release", "--json"),
    )

    rows = Runner.objects.order_by("slot")
    assert done.code == 0
    assert done.data["runners"] == [
        {
            "id": row.pk,
            "name": row.name,
            "host": host.name,
            "slot": row.slot,
            "state": "provisioning",
        }
        for row in rows
    ]
    assert {(row.scope, row.ephemeral, row.state_reason) for row in rows} == {
        (scope, False, "Release")
    }
    assert Event.objects.filter(actor_kind="command").count() == 2


def test_provision_for_a_person_says_a_line_a_runner(manage):
    HostFactory(name="forge-01")
    ScopeFactory(slug="acme")

    done = manage("provision", "--scope", "acme", "--label", "linux")

    assert done.out.strip() == f"{Runner.objects.get().name} on forge-01, slot 1"


def test_provision_of_a_pool_takes_everything_from_it(manage):
    HostFactory(gpu=True, arm64=True)
    pool = PoolFactory(labels=["big"], architecture="arm64", ephemeral=False)

    assert manage("provision", "--pool", pool.name, "--gpu").code == 0

    runner = Runner.objects.get()
    assert (runner.pool, runner.scope, runner.ephemeral) == (pool, pool.scope, False)
    assert [label.name for label in runner.labels.all()] == ["big"]


def test_site_and_architecture_choose_the_host(manage):
    HostFactory(site="eu")
    wanted = HostFactory(site="us", arm64=True)
    HostFactory(site="eu", arm64=True)
    ScopeFactory(slug="acme")

    manage(
        "provision",
        *("--scope", "acme", "--label", "l", "--architecture", "arm64", "--site", "us"),
    )

    assert Runner.objects.get().host == wanted


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 1, "--scope, or --pool"),
        (("--scope", "acme"), 1, "labels"),
        (("--scope", "acme", "--label", "arm64"), 1, "No host can take"),
        (("--scope", "acme", "--label", "l", "--count", "5"), 1, "too few free slots"),
        (("--pool", "linux", "--label", "l"), 1, "leave --scope and --label out"),
        (("--pool", "linux", "--scope", "acme"), 1, "leave --scope and --label out"),
        (("--scope", "nobody", "--label", "l"), 3, "There is no scope 'nobody'"),
        (("--pool", "none"), 3, "There is no pool 'none'"),
        (("--scope", "acme", "--label", "l", "--host", "none"), 3, "There is no host 'none'"),
        (("--scope", "acme", "--label", "l", "--count", "0"), 1, "whole number from 1 to 100"),
        (("--scope", "acme", "--label", "l", "--count", "many"), 1, "whole number"),
    ],
)
def test_provision_refuses_in_words_and_makes_nothing(arguments, code, words, manage):
    scope = ScopeFactory(slug="acme")
    PoolFactory(name="linux", scope=scope)
    HostFactory(slots=4)

    done = manage("provision", *arguments)

    # argparse itself ends a real process with 2: see test_command_line.py
    assert (done.code, words in done.error) == (code, True)
    assert not Runner.objects.exists()


# drain


def test_drain_by_name_and_by_id_with_a_deadline(manage):
    first, second = RunnerFactory(), RunnerFactory()

    done = manage(
        *("drain", first.name, str(second.pk), "--deadline-minutes", "30"),
        *("--reason", "Kernel", "--json"),
    )

    assert [row["changed"] for row in done.data["runners"]] == [True, True]
    for runner in (first, second):
        assert (stored(runner).state, stored(runner).state_reason) == ("draining", "Kernel")
        assert stored(runner).drain_deadline_at == NOW + timedelta(minutes=30)
    assert OrmQ.objects.count() == 2


def test_drain_twice_is_harmless(manage):
    runner = RunnerFactory()
    manage("drain", runner.name, "--deadline-minutes", "30")
    events = Event.objects.count()

    again = manage("drain", runner.name, "--json")

    assert (again.code, again.data["runners"][0]["changed"]) == (0, False)
    assert stored(runner).drain_deadline_at == NOW + timedelta(minutes=30)
    assert Event.objects.count() == events


def test_drain_again_with_another_deadline_moves_it(manage):
    runner = RunnerFactory(draining=True)

    manage("drain", runner.name, "--deadline-minutes", "5")

    assert stored(runner).drain_deadline_at == NOW + timedelta(minutes=5)


@pytest.mark.parametrize("trait", ["removing", "removed"])
def test_drain_of_a_runner_already_on_its_way_out_is_harmless(trait, manage):
    runner = RunnerFactory(**{trait: True})

    done = manage("drain", runner.name)

    assert (done.code, done.out.strip()) == (0, f"{runner.name}: nothing to change")


def test_refusal_for_one_does_not_keep_the_others(manage):
    failed, fine = RunnerFactory(failed=True), RunnerFactory()

    done = manage("drain", failed.name, fine.name, "--json")

    assert done.code == 1
    assert failed.name in done.error
    rows = {row["name"]: row for row in done.data["runners"]}
    assert (rows[failed.name]["changed"], rows[fine.name]["changed"]) == (False, True)
    assert "can't become draining" in rows[failed.name]["error"]
    assert stored(fine).state == "draining"


def test_name_that_is_not_there_changes_nothing_at_all(manage):
    runner = RunnerFactory()

    done = manage("drain", runner.name, "nobody")

    assert (done.code, "'nobody'" in done.error) == (3, True)
    assert stored(runner).state == "active"


def test_name_that_two_scopes_share_needs_the_id(manage):
    first, second = RunnerFactory(name="forge-01-a"), RunnerFactory(name="forge-01-a")

    done = manage("drain", "forge-01-a")
    assert done.code == 1
    assert f"{first.pk} ({first.scope.slug})" in done.error
    assert manage("drain", str(second.pk)).code == 0
    assert (stored(first).state, stored(second).state) == ("active", "draining")


def test_name_means_the_runner_that_is_not_removed(manage):
    old = RunnerFactory(name="forge-01-a", removed=True)
    new = RunnerFactory(name="forge-01-a", scope=old.scope)

    manage("drain", "forge-01-a")

    assert stored(new).state == "draining"


def test_runner_named_twice_is_drained_once(manage):
    runner = RunnerFactory()

    done = manage("drain", runner.name, str(runner.pk), "--json")

    assert len(done.data["runners"]) == 1


def test_stopped_drain_gives_work_again_and_twice_is_harmless(manage):
    runner = RunnerFactory(draining=True)

    first = manage("drain", "--stop", runner.name)
    second = manage("drain", "--stop", runner.name)

    assert (first.out.strip(), second.code) == (f"{runner.name}: takes work again", 0)
    assert stored(runner).state == "active"


def test_drain_that_went_too_far_cannot_be_stopped(manage):
    runner = RunnerFactory(removing=True)

    done = manage("drain", "--stop", runner.name)

    assert (done.code, stored(runner).state) == (1, "removing")


# deregister


def test_deregister_drains_and_twice_is_harmless(manage):
    runner = RunnerFactory(busy=True)

    first = manage("deregister", runner.name, "--reason", "Old image")
    second = manage("deregister", runner.name)

    assert first.out.strip() == f"{runner.name}: leaves when its job is done"
    assert (second.code, second.out.strip()) == (0, f"{runner.name}: nothing to change")
    assert (stored(runner).state, stored(runner).force) == ("draining", False)


def test_force_needs_a_reason_and_ends_it_now(manage):
    runner = RunnerFactory(busy=True)

    without = manage("deregister", runner.name, "--force")
    with_reason = manage("deregister", runner.name, "--force", "--reason", "Mining")
    again = manage("deregister", runner.name, "--force", "--reason", "Mining")

    assert (without.code, "Say why" in without.error) == (1, True)
    assert (with_reason.code, again.code) == (0, 0)
    assert (stored(runner).state, stored(runner).force) == ("removing", True)
    assert Event.objects.filter(object_kind="runner").count() == 1


def test_force_ends_a_drain_that_takes_too_long(manage):
    runner = RunnerFactory(draining=True)

    manage("deregister", runner.name, "--force", "--reason", "Now")

    assert stored(runner).force


def test_removed_runner_is_left_as_it_is(manage):
    runner = RunnerFactory(removed=True)

    done = manage("deregister", runner.name, "--force", "--reason", "Again")

    assert (done.code, stored(runner).state) == (0, "removed")


def test_number_too_large_for_an_id_is_just_not_found(manage):
    assert manage("deregister", "9" * 30).code == 3

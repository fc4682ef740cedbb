"""The one function that moves a runner: every legal move, every illegal one, and the race."""

from datetime import timedelta
from itertools import product

import pytest
from django.db import IntegrityError, transaction
from django.db.models import F

from runners import lifecycle
from runners.errors import IllegalTransition, StaleState
from runners.models import Event, Host, Runner
from runners.states import TRANSITIONS, RunnerState
from tests.factories import NOW, HostFactory, RunnerFactory

pytestmark = pytest.mark.django_db

MOVES = [(was, to) for was, legal in TRANSITIONS.items() for to in sorted(legal)]
REFUSED = [pair for pair in product(RunnerState, RunnerState) if pair not in MOVES]


@pytest.mark.parametrize(("was", "to"), MOVES)
def test_legal_move_writes_the_state_and_its_event(was, to, ada):
    runner = RunnerFactory(state=was)

    event = lifecycle.transition(runner, to, by=ada, reason="Because", now=NOW)

    stored = Runner.objects.get(pk=runner.pk)
    for row in (runner, stored):
        assert (row.state, row.state_changed_at, row.state_reason) == (to, NOW, "Because")
        assert row.removed_at == (NOW if to == RunnerState.REMOVED else None)
    assert Event.objects.get() == event
    assert (event.was, event.became, event.reason) == (was, to, "Because")
    assert (event.action, event.actor_name, event.at) == (f"runner.{to}", "ada", NOW)
    assert (event.object_kind, event.object_id, event.host_id) == (
        "runner",
        runner.pk,
        runner.host_id,
    )


@pytest.mark.parametrize(("was", "to"), REFUSED)
def test_illegal_move_is_refused_and_leaves_no_trace(was, to, ada):
    runner = RunnerFactory(state=was)

    with pytest.raises(IllegalTransition) as refusal:
        lifecycle.transition(runner, to, by=ada, reason="", now=NOW)

    assert runner.name in refusal.value.user_message
    assert Runner.objects.get(pk=runner.pk).state == was
    assert not Event.objects.exists()


@pytest.mark.parametrize(("was", "to"), MOVES)
def test_second_writer_in_between_is_noticed_and_nothing_is_written(was, to, ada):
    runner = RunnerFactory(state=was)
    elsewhere = next(state for state in RunnerState if state != was)
    version = runner.host.wanted_version
    Runner.objects.filter(pk=runner.pk).update(state=elsewhere)

    with pytest.raises(StaleState):
        lifecycle.transition(runner, to, by=ada, reason="", now=NOW)

    stored = Runner.objects.get(pk=runner.pk)
    assert (stored.state, runner.state) == (elsewhere, was)
    assert stored.state_changed_at < NOW
    assert not Event.objects.exists()
    assert Host.objects.get(pk=runner.host_id).wanted_version == version


def test_move_raises_the_version_of_its_hosts_wanted_set_only(ada):
    runner, other = RunnerFactory(), RunnerFactory()

    lifecycle.transition(runner, RunnerState.DRAINING, by=ada, reason="", now=NOW)

    assert Host.objects.get(pk=runner.host_id).wanted_version == runner.host.wanted_version + 1
    assert Host.objects.get(pk=other.host_id).wanted_version == other.host.wanted_version


def test_move_is_undone_with_its_callers_transaction(ada):
    runner = RunnerFactory()

    with transaction.atomic():
        lifecycle.transition(runner, RunnerState.DRAINING, by=ada, reason="", now=NOW)
        transaction.set_rollback(True)

    assert Runner.objects.get(pk=runner.pk).state == RunnerState.ACTIVE
    assert not Event.objects.exists()


def test_two_runners_cannot_hold_one_slot():
    first = RunnerFactory(slot=2)

    with pytest.raises(IntegrityError), transaction.atomic():
        RunnerFactory(host=first.host, slot=2)

    assert RunnerFactory(host=first.host, slot=3).slot == 3


def test_slot_given_back_can_be_taken_again():
    first = RunnerFactory(slot=2)
    lifecycle.release_slot(first)

    assert RunnerFactory(host=first.host, slot=2).slot == 2


def test_name_is_unique_in_a_scope_while_the_runner_is_not_removed():
    first = RunnerFactory(name="forge-01-a")

    with pytest.raises(IntegrityError), transaction.atomic():
        RunnerFactory(name="forge-01-a", scope=first.scope)

    RunnerFactory(name="forge-01-a")
    Runner.objects.filter(pk=first.pk).update(state=RunnerState.REMOVED)
    RunnerFactory(name="forge-01-a", scope=first.scope)


@pytest.mark.parametrize("column", ["state", "phase", "github_status"])
def test_database_refuses_a_word_it_does_not_know(column):
    runner = RunnerFactory()

    with pytest.raises(IntegrityError), transaction.atomic():
        Runner.objects.filter(pk=runner.pk).update(**{column: "strange"})


def test_event_can_neither_be_changed_nor_deleted(ada):
    event = lifecycle.transition(RunnerFactory(), RunnerState.DRAINING, by=ada, reason="", now=NOW)

    event.reason = "Another story"
    with pytest.raises(TypeError):
        event.save()
    with pytest.raises(TypeError):
        event.delete()
    with pytest.raises(TypeError):
        Event.objects.filter(pk=event.pk).update(reason="Another story")
    with pytest.raises(TypeError):
        Event.objects.all().delete()

    assert Event.objects.get().reason == ""


def test_event_outlives_the_host_it_tells_of(ada):
    runner = RunnerFactory()
    lifecycle.transition(runner, RunnerState.DRAINING, by=ada, reason="", now=NOW)
    host = runner.host
    runner.delete()
    host.delete()

    event = Event.objects.get()
    assert (event.host_id, event.object_name) == (None, runner.name)


def test_host_state_and_its_filter_agree_in_every_situation():
    for traits in (
        {},
        {"late": True},
        {"offline": True},
        {"enrolling": True},
        {"cordoned_for_work": True},
        {"retired": True},
        {"retired": True, "offline": True},
        {"cordoned_for_work": True, "late": True},
        {"cordoned_for_work": True, "offline": True},
        {"cordoned_for_work": True, "enrolling": True},
    ):
        HostFactory(**traits)
    for moment in (NOW, NOW + timedelta(minutes=1), NOW + timedelta(minutes=3)):
        words = dict(Host.objects.with_state(moment).values_list("pk", F("state")))
        assert words == {host.pk: host.state_at(moment).value for host in Host.objects.all()}

"""A pass beside other writers, and a pass that ends at any instruction and is run again."""

import pytest

from runners import lifecycle, reconcile, registration
from runners.models import Event, Runner
from runners.reconcile_plan import GONE_AT_GITHUB_GRACE
from runners.registry import path_of
from runners.states import Phase, RunnerState
from tests.domain.passes import registered, run_pass, stored
from tests.factories import NOW, HostFactory, PoolFactory, RunnerFactory, ScopeFactory
from tests.fakes import FakeGitHub

pytestmark = pytest.mark.django_db


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def github():
    return FakeGitHub()


def killed_pass(runner, github):
    with pytest.raises(Killed):
        run_pass(runner.scope, github)


def kill_once(monkeypatch, module, name, *, after):
    """End the process before, or after, the next call of a function."""
    function = getattr(module, name)

    def call(*args, **kwargs):
        monkeypatch.setattr(module, name, function)
        if after:
            function(*args, **kwargs)
        raise Killed

    monkeypatch.setattr(module, name, call)


def test_runner_moved_by_somebody_else_in_between_does_not_stop_the_pass(github, monkeypatch):
    scope = ScopeFactory()
    first, second = (registered(github, scope=scope, starting=True) for _ in range(2))
    write = reconcile._write_facts

    def write_then_somebody_moves(*args, **kwargs):
        foreign = write(*args, **kwargs)
        Runner.objects.filter(pk=first.pk).update(state=RunnerState.REMOVING)
        return foreign

    monkeypatch.setattr(reconcile, "_write_facts", write_then_somebody_moves)

    summary = run_pass(scope, github)

    assert (stored(first).state, stored(second).state) == ("removing", "active")
    assert summary.moved == 1
    assert list(Event.objects.values_list("action", flat=True)) == ["runner.active"]


def test_drain_stopped_while_github_deletes_ends_as_a_removed_registration(github):
    runner = registered(github, draining=True)
    delete = github.delete_self_hosted_runner

    def drain_is_stopped(scope, runner_id):
        Runner.objects.filter(pk=runner.pk).update(state=RunnerState.ACTIVE)
        delete(scope, runner_id)

    github.delete_self_hosted_runner = drain_is_stopped

    run_pass(runner.scope, github)
    run_pass(runner.scope, github, now=NOW + GONE_AT_GITHUB_GRACE * 2)

    assert stored(runner).state == RunnerState.REMOVING


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("traits", [{"draining": True}, {"removing": True, "phase": Phase.GONE}])
def test_end_around_the_deletion_is_repaired_by_the_next_pass(traits, after_effect, github):
    runner = registered(github, **traits)
    github.fail_next("delete_self_hosted_runner", Killed(), after_effect=after_effect)
    killed_pass(runner, github)
    assert stored(runner).github_deleted_at is None

    run_pass(runner.scope, github)

    assert github.runners(path_of(runner.scope)) == []
    assert stored(runner).github_deleted_at == NOW
    assert Event.objects.filter(action="runner.deregister").count() == 1
    assert stored(runner).state == (
        RunnerState.REMOVING if "draining" in traits else RunnerState.REMOVED
    )


STEPS = [
    ("draining", reconcile, "_note_deleted"),
    ("draining", lifecycle, "transition"),
    ("draining", lifecycle, "retire_registration"),
    ("removing", reconcile, "_note_deleted"),
    ("removing", lifecycle, "finish"),
    ("removing", lifecycle, "release_slot"),
    ("failed", lifecycle, "release_slot"),
    ("failed", reconcile, "_note_deleted"),
    ("starting", lifecycle, "activate"),
    ("starting", lifecycle, "transition"),
]
ENDS = {
    "draining": RunnerState.REMOVING,
    "removing": RunnerState.REMOVED,
    "failed": RunnerState.FAILED,
    "starting": RunnerState.ACTIVE,
}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("trait", "module", "name"), STEPS)
def test_end_at_any_step_is_repaired_by_the_next_pass(
    trait, module, name, after, github, monkeypatch
):
    phase = Phase.GONE if trait in ("removing", "failed") else Phase.LISTENING
    runner = registered(github, phase=phase, pool=PoolFactory(), **{trait: True})
    kill_once(monkeypatch, module, name, after=after)
    killed_pass(runner, github)

    run_pass(runner.scope, github)
    run_pass(runner.scope, github)

    row = stored(runner)
    assert row.state == ENDS[trait]
    assert (row.slot is None) == (trait in ("removing", "failed"))
    assert (row.github_deleted_at is None) == (trait == "starting")
    events = list(Event.objects.values_list("action", flat=True))
    assert sorted(set(events)) == sorted(events)  # nothing is told twice


@pytest.mark.parametrize("after_effect", [False, True])
def test_end_around_the_registration_leaves_nothing_unowned(after_effect, github):
    runner = RunnerFactory(new=True, state_changed_at=NOW)
    asked = registration.startable_runner(runner.host, runner.pk)
    github.fail_next("generate_jitconfig", Killed(), after_effect=after_effect)
    with pytest.raises(Killed):
        registration.issue_jit(asked, github=github, now=NOW)
    assert stored(runner).github_id is None

    run_pass(runner.scope, github)

    ids = [there.id for there in github.runners(path_of(runner.scope))]
    assert ids == ([stored(runner).github_id] if after_effect else [])
    assert stored(runner).state == RunnerState.PROVISIONING


def test_pass_run_twice_does_nothing_the_second_time(github):
    scope = ScopeFactory()
    for traits in (
        {"starting": True},
        {},
        {"draining": True},
        {"removing": True, "phase": Phase.GONE},
        {"failed": True, "phase": Phase.GONE},
    ):
        registered(github, scope=scope, **traits)
    run_pass(scope, github)
    before = list(Runner.objects.order_by("pk").values())
    events = Event.objects.count()

    summary = run_pass(scope, github)

    assert list(Runner.objects.order_by("pk").values()) == before
    assert Event.objects.count() == events
    assert (summary.moved, summary.deleted) == (0, 0)


@pytest.mark.parametrize("runners", [10, 300])
def test_pass_in_which_nothing_changes_costs_the_same_for_few_and_many(
    runners, github, django_assert_num_queries
):
    scope = ScopeFactory()
    host = HostFactory()
    Runner.objects.bulk_create(
        RunnerFactory.build(
            scope=scope,
            host=host,
            slot=slot,
            github_id=github.add_runner(path_of(scope), f"ours-{slot}", online=True).id,
            name=f"ours-{slot}",
        )
        for slot in range(1, runners + 1)
    )
    github.add_runner(path_of(scope), "theirs")
    run_pass(scope, github)
    github.calls.clear()

    # Our rows with their hosts, the fleet's, packages, labels, the scope's, drift to note and to
    # mend
    with django_assert_num_queries(8):
        run_pass(scope, github)

    assert github.calls == ["list_self_hosted_runners"]

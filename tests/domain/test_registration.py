"""Registration secrets: made for one answer, by one call, and never left without an owner."""

import pytest

from runners import fleet, registration
from runners.errors import FleetError
from runners.github.errors import GitHubUnavailable, NameConflict, RateLimited
from runners.models import Event, Runner
from runners.registration import NotWanted
from runners.registry import path_of
from runners.states import RunnerState
from tests.domain.passes import run_pass
from tests.factories import NOW, HostFactory, RunnerFactory, ScopeFactory
from tests.fakes import FakeGitHub

pytestmark = pytest.mark.django_db

LOST = GitHubUnavailable("The answer was lost.", may_have_happened=True)


@pytest.fixture
def github():
    return FakeGitHub()


def ask(runner):
    """The runner as the API reads it."""
    return registration.startable_runner(runner.host, runner.pk)


def issue(runner, github):
    return registration.issue_jit(ask(runner), github=github, now=NOW)


def stored(runner):
    return Runner.objects.get(pk=runner.pk)


def at_github(runner, github):
    return github.runners(path_of(runner.scope))


def test_jit_config_is_made_by_one_call_and_its_id_remembered(github):
    runner = RunnerFactory(new=True, labels=["gpu", "linux"], runner_group_id=1)

    jit = issue(runner, github)

    assert github.calls == ["generate_jitconfig"]
    (there,) = at_github(runner, github)
    assert (there.name, set(there.label_names)) == (
        runner.name,
        {"gpu", "linux", fleet.owner_mark()},
    )
    row = stored(runner)
    assert (row.github_id, row.github_status, row.github_busy) == (there.id, "offline", False)
    assert row.registered_at == NOW
    assert jit.github_id == there.id
    assert Event.objects.get().action == "runner.register"


def test_secrets_are_in_no_repr_no_row_and_no_event(github):
    jit_runner, persistent = RunnerFactory(new=True), RunnerFactory(new=True, persistent=True)

    jit = issue(jit_runner, github)
    made = registration.issue_registration(ask(persistent), github=github, now=NOW)

    kept = [*Runner.objects.values_list(), *Event.objects.values_list()]
    assert jit.encoded_jit_config not in f"{jit!r}{kept}"
    assert made.token not in f"{made!r}{kept}"


def test_answer_lost_at_github_is_found_by_name_deleted_and_made_anew(github):
    runner = RunnerFactory(new=True)
    github.fail_next("generate_jitconfig", LOST, after_effect=True)
    with pytest.raises(GitHubUnavailable):
        issue(runner, github)
    (orphan,) = at_github(runner, github)

    jit = issue(runner, github)

    (there,) = at_github(runner, github)
    assert there.id == jit.github_id == stored(runner).github_id
    assert there.id != orphan.id


def test_answer_lost_between_us_and_the_agent_is_made_anew(github):
    runner = RunnerFactory(new=True)
    first = issue(runner, github)

    second = issue(runner, github)

    assert second.encoded_jit_config
    assert [there.id for there in at_github(runner, github)] == [second.github_id]
    assert stored(runner).github_id == second.github_id != first.github_id


def test_namesake_that_vanishes_by_itself_is_no_obstacle(github):
    runner = RunnerFactory(new=True)
    github.add_runner(path_of(runner.scope), runner.name, labels=[fleet.owner_mark()])
    delete = github.delete_self_hosted_runner

    def gone_first(scope, runner_id):
        delete(scope, runner_id)
        delete(scope, runner_id)  # 404

    github.delete_self_hosted_runner = gone_first

    assert issue(runner, github).github_id == stored(runner).github_id


def test_only_the_runner_of_exactly_that_name_is_deleted(github):
    runner = RunnerFactory(new=True, name="forge-01-a")
    scope = path_of(runner.scope)
    other = github.add_runner(scope, "forge-01-ab")
    github.add_runner(scope, "forge-01-a", labels=[fleet.owner_mark()])
    everything = github.list_self_hosted_runners(scope)
    # A server that takes the name for a prefix
    github.list_self_hosted_runners = lambda scope, name=None: everything

    issue(runner, github)

    assert other in at_github(runner, github)
    assert len(at_github(runner, github)) == 2


def test_namesake_with_a_job_is_left_alone_and_named(github):
    runner = RunnerFactory(new=True)
    busy = github.add_runner(
        path_of(runner.scope), runner.name, labels=[fleet.owner_mark()], online=True, busy=True
    )

    with pytest.raises(FleetError, match="running a job"):
        issue(runner, github)

    assert at_github(runner, github) == [busy]
    assert stored(runner).github_id is None


def test_namesake_of_somebody_else_is_left_alone_and_named(github):
    runner = RunnerFactory(new=True)
    theirs = github.add_runner(path_of(runner.scope), runner.name)

    with pytest.raises(FleetError, match="did not register"):
        issue(runner, github)

    assert at_github(runner, github) == [theirs]
    assert stored(runner).github_id is None


def test_name_that_stays_taken_is_githubs_refusal(github):
    runner = RunnerFactory(new=True)
    github.fail_next("generate_jitconfig", NameConflict("Already exists"), times=2)

    with pytest.raises(NameConflict):
        issue(runner, github)

    assert not Event.objects.exists()


@pytest.mark.parametrize("error", [LOST, RateLimited(NOW)])
def test_what_github_refuses_changes_nothing(error, github):
    runner = RunnerFactory(new=True)
    github.fail_next("generate_jitconfig", error)

    with pytest.raises(type(error)):
        issue(runner, github)

    assert (stored(runner).state, stored(runner).github_id) == ("provisioning", None)
    assert not Event.objects.exists()


@pytest.mark.parametrize(
    "state", [s for s in RunnerState if s not in (RunnerState.PROVISIONING, RunnerState.ACTIVE)]
)
def test_runner_that_is_not_to_start_gets_no_secret(state):
    runner = RunnerFactory(state=state)

    with pytest.raises(NotWanted):
        ask(runner)


def test_another_hosts_runner_gets_no_secret():
    runner = RunnerFactory(new=True)

    with pytest.raises(NotWanted):
        registration.startable_runner(HostFactory(), runner.pk)


@pytest.mark.parametrize("state", [RunnerState.DRAINING, RunnerState.REMOVED, RunnerState.FAILED])
def test_runner_taken_out_while_it_registered_is_refused_and_nothing_stays(state, github, queued):
    runner = RunnerFactory(new=True)
    asked = ask(runner)
    generate = github.generate_jitconfig

    def taken_out_meanwhile(*args, **kwargs):
        made = generate(*args, **kwargs)
        Runner.objects.filter(pk=runner.pk).update(state=state, slot=None)
        return made

    github.generate_jitconfig = taken_out_meanwhile
    with pytest.raises(NotWanted):
        registration.issue_jit(asked, github=github, now=NOW)
    assert queued() == [("runners.tasks.reconcile_scope", (runner.scope_id,))]

    run_pass(runner.scope, github)

    assert at_github(runner, github) == []
    assert stored(runner).github_deleted_at == NOW


def test_registration_of_a_persistent_runner_tells_all_that_config_needs(github):
    scope = ScopeFactory(runner_group_name="Builders")
    runner = RunnerFactory(
        new=True, persistent=True, scope=scope, labels=["gpu"], runner_group_name="Builders"
    )

    made = registration.issue_registration(ask(runner), github=github, now=NOW)

    assert github.calls == ["create_registration_token"]
    assert (made.url, made.labels, made.runner_group) == (
        scope.web_url,
        ("gpu", fleet.owner_mark()),
        "Builders",
    )
    assert made.expires_at > NOW
    assert stored(runner).registered_at == NOW
    assert Event.objects.get().detail == {"ephemeral": False}


def test_registration_token_is_minted_for_each_answer_and_never_kept(github):
    runner = RunnerFactory(new=True, persistent=True)

    first, second = (
        registration.issue_registration(ask(runner), github=github, now=NOW) for _ in range(2)
    )

    assert github.calls == ["create_registration_token"] * 2
    assert first.token != second.token


def test_persistent_runner_taken_out_meanwhile_gets_no_token(github):
    runner = RunnerFactory(new=True, persistent=True)
    asked = ask(runner)
    Runner.objects.filter(pk=runner.pk).update(state=RunnerState.DRAINING)

    with pytest.raises(NotWanted):
        registration.issue_registration(asked, github=github, now=NOW)

    assert not Event.objects.exists()


def test_third_of_five_registrations_fails_and_the_others_go_on(github):
    host, scope = HostFactory(slots=5), ScopeFactory()
    runners = [RunnerFactory(host=host, scope=scope, slot=n, new=True) for n in range(1, 6)]
    for number, runner in enumerate(runners, start=1):
        if number == 3:
            github.fail_next("generate_jitconfig", LOST, after_effect=True)
            with pytest.raises(GitHubUnavailable):
                issue(runner, github)
        else:
            issue(runner, github)
    assert len(at_github(runners[0], github)) == 5

    issue(runners[2], github)  # the agent asks again

    ids = {there.name: there.id for there in at_github(runners[0], github)}
    assert ids == {runner.name: stored(runner).github_id for runner in runners}

"""Drift: found, kept since when, shown once it lasts, mended alone or on a person's word."""

from datetime import timedelta

import pytest

from runners import drift, fleet, heartbeat, leftovers, wiring
from runners.agent_messages import parse_heartbeat
from runners.drift_kinds import DriftKind
from runners.errors import InvalidRequest
from runners.github.errors import GitHubUnavailable
from runners.models import Drift, Event, Host, Runner
from runners.registry import path_of
from runners.states import GitHubStatus, Phase, RunnerState
from tests.domain.passes import at_github, registered, run_pass, stored
from tests.factories import NOW, HostFactory, RunnerFactory, RunnerPackageFactory, ScopeFactory
from tests.fakes import FakeGitHub

pytestmark = pytest.mark.django_db
SOON = NOW + timedelta(seconds=60)
HEARD = NOW + timedelta(days=1)


@pytest.fixture
def github():
    return FakeGitHub()


@pytest.fixture
def scope():
    return ScopeFactory()


def ghost(github, scope, name="left-behind", **traits):
    labels = ["self-hosted", fleet.owner_mark()]
    return github.add_runner(path_of(scope), name, labels=labels, **traits)


def names(github, scope):
    return sorted(there.name for there in github.runners(path_of(scope)))


def kinds():
    return sorted(Drift.objects.values_list("kind", flat=True))


def test_ghost_is_found_at_once_shown_after_a_minute_and_deregistered_then(github, scope):
    ghost(github, scope)

    run_pass(scope, github)
    row = Drift.objects.get()
    assert (row.kind, row.name, row.since) == ("ghost", "left-behind", NOW)
    assert not Drift.objects.filter(drift.settled(NOW)).exists()
    assert names(github, scope) == ["left-behind"]

    summary = run_pass(scope, github, now=SOON)

    assert (names(github, scope), kinds(), summary.mended) == ([], [], 1)
    assert Event.objects.get(action="drift.fixed").became == "not registered"


def test_busy_ghost_is_left_to_its_job(github, scope):
    ghost(github, scope, online=True, busy=True)

    for minutes in range(30):
        run_pass(scope, github, now=NOW + timedelta(minutes=minutes))

    assert (names(github, scope), kinds()) == (["left-behind"], ["ghost"])
    assert "delete_self_hosted_runner" not in github.calls


def test_online_ghost_is_given_five_minutes(github, scope):
    ghost(github, scope, online=True)

    for seconds, left in ((0, 1), (299, 1), (300, 0)):
        run_pass(scope, github, now=NOW + timedelta(seconds=seconds))
        assert len(names(github, scope)) == left


def test_ghost_is_kept_when_its_kind_is_not_mended_alone(github, scope, ada):
    drift.set_auto_kinds([], by=ada, now=NOW)
    ghost(github, scope)

    run_pass(scope, github)
    run_pass(scope, github, now=NOW + timedelta(days=3))

    assert (names(github, scope), Drift.objects.get().since) == (["left-behind"], NOW)


def test_somebody_elses_runner_is_counted_and_never_touched(github, scope, ada):
    github.add_runner(path_of(scope), "theirs")
    run_pass(scope, github)
    row = Drift.objects.get()

    with pytest.raises(InvalidRequest, match="Adopt it first"):
        drift.ask_to_fix([row], by=ada, reason="tidy", now=NOW)
    Drift.objects.update(fix_wanted_at=NOW)
    summary = run_pass(scope, github, now=NOW + timedelta(days=2))

    assert (row.kind, summary.foreign, names(github, scope)) == ("foreign", 1, ["theirs"])


def test_adopted_runner_is_deregistered_when_asked(github, scope, ada):
    github.add_runner(path_of(scope), "theirs")
    run_pass(scope, github)
    with pytest.raises(InvalidRequest, match="Say why"):
        drift.adopt(Drift.objects.get(), by=ada, reason=" ", now=NOW)

    drift.adopt(Drift.objects.get(), by=ada, reason="The old tool is gone", now=NOW)
    run_pass(scope, github, now=SOON)
    assert names(github, scope) == ["theirs"]
    drift.ask_to_fix([Drift.objects.get()], by=ada, reason="clean", now=SOON)
    run_pass(scope, github, now=SOON)

    assert names(github, scope) == []


def test_what_github_refuses_is_said_and_tried_again(github, scope):
    there = ghost(github, scope)
    run_pass(scope, github)
    github.set_runner(path_of(scope), there.name, busy=True)
    Drift.objects.update(fix_wanted_at=NOW)

    run_pass(scope, github, now=SOON)
    assert "counts a job" in Drift.objects.get().fix_error

    github.set_runner(path_of(scope), there.name, busy=False)
    run_pass(scope, github, now=SOON)
    assert names(github, scope) == []


def test_what_part_of_a_list_does_not_show_is_not_forgotten(github, scope):
    ghost(github, scope, online=True)
    run_pass(scope, github)
    drift.note(scope, [], complete=False, now=SOON)
    assert kinds() == ["ghost"]

    drift.note(scope, [], complete=True, now=SOON)
    assert kinds() == []


def test_outage_forgets_nothing_and_mends_nothing(github, scope):
    ghost(github, scope)
    run_pass(scope, github)
    github.fail_next("list_self_hosted_runners", GitHubUnavailable("502", status=502))

    run_pass(scope, github, now=SOON)

    assert (kinds(), names(github, scope)) == (["ghost"], ["left-behind"])


@pytest.mark.parametrize(
    ("kind", "there", "traits"),
    [
        ("busy-but-idle", {"online": True, "busy": True}, {}),
        ("labels", {"online": True, "labels": ["self-hosted", "linux", "other"]}, {}),
        (
            "alive-but-offline",
            {"online": False},
            {"github_offline_since": NOW - timedelta(seconds=90)},
        ),
        ("wrong-version", {"online": True}, {"runner_version": "2.300.0"}),
    ],
)
def test_each_disagreement_of_a_runner_has_its_name(kind, there, traits, github, scope):
    RunnerPackageFactory(scope=scope, version="2.336.0")
    runner = registered(github, scope=scope, host__offline_after=HEARD, **traits)
    labels = there.pop("labels", ["self-hosted", "linux", "x64", fleet.owner_mark()])
    github.set_runner(path_of(scope), runner.name, labels=labels, **there)

    run_pass(scope, github)

    row = Drift.objects.get()
    assert (row.kind, row.runner_id, row.host_id) == (kind, runner.pk, runner.host_id)


def test_healthy_runner_has_none(github, scope):
    RunnerPackageFactory(scope=scope, version="2.336.0")
    runner = registered(github, scope=scope, host__offline_after=HEARD)
    labels = ["self-hosted", "linux", "x64", fleet.owner_mark()]
    github.set_runner(path_of(scope), runner.name, labels=labels)

    run_pass(scope, github)

    assert kinds() == []


def test_silent_hosts_runner_is_unknown_not_wrong(github, scope):
    registered(github, scope=scope, busy=True, host__offline_after=NOW)

    run_pass(scope, github)

    assert kinds() == []


def test_ephemeral_runner_with_other_labels_is_drained(github, scope):
    runner = registered(github, scope=scope, host__offline_after=HEARD)
    github.set_runner(path_of(scope), runner.name, labels=["other"], online=True)

    run_pass(scope, github)
    run_pass(scope, github, now=SOON)

    assert stored(runner).state == RunnerState.DRAINING


def test_persistent_runner_with_other_labels_gets_the_wanted_ones(github, scope):
    runner = registered(
        github, scope=scope, persistent=True, labels=["linux", "gpu"], host__offline_after=HEARD
    )
    github.set_runner(path_of(scope), runner.name, labels=["other"], online=True)

    run_pass(scope, github)
    run_pass(scope, github, now=SOON)

    (there,) = github.runners(path_of(scope))
    assert {"gpu", fleet.owner_mark()} <= set(there.label_names)
    assert stored(runner).state == RunnerState.ACTIVE


# By hand.


def asked(row, by):
    drift.ask_to_fix([row], by=by, reason="now", now=SOON)


def test_registered_runner_is_given_up_on_before_its_deadline_on_a_persons_word(github, scope, ada):
    runner = registered(
        github,
        online=False,
        starting=True,
        scope=scope,
        state_changed_at=NOW,
        registered_at=NOW - timedelta(seconds=90),
        host__offline_after=HEARD,
    )
    run_pass(scope, github)
    row = Drift.objects.get()
    asked(row, ada)

    run_pass(scope, github, now=SOON)

    after = stored(runner)
    assert (row.kind, after.state, after.failure_cause) == (
        "never-online",
        "failed",
        "start-deadline",
    )


@pytest.mark.parametrize(
    ("kind", "there", "traits"),
    [
        ("busy-but-idle", {"busy": True}, {}),
        (
            "alive-but-offline",
            {"online": False},
            {"github_offline_since": NOW - timedelta(seconds=90)},
        ),
        ("wrong-version", {}, {"runner_version": "2.300.0"}),
    ],
)
def test_runner_is_drained_on_a_persons_word_and_never_before(
    kind, there, traits, github, scope, ada
):
    RunnerPackageFactory(scope=scope, version="2.336.0")
    runner = registered(github, scope=scope, host__offline_after=HEARD, **traits)
    labels = ["self-hosted", "linux", "x64", fleet.owner_mark()]
    github.set_runner(path_of(scope), runner.name, labels=labels, **there)
    run_pass(scope, github)
    run_pass(scope, github, now=NOW + timedelta(hours=1))
    assert (kinds(), stored(runner).state) == ([kind], "active")

    asked(Drift.objects.get(), ada)
    run_pass(scope, github, now=NOW + timedelta(hours=1))

    assert stored(runner).state == RunnerState.DRAINING


def test_duplicate_of_our_name_is_deleted_on_a_persons_word_and_ours_stays(github, scope, ada):
    runner = registered(github, scope=scope, host__offline_after=HEARD)
    labels = ["self-hosted", "linux", "x64", fleet.owner_mark()]
    github.set_runner(path_of(scope), runner.name, labels=labels)
    double = github.add_runner(path_of(scope), runner.name.upper(), labels=labels)
    run_pass(scope, github)
    row = Drift.objects.get()
    assert (row.kind, row.github_id) == ("duplicate-name", double.id)

    asked(row, ada)
    run_pass(scope, github, now=SOON)

    assert [there.id for there in github.runners(path_of(scope))] == [runner.github_id]


# Hosts.


def left_over(**thing):
    thing = {"kind": "work-directory", "name": "slot-9", "path": "/slots/9", **thing}
    return HostFactory(leftovers=[thing], offline_after=HEARD)


def test_left_over_directory_is_cleaned_by_its_host_after_a_minute():
    host = left_over()

    drift.note_hosts(now=NOW)
    assert drift.mend_hosts(now=NOW) == 0
    drift.note_hosts(now=SOON)
    assert [drift.mend_hosts(now=SOON), drift.mend_hosts(now=SOON)] == [1, 0]

    row = Host.objects.get()
    assert (row.leftovers_to_clean, row.wanted_version) == (["slot-9"], host.wanted_version + 1)


def test_unknown_process_waits_for_a_persons_word(ada):
    left_over(kind="process", pid=77)
    drift.note_hosts(now=NOW)
    assert (kinds(), drift.mend_hosts(now=SOON)) == (["unknown-process"], 0)

    drift.ask_to_fix(Drift.objects.all(), by=ada, reason="not ours", now=SOON)

    assert Host.objects.get().leftovers_to_clean == ["slot-9"]


def beat_with(host, *slots, version=0):
    """A heartbeat that speaks of these runners, by id and phase; returns the answer."""
    message = {
        "protocol": 1,
        "agent_version": "1",
        "boot_id": host.boot_id,
        "wanted_version": version,
        "slots": [{"runner_id": number, "phase": phase} for number, phase in slots],
    }
    host.refresh_from_db()
    policy = wiring.heartbeat_policy()
    return heartbeat.receive(host, "", parse_heartbeat(message), policy=policy, now=NOW)


def test_runner_that_was_never_made_here_is_stopped_at_a_persons_word(ada):
    host = HostFactory()
    assert beat_with(host, (4711, "listening")).wanted == ()
    drift.note_hosts(now=NOW)
    assert (kinds(), drift.mend_hosts(now=SOON)) == (["unknown-process"], 0)

    drift.ask_to_fix(Drift.objects.all(), by=ada, reason="of before the restore", now=SOON)

    answer = beat_with(host, (4711, "busy"))
    assert [(one.runner_id, one.stop, one.force) for one in answer.wanted] == [(4711, True, False)]
    assert answer.clean == ()
    beat_with(host, (4711, "gone"))
    drift.note_hosts(now=SOON)
    assert (kinds(), Host.objects.get().leftovers_to_clean) == ([], [])


def test_what_a_host_found_and_what_it_runs_unasked_are_kept_apart():
    host = left_over()

    beat_with(host, (4711, "listening"))
    host.refresh_from_db()

    assert [thing["kind"] for thing in host.leftovers] == ["work-directory", "runner"]
    kept = leftovers.columns(host, ())["leftovers"]
    assert isinstance(kept, list)
    assert [thing["kind"] for thing in kept] == ["runner"]


def test_what_its_host_no_longer_reports_is_gone():
    left_over()
    drift.note_hosts(now=NOW)
    Host.objects.update(leftovers=[])

    drift.note_hosts(now=SOON)

    assert kinds() == []


# Lost hosts.


def lost(github, **traits):
    silent = NOW - timedelta(minutes=5)
    return registered(github, host__offline_after=silent, **traits)


def test_idle_runner_of_a_lost_host_is_deleted_at_github_first_then_failed(github):
    runner = lost(github, online=False)

    run_pass(runner.scope, github)

    row = stored(runner)
    assert (row.state, row.failure_cause, at_github(runner, github)) == ("failed", "host-lost", [])
    assert row.slot is not None  # its process may still be there: the slot is not free


@pytest.mark.parametrize(
    ("there", "traits"),
    [
        ({"online": False, "busy": True}, {}),
        ({"online": True}, {}),
        ({"online": True, "busy": True}, {"busy": True}),
    ],
)
def test_runner_of_a_lost_host_is_kept_while_github_sees_it_work_or_wait(there, traits, github):
    runner = lost(github, online=there["online"])
    github.set_runner(path_of(runner.scope), runner.name, **there)

    run_pass(runner.scope, github)

    assert (stored(runner).state, len(at_github(runner, github))) == ("active", 1)


def test_deadline_of_a_silent_host_is_waited_for(github):
    heard = NOW - timedelta(minutes=5) + timedelta(seconds=1)
    runner = registered(github, online=False, host__offline_after=heard)

    run_pass(runner.scope, github)

    assert stored(runner).state == RunnerState.ACTIVE


def test_start_deadline_begins_anew_when_github_is_back(github):
    began = NOW - timedelta(hours=1)
    runner = RunnerFactory(new=True, state_changed_at=began, phase=Phase.STARTING)
    github.fail_next("list_self_hosted_runners", GitHubUnavailable("502", status=502))
    run_pass(runner.scope, github, now=NOW)
    scope = stored(runner.scope)

    run_pass(scope, github, now=NOW + timedelta(seconds=30))
    run_pass(stored(scope), github, now=NOW + timedelta(seconds=149))
    assert stored(runner).state == RunnerState.PROVISIONING
    Host.objects.update(offline_after=HEARD)
    run_pass(stored(scope), github, now=NOW + timedelta(seconds=150))

    assert (stored(runner).state, stored(runner).failure_cause) == ("failed", "start-deadline")


def test_choice_of_what_is_mended_alone_is_recorded_and_never_somebody_elses(ada):
    assert drift.set_auto_kinds(drift.auto_kinds(), by=ada, now=NOW) is None
    event = drift.set_auto_kinds([DriftKind.GHOST], by=ada, now=NOW)

    assert event is not None
    assert event.became == "ghost"
    assert drift.auto_kinds() == frozenset({DriftKind.GHOST})
    with pytest.raises(InvalidRequest, match="never touched"):
        drift.set_auto_kinds([DriftKind.FOREIGN], by=ada, now=NOW)


def test_removed_registration_is_told_while_the_process_lives(github, scope):
    RunnerFactory(
        scope=scope,
        github_status=GitHubStatus.ABSENT,
        github_seen_at=NOW,
        host__offline_after=HEARD,
    )

    run_pass(scope, github)

    assert kinds() == ["removed-at-github"]
    assert Runner.objects.get().state == RunnerState.ACTIVE

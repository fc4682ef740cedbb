"""Where what a host says leads: every phase in every state, ephemeral and persistent."""

from datetime import timedelta
from itertools import product

import pytest

from runners import heartbeat
from runners.models import Event, Host, Runner
from runners.states import Phase, RunnerState
from tests.domain.messages import POLICY, entry, report, slot
from tests.factories import NOW, HostFactory, RunnerFactory

pytestmark = pytest.mark.django_db

TOLD = [phase for phase in Phase if phase != Phase.UNSEEN]
SERVING = (RunnerState.PROVISIONING, RunnerState.ACTIVE)
HOLDING = [state for state in RunnerState if state != RunnerState.REMOVED]


def beat(host, *slots, **said):
    host.refresh_from_db()
    return heartbeat.receive(host, "", report(host, *slots, **said), policy=POLICY, now=NOW)


def stored(runner):
    return Runner.objects.get(pk=runner.pk)


def expected(state, phase, *, ephemeral, exit_code):
    """The state after a host said this of a runner that GitHub still has."""
    if state in SERVING:
        if phase in (Phase.FAILED, Phase.GONE):
            return RunnerState.FAILED
        if phase == Phase.EXITED and ephemeral:
            return RunnerState.REMOVING if exit_code == 0 else RunnerState.FAILED
    return state


@pytest.mark.parametrize("ephemeral", [True, False])
@pytest.mark.parametrize("exit_code", [0, 1, None])
@pytest.mark.parametrize(("state", "phase"), list(product(HOLDING, TOLD)))
def test_phase_leads_to_its_state(state, phase, exit_code, ephemeral):
    runner = RunnerFactory(state=state, phase=Phase.STARTING, ephemeral=ephemeral)

    for _ in range(2):  # told twice, it leads to the same
        beat(runner.host, slot(runner, phase.value, exit_code=exit_code, reason="As told"))

    row = stored(runner)
    assert row.phase == phase
    assert row.state == expected(state, phase, ephemeral=ephemeral, exit_code=exit_code)
    assert Event.objects.count() == (row.state != state)
    if row.state != state and phase != Phase.GONE:
        assert row.state_reason == "As told"
    freed = row.state == RunnerState.FAILED and phase == Phase.GONE
    assert (row.slot is None) == freed


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        (RunnerState.PROVISIONING, Phase.LISTENING),
        (RunnerState.ACTIVE, Phase.EXITED),
        (RunnerState.ACTIVE, Phase.FAILED),
        (RunnerState.ACTIVE, Phase.GONE),
        (RunnerState.DRAINING, Phase.EXITED),
        (RunnerState.DRAINING, Phase.FAILED),
        (RunnerState.DRAINING, Phase.GONE),
        (RunnerState.REMOVING, Phase.GONE),
        (RunnerState.FAILED, Phase.GONE),
    ],
)
def test_what_reconcile_must_look_at_wakes_it_once(state, phase, queued):
    runner = RunnerFactory(state=state, phase=Phase.STARTING)

    for _ in range(2):
        beat(runner.host, slot(runner, phase.value, exit_code=0))

    assert queued() == [("runners.tasks.reconcile_scope", (runner.scope_id,))]


@pytest.mark.parametrize("phase", [Phase.FETCHING, Phase.STARTING, Phase.BUSY, Phase.STOPPING])
def test_ordinary_progress_wakes_nobody(phase, queued):
    runner = RunnerFactory(starting=True, phase=Phase.PREPARING)

    beat(runner.host, slot(runner, phase.value))

    assert queued() == []


def test_removed_at_github_and_gone_on_the_host_closes_the_row_and_frees_the_slot():
    runner = RunnerFactory(removing=True, github_deleted_at=NOW, state_reason="Drained")

    answer = beat(runner.host, slot(runner, "gone"))

    assert (stored(runner).state, stored(runner).slot) == ("removed", None)
    assert stored(runner).state_reason == "Drained"
    assert answer.wanted == ()


def test_gone_on_the_host_alone_does_not_close_the_row():
    runner = RunnerFactory(removing=True, github_deleted_at=None, github_id=None)

    beat(runner.host, slot(runner, "gone"))

    assert (stored(runner).state, stored(runner).slot) == ("removing", 1)


def test_slot_of_a_failed_runner_is_free_once_its_host_let_go_whatever_github_says():
    runner = RunnerFactory(failed=True, github_deleted_at=None)

    answer = beat(runner.host, slot(runner, "gone"))

    assert (stored(runner).state, stored(runner).slot) == ("failed", None)
    assert answer.wanted == ()


def test_failed_runner_that_github_has_forgotten_is_done_with(queued):
    runner = RunnerFactory(failed=True, github_deleted_at=NOW)

    beat(runner.host, slot(runner, "gone"))

    assert stored(runner).slot is None
    assert queued() == []


def test_failure_without_words_still_has_a_reason():
    could_not, ended = RunnerFactory(starting=True), RunnerFactory(busy=True)

    beat(could_not.host, slot(could_not, "failed"))
    beat(ended.host, slot(ended, "exited", exit_code=137))

    assert stored(could_not).state_reason == "Could not start"
    assert stored(ended).state_reason == "Exited with code 137"


def test_finished_ephemeral_runner_without_words_has_a_reason_too():
    runner = RunnerFactory(busy=True)

    beat(runner.host, slot(runner, "exited", exit_code=0))

    assert stored(runner).state_reason == "Finished its job"


def test_process_facts_are_written_and_measured_use_only_while_a_job_runs():
    runner = RunnerFactory(phase=Phase.STARTING, runner_version="")
    started = NOW - timedelta(minutes=1)
    use = {"cpu_percent": 150.0, "memory_bytes": 7}

    beat(
        runner.host,
        slot(
            runner,
            "busy",
            pid=99,
            process_started_at=started.isoformat(),
            job={"name": "build", "started_at": started.isoformat()},
            **use,
        ),
    )
    row = stored(runner)
    assert (row.pid, row.process_started_at, row.observed_at) == (99, started, NOW)
    assert (row.job_name, row.job_started_at, row.runner_version) == ("build", started, "2.336.0")
    assert (row.cpu_percent, row.memory_bytes) == (150.0, 7)

    beat(runner.host, slot(runner, "listening", runner_version="", **use))
    row = stored(runner)
    assert (row.job_name, row.cpu_percent, row.memory_bytes) == ("", None, None)
    assert row.runner_version == "2.336.0"


def test_use_that_is_not_told_keeps_the_last_one():
    runner = RunnerFactory(busy=True, cpu_percent=80.0, memory_bytes=5)

    beat(runner.host, slot(runner, "busy", cpu_percent=None, memory_bytes=None))

    assert (stored(runner).cpu_percent, stored(runner).memory_bytes) == (80.0, 5)


def test_writer_that_moves_the_runner_first_wins_and_the_facts_are_kept(monkeypatch):
    runner = RunnerFactory(starting=True)
    rows = Runner.objects.filter

    def moved_in_between(**wanted):
        if wanted == {"pk": runner.pk}:  # about to write what the host said
            rows(pk=runner.pk).update(state=RunnerState.REMOVING)
        return rows(**wanted)

    monkeypatch.setattr(Runner.objects, "filter", moved_in_between)
    answer = beat(runner.host, slot(runner, "failed", reason="No disk"))

    assert (stored(runner).state, stored(runner).phase) == ("removing", "failed")
    assert not Event.objects.exists()
    assert [wanted.stop for wanted in answer.wanted] == [True]


def test_jobs_in_the_journal_are_counted_once_however_often_they_are_told():
    host = HostFactory()
    runner, other = RunnerFactory(host=host), RunnerFactory(host=host, slot=2)
    journal = [
        entry(40, "job-started", runner),
        entry(41, "job-completed", runner, result="Succeeded"),
        entry(43, "job-completed", other),
        entry(42, "job-completed", runner),
        entry(44, "agent-started"),
    ]

    for _ in range(3):
        answer = beat(host, journal=journal)

    assert (stored(runner).jobs_done, stored(other).jobs_done) == (2, 1)
    assert answer.journal_seq == Host.objects.get().journal_seq == 44


def test_only_the_news_of_a_journal_is_counted():
    host = HostFactory(journal_seq=41)
    runner = RunnerFactory(host=host)

    beat(host, journal=[entry(41, "job-completed", runner), entry(42, "job-completed", runner)])

    assert stored(runner).jobs_done == 1


def test_runner_whose_job_passed_between_two_heartbeats_is_idle_since_then():
    runner = RunnerFactory(persistent=True, online_at=NOW - timedelta(hours=1))

    beat(runner.host, slot(runner, "listening"), journal=[entry(1, "job-completed", runner)])

    assert stored(runner).job_ended_at == NOW


def test_journal_of_a_heartbeat_that_came_twice_at_once_is_counted_once():
    host = HostFactory()
    runner = RunnerFactory(host=host)
    first, second = Host.objects.get(pk=host.pk), Host.objects.get(pk=host.pk)
    said = report(host, journal=[entry(1, "job-completed", runner)])

    heartbeat.receive(first, "", said, policy=POLICY, now=NOW)
    answer = heartbeat.receive(second, "", said, policy=POLICY, now=NOW)

    assert stored(runner).jobs_done == 1
    assert answer.journal_seq == 1


def test_journal_of_a_runner_on_another_host_counts_nothing():
    host, victim = HostFactory(), RunnerFactory()

    answer = beat(host, journal=[entry(1, "job-completed", victim)])

    assert stored(victim).jobs_done == 0
    assert answer.journal_seq == 1


def test_long_journal_is_taken_piece_by_piece():
    host = HostFactory()
    runner = RunnerFactory(host=host)
    journal = [entry(number, "job-completed", runner) for number in range(1, 251)]

    answer = beat(host, journal=journal)
    assert answer.journal_seq == 200
    answer = beat(host, journal=journal[200:])

    assert (answer.journal_seq, stored(runner).jobs_done) == (250, 250)

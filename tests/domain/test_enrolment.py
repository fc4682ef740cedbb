"""Hosts come and go: codes, enrolling, cordon, drain, retirement, slots."""

from datetime import timedelta

import pytest

from runners import enrolment, heartbeat, lifecycle, tasks, tokens
from runners.errors import Gone, InvalidRequest, NameTaken, NotPermitted, StaleState
from runners.host_facts import Facts
from runners.models import EnrolmentCode, Event, Host, Runner
from runners.states import Phase, RunnerState
from tests.factories import (
    NOW,
    EnrolmentCodeFactory,
    HostFactory,
    RunnerFactory,
    give_token,
)

pytestmark = pytest.mark.django_db

GIB = 2**30
FACTS = Facts(hostname="forge-01", architecture="x64", cpu_count=8, memory_bytes=32 * GIB)


def new_code(ada, **wanted):
    """A code's text."""
    _, token = enrolment.issue_code(by=ada, now=NOW, **{"minutes": 15, **wanted})
    return token.text


def enrol(code, *, name="forge-01", now=NOW, **wanted):
    said = {"facts": FACTS, "agent_version": "0.1.0", "site": "", "slots": None, **wanted}
    return enrolment.enrol(code, name=name, now=now, **said)


def test_code_turns_one_machine_into_a_host_with_a_token(ada):
    code = new_code(ada)

    done = enrol(code)

    host = Host.objects.get()
    assert done.host == host == heartbeat.authenticate(done.token.text)
    assert (host.name, host.architecture, host.agent_version) == ("forge-01", "x64", "0.1.0")
    assert (host.enrolled_at, host.last_seen_at) == (NOW, None)
    used = EnrolmentCode.objects.get()
    assert (used.used_at, used.host) == (NOW, host)


def test_enrolment_is_recorded_without_its_secrets(ada):
    code = new_code(ada, site="eu-west")
    done = enrol(code)

    events = list(Event.objects.order_by("pk").values_list("action", "actor_name"))
    assert events == [("enrolment.issue", "ada"), ("host.enrol", "forge-01")]
    kept = f"{Event.objects.values_list()}{EnrolmentCode.objects.values_list()}{done!r}"
    assert code not in kept
    assert done.token.text not in kept


def test_code_is_good_once(ada):
    code = new_code(ada)
    enrol(code)

    with pytest.raises(Gone):
        enrol(code, name="forge-02")

    assert Host.objects.count() == 1


def test_machine_that_got_no_answer_asks_again_until_its_first_heartbeat(ada):
    code = new_code(ada)
    lost = enrol(code)

    done = enrol(code)

    assert Host.objects.get() == done.host == heartbeat.authenticate(done.token.text)
    with pytest.raises(NotPermitted):
        heartbeat.authenticate(lost.token.text)
    assert Event.objects.filter(action="host.enrol").count() == 2
    Host.objects.update(last_seen_at=NOW)
    with pytest.raises(Gone):
        enrol(code)


def test_code_that_has_run_out_answers_nobody_again(ada):
    code = new_code(ada, minutes=15)
    enrol(code)

    with pytest.raises(Gone):
        enrol(code, now=NOW + timedelta(minutes=15))


@pytest.mark.parametrize(("seconds", "good"), [(-1, True), (0, False), (1, False)])
def test_code_runs_out(seconds, good, ada):
    code = new_code(ada)
    now = NOW + timedelta(minutes=15, seconds=seconds)

    if good:
        assert enrol(code, now=now).host.pk
    else:
        with pytest.raises(Gone):
            enrol(code, now=now)


def test_revoked_code_is_useless_and_cannot_be_revoked_twice(ada):
    code = new_code(ada)
    row = EnrolmentCode.objects.get()
    event = enrolment.revoke_code(row, by=ada, now=NOW)

    with pytest.raises(Gone):
        enrol(code)
    with pytest.raises(InvalidRequest):
        enrolment.revoke_code(row, by=ada, now=NOW)

    assert event.action == "enrolment.revoke"


def test_used_code_cannot_be_revoked(ada):
    enrol(new_code(ada))

    with pytest.raises(InvalidRequest, match="already used"):
        enrolment.revoke_code(EnrolmentCode.objects.get(), by=ada, now=NOW)


@pytest.mark.parametrize(
    "code",
    ["", "nonsense", "fla_0123456789ab_x", "fle_0123456789ab_x", "fle_\x00\x00\x00\x00\x00\x00_x"],
)
def test_code_we_never_made_is_not_permitted(code):
    EnrolmentCodeFactory()

    with pytest.raises(NotPermitted):
        enrol(code)


def test_right_prefix_with_another_secret_is_not_permitted(ada):
    code = new_code(ada)

    with pytest.raises(NotPermitted):
        enrol(code[:-1] + ("a" if code[-1] != "a" else "b"))

    assert EnrolmentCode.objects.get().used_at is None


@pytest.mark.parametrize("name", ["", "forge 01", "forge.01", "f" * 41, "-/-", "förge"])
def test_name_that_runner_names_cannot_hold_is_refused_and_the_code_stays_good(name, ada):
    code = new_code(ada)

    with pytest.raises(InvalidRequest):
        enrol(code, name=name)

    assert enrol(code, name="f" * 40).host.name == "f" * 40


def test_taken_name_is_refused_and_the_code_stays_good(ada):
    HostFactory(name="forge-01")
    code = new_code(ada)

    with pytest.raises(NameTaken, match="already enrolled"):
        enrol(code)

    assert enrol(code, name="forge-02").host.name == "forge-02"


def test_name_taken_in_the_same_moment_is_refused(ada, monkeypatch):
    code = new_code(ada)
    save = Host.save

    def somebody_else_first(self, *args, **kwargs):
        monkeypatch.setattr(Host, "save", save)
        HostFactory(name=self.name)
        save(self, *args, **kwargs)

    monkeypatch.setattr(Host, "save", somebody_else_first)

    with pytest.raises(NameTaken, match="a moment ago"):
        enrol(code)


def test_retired_host_comes_back_as_itself_with_its_history(ada):
    host = HostFactory(
        name="forge-01",
        retired=True,
        cordoned_for_work=True,
        journal_seq=99,
        site="eu-west",
        owner="Build team",
    )
    old = give_token(host)
    RunnerFactory(host=host, removed=True)

    done = enrol(new_code(ada))

    row = Host.objects.get()
    assert row.pk == host.pk == done.host.pk
    assert (row.retired_at, row.cordoned_at, row.last_seen_at, row.journal_seq) == (
        None,
        None,
        None,
        0,
    )
    assert (row.site, row.owner, row.runners.count()) == ("eu-west", "Build team", 1)
    with pytest.raises(NotPermitted):
        heartbeat.authenticate(old)


@pytest.mark.parametrize(
    ("of_code", "asked", "kept"),
    [
        (("", None), ("", None), ("", 4)),
        (("eu", 3), ("", None), ("eu", 3)),
        (("eu", 3), ("us", 5), ("us", 5)),
    ],
)
def test_site_and_slots_come_from_the_host_then_the_code_then_its_size(of_code, asked, kept, ada):
    code = new_code(ada, site=of_code[0], slots=of_code[1])

    host = enrol(code, site=asked[0], slots=asked[1]).host

    assert (host.site, host.slots) == kept


@pytest.mark.parametrize(
    ("cpu_count", "memory_bytes", "slots"),
    [
        (None, None, 1),
        (1, 1 * GIB, 1),
        (2, 2 * GIB, 1),
        (8, 64 * GIB, 4),
        (64, 8 * GIB, 4),
        (4096, 2**50, 256),
    ],
)
def test_slots_by_size_leave_each_job_two_cores_and_two_gigabytes(cpu_count, memory_bytes, slots):
    assert enrolment.default_slots(Facts(cpu_count=cpu_count, memory_bytes=memory_bytes)) == slots


@pytest.mark.parametrize("slots", [0, -1, 257])
def test_slots_out_of_range_are_refused_wherever_they_come_from(slots, ada):
    with pytest.raises(InvalidRequest):
        enrolment.issue_code(by=ada, now=NOW, minutes=15, slots=slots)
    with pytest.raises(InvalidRequest):
        enrolment.set_slots(HostFactory(), slots, by=ada, reason="", now=NOW)
    if slots:
        with pytest.raises(InvalidRequest):
            enrol(new_code(ada), slots=slots)


def test_slots_are_changed_and_recorded(ada):
    host = HostFactory(slots=4)

    event = enrolment.set_slots(host, 2, by=ada, reason="Noisy", now=NOW)

    assert (Host.objects.get().slots, host.slots) == (2, 2)
    assert (event.was, event.became, event.reason) == ("4", "2", "Noisy")


def test_what_each_slot_may_use_is_changed_and_recorded(ada):
    host = HostFactory(slots=4)

    event = enrolment.set_slots(
        host, 4, cpu_cores=2.5, memory_bytes=8 * 10**9, by=ada, reason="", now=NOW
    )

    stored = Host.objects.get()
    assert (stored.slot_cpu_cores, stored.slot_memory_bytes) == (2.5, 8 * 10**9)
    assert (event.was, event.became) == ("4", "4, 2.5 cores each, 8 GB each")


def test_cordon_and_uncordon_are_recorded_once_each(ada):
    host = HostFactory()

    first = enrolment.cordon(host, by=ada, reason="Disk", now=NOW)
    again = enrolment.cordon(host, by=ada, reason="Other", now=NOW)
    assert (host.cordoned, Host.objects.get().cordoned_reason) == (True, "Disk")
    opened = enrolment.uncordon(host, by=ada, reason="", now=NOW)
    open_again = enrolment.uncordon(host, by=ada, reason="", now=NOW)

    assert (again, open_again, host.cordoned) == (None, None, False)
    assert first is not None
    assert opened is not None
    assert (first.became, opened.became) == ("cordoned", "open")
    assert Event.objects.count() == 2


def test_draining_a_host_cordons_it_and_drains_what_serves(ada):
    host = HostFactory(slots=8)
    states = [state for state in RunnerState if state != RunnerState.REMOVED]
    for slot, state in enumerate(states, start=1):
        RunnerFactory(host=host, slot=slot, state=state)
    elsewhere = RunnerFactory()
    deadline = NOW + timedelta(hours=1)

    drained = enrolment.drain_host(host, by=ada, reason="Kernel", now=NOW, deadline_at=deadline)

    assert host.cordoned
    assert len(drained) == 2
    assert Runner.objects.filter(host=host, state="draining").count() == 3
    assert Runner.objects.filter(drain_deadline_at=deadline).count() == 2
    assert Runner.objects.get(pk=elsewhere.pk).state == RunnerState.ACTIVE


def test_runner_that_moves_while_its_host_is_drained_does_not_stop_the_rest(ada, monkeypatch):
    host = HostFactory()
    first, second = RunnerFactory(host=host, slot=1), RunnerFactory(host=host, slot=2)
    drain = lifecycle.drain

    def first_moves(runner, **kwargs):
        if runner.pk == first.pk:
            raise StaleState("Moved")
        return drain(runner, **kwargs)

    monkeypatch.setattr(lifecycle, "drain", first_moves)

    assert enrolment.drain_host(host, by=ada, reason="", now=NOW) == [second]


def test_retired_host_is_out_and_its_runners_leave_github(ada, queued):
    host = HostFactory()
    runners = [
        RunnerFactory(host=host, slot=1),
        RunnerFactory(host=host, slot=2, draining=True),
        RunnerFactory(host=host, slot=3, failed=True),
        RunnerFactory(host=host, slot=4, removing=True),
    ]

    event = enrolment.retire(host, by=ada, reason="Sold", now=NOW)

    assert (Host.objects.get().retired_at, host.retired_at) == (NOW, NOW)
    assert set(Runner.objects.values_list("state", flat=True)) == {RunnerState.REMOVING}
    assert (event.action, event.reason) == ("host.retire", "Sold")
    assert sorted(queued()) == sorted(
        ("runners.tasks.reconcile_scope", (runner.scope_id,)) for runner in runners
    )


@pytest.mark.parametrize("traits", [{"phase": Phase.BUSY}, {"github_busy": True}])
def test_host_with_a_job_is_not_retired(traits, ada):
    runner = RunnerFactory(**traits)

    with pytest.raises(InvalidRequest, match=f"{runner.name} may be running a job"):
        enrolment.retire(runner.host, by=ada, reason="", now=NOW)

    assert Host.objects.get().retired_at is None
    assert Runner.objects.get().state == RunnerState.ACTIVE


def test_host_is_retired_once(ada):
    host = HostFactory()
    enrolment.retire(host, by=ada, reason="", now=NOW)

    with pytest.raises(InvalidRequest, match="already retired"):
        enrolment.retire(host, by=ada, reason="", now=NOW)


def test_tokens_of_ours_are_long_random_and_told_apart_by_kind():
    made = {tokens.new_token(kind).text for kind in ("fla", "fle") for _ in range(50)}

    assert len(made) == 100
    assert all(len(text) == 60 for text in made)
    token = tokens.new_token("fla")
    assert tokens.prefix_of(token.text, "fla") == token.prefix
    assert tokens.prefix_of(token.text, "fle") == ""
    assert tokens.matches(token.text, token.sha256)
    assert not tokens.matches(token.text, "")
    assert token.text not in repr(token)


def test_sweep_says_how_many_fell_silent(monkeypatch):
    monkeypatch.setattr("runners.wiring.now", lambda: NOW)
    HostFactory(offline=True)

    assert [tasks.sweep_hosts(), tasks.sweep_hosts()] == [
        "1 fell silent, 0 left over, 0 asked to clean",
        "0 fell silent, 0 left over, 0 asked to clean",
    ]


def test_host_named_like_the_page_that_adds_one_is_refused(ada):
    code = new_code(ada)

    with pytest.raises(InvalidRequest, match="can't be named new"):
        enrolment.enrol(
            code, name="new", facts=FACTS, agent_version="", site="", slots=None, now=NOW
        )

    assert not EnrolmentCode.objects.filter(used_at__isnull=False).exists()

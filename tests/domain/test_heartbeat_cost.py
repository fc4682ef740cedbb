"""What a heartbeat costs, and when the quick way may be taken."""

from datetime import timedelta

import pytest

from runners import heartbeat, lifecycle, tokens
from runners.models import Host, Runner
from runners.states import Phase
from tests.domain.messages import POLICY, SAMPLE, as_told, report
from tests.domain.messages import heartbeat as message
from tests.factories import NOW, HostFactory, RunnerFactory, give_token

pytestmark = pytest.mark.django_db


def beat(host, *slots, token="", now=NOW, **said):
    """One heartbeat, the long way."""
    host.refresh_from_db()
    return heartbeat.receive(host, token, report(host, *slots, **said), policy=POLICY, now=now)


def stored(row):
    return type(row).objects.get(pk=row.pk)


@pytest.mark.parametrize("runners", [0, 1, 30])
def test_unchanged_heartbeat_costs_three_queries_the_long_way(runners, django_assert_num_queries):
    host = HostFactory(slots=40)
    token = give_token(host)
    rows = [RunnerFactory(host=host, slot=number + 1) for number in range(runners)]
    said = report(host, *(as_told(row) for row in rows), sample=SAMPLE)
    heartbeat.receive(host, token, said, policy=POLICY, now=NOW)

    with django_assert_num_queries(3):
        again = heartbeat.authenticate(token)
        heartbeat.receive(again, token, said, policy=POLICY, now=NOW + timedelta(seconds=30))


@pytest.mark.parametrize("runners", [0, 1, 30])
def test_heartbeat_that_says_nothing_new_costs_one_query(runners, django_assert_num_queries):
    host = HostFactory(slots=40)
    token = give_token(host)
    rows = [RunnerFactory(host=host, slot=number + 1) for number in range(runners)]
    said = message(host, *(as_told(row) for row in rows), sample=SAMPLE)
    later = NOW + timedelta(seconds=30)
    assert heartbeat.quick(token, said, policy=POLICY, now=later) is None
    beat(host, *(as_told(row) for row in rows), token=token, sample=SAMPLE)

    with django_assert_num_queries(1):
        version = heartbeat.quick(token, said, policy=POLICY, now=later)

    assert version == stored(host).wanted_version
    assert stored(host).last_seen_at == later
    assert stored(host).offline_after == later + timedelta(seconds=90)


def quiet_host():
    """A host that said all it has to say, its token, and those words."""
    host = HostFactory()
    token = give_token(host)
    runner = RunnerFactory(host=host)
    beat(host, as_told(runner), token=token, sample=SAMPLE)
    return host, token, runner, message(host, as_told(runner), sample=SAMPLE)


@pytest.mark.parametrize(
    "change",
    [
        {"wanted_version": None},
        {"wanted_version": 999},
        {"wanted_version": 2**70},
        {"agent_version": "0.2.0"},
        {"boot_id": "another"},
        {"facts": {}},
        {"journal": [{"seq": 1, "at": NOW.isoformat(), "kind": "adopted"}]},
        {"slots": []},
    ],
)
def test_anything_new_takes_the_long_way(change):
    _, token, _, words = quiet_host()

    assert heartbeat.quick(token, words, policy=POLICY, now=NOW) is not None
    assert heartbeat.quick(token, words | change, policy=POLICY, now=NOW) is None


@pytest.mark.parametrize(
    "phase", [phase for phase in Phase if phase not in (Phase.LISTENING, Phase.UNSEEN)]
)
def test_new_phase_takes_the_long_way(phase):
    host, token, runner, _ = quiet_host()
    words = message(host, as_told(runner) | {"phase": phase.value}, sample=SAMPLE)

    assert heartbeat.quick(token, words, policy=POLICY, now=NOW) is None


@pytest.mark.parametrize(
    "change",
    [
        {"token_rotation_asked_at": NOW},
        {"offline_noted_at": NOW},
        {"retired_at": NOW},
        {"sampled_at": NOW - timedelta(seconds=60)},
        {"sampled_at": None},
        {"wanted_version": 77},
        {"token_sha256": tokens.digest("another")},
    ],
)
def test_anything_left_to_tell_the_host_takes_the_long_way(change):
    host, token, _, words = quiet_host()
    Host.objects.filter(pk=host.pk).update(**change)

    assert heartbeat.quick(token, words, policy=POLICY, now=NOW) is None


def test_quick_heartbeat_without_a_sample_keeps_the_last_one():
    host, token, _, words = quiet_host()

    said = {key: value for key, value in words.items() if key != "sample"}

    assert heartbeat.quick(token, said, policy=POLICY, now=NOW) is not None
    assert stored(host).cpu_percent == SAMPLE["cpu_percent"]


@pytest.mark.parametrize("token", ["", "fla_0123456789ab_wrong", "fle_0123456789ab_wrong"])
def test_quick_way_opens_to_no_other_token(token):
    _, _, _, words = quiet_host()

    assert heartbeat.quick(token, words, policy=POLICY, now=NOW) is None


def test_quick_way_is_never_learned_while_something_moves():
    host = HostFactory()
    token = give_token(host)
    runner = RunnerFactory(host=host, draining=True)
    beat(host, as_told(runner), token=token, sample=SAMPLE)

    words = message(host, as_told(runner), sample=SAMPLE)

    assert heartbeat.quick(token, words, policy=POLICY, now=NOW) is None


def test_every_change_of_the_wanted_set_ends_the_quick_way(ada):
    _, token, runner, words = quiet_host()
    lifecycle.drain(Runner.objects.get(pk=runner.pk), by=ada, reason="", now=NOW)

    assert heartbeat.quick(token, words, policy=POLICY, now=NOW) is None

"""A GitHub that hangs, stalls or trickles is given up in the time one call may take, all tries
together; sockets are real, and what is compared is the allowance, never a clock."""

from __future__ import annotations

import time
from io import BytesIO

import pytest

from runners.github.errors import GitHubUnavailable
from runners.github.http import LEAST_TRY_SECONDS, Allowance, Times
from runners.github.urls import ScopePath
from runners.simulator import Fault, Simulator
from tests.github import bodies
from tests.github.conftest import Connect, MakeClient
from tests.github.scripted import Reply, ScriptedServer

ORG = ScopePath.organization("acme")
# Enough for two tries that get no answer, with the pause between them, and no third.
TWO_TRIES = Times(connect_seconds=1, read_seconds=0.4, call_seconds=1.5)
GENEROUS_SECONDS = 20.0


def test_tries_of_one_read_share_one_allowance(
    make_client: MakeClient, server: ScriptedServer
) -> None:
    client = make_client(times=TWO_TRIES, checked=False)
    server.will(*[Reply(hang=True)] * 9)

    with pytest.raises(GitHubUnavailable, match="did not answer in time"):
        client.list_self_hosted_runners(ORG)
    assert len(server.received) == 2


def test_last_try_gets_no_longer_than_what_is_left(
    make_client: MakeClient, server: ScriptedServer
) -> None:
    client = make_client(times=Times(read_seconds=600, call_seconds=0.2), checked=False)
    server.will(Reply(hang=True))
    began = time.monotonic()

    with pytest.raises(GitHubUnavailable):
        client.list_self_hosted_runners(ORG)
    assert time.monotonic() - began < GENEROUS_SECONDS
    assert len(server.received) == 1


def test_read_that_hung_once_is_asked_again_and_answered(
    make_client: MakeClient, server: ScriptedServer
) -> None:
    client = make_client(times=Times(read_seconds=0.2, call_seconds=GENEROUS_SECONDS))
    server.will(Reply(hang=True), Reply(200, bodies.runner()))

    assert client.get_self_hosted_runner(ORG, 1).id == 1


def test_body_that_trickles_is_given_up(make_client: MakeClient, server: ScriptedServer) -> None:
    """Each byte comes well within the time for the next bytes; the whole never does."""
    client = make_client(times=Times(read_seconds=5, call_seconds=0.3), checked=False)
    server.will(Reply(trickle=True))

    with pytest.raises(GitHubUnavailable, match="did not end in time"):
        client.get_self_hosted_runner(ORG, 1)


def test_download_has_a_deadline_of_its_own(
    make_client: MakeClient, server: ScriptedServer
) -> None:
    times = Times(read_seconds=5, call_seconds=GENEROUS_SECONDS, download_seconds=0.3)
    client = make_client(times=times, checked=False)
    server.will(Reply(trickle=True))

    with pytest.raises(GitHubUnavailable, match="did not end in time"):
        client.download_release_asset(ScopePath.repository("actions/runner"), 1, BytesIO())


def test_change_that_gets_no_answer_is_sent_once_and_may_have_happened(
    make_client: MakeClient, server: ScriptedServer
) -> None:
    client = make_client(times=TWO_TRIES, checked=False)
    server.will(*[Reply(hang=True)] * 3)

    with pytest.raises(GitHubUnavailable) as caught:
        client.create_registration_token(ORG)
    assert caught.value.may_have_happened
    assert len(server.received) == 1


@pytest.mark.parametrize("kind", ["hang", "slow"])
def test_simulator_that_stalls_is_given_up(sim: Simulator, connect: Connect, kind: str) -> None:
    sim.add_fault(Fault(kind, seconds=40, path="/actions/runners$"))
    client = connect(times=TWO_TRIES)
    began = time.monotonic()

    with pytest.raises(GitHubUnavailable):
        client.list_self_hosted_runners(ORG)
    assert time.monotonic() - began < GENEROUS_SECONDS


def test_time_outs_of_production_let_an_outage_show_within_twenty_seconds() -> None:
    times = Times()

    assert times.connect_seconds + times.read_seconds <= times.call_seconds <= 15


def test_allowance_never_gives_a_time_out_of_nothing() -> None:
    """To a socket 0 means "for ever"."""
    allowance = Allowance(Times(call_seconds=1))
    allowance.spend(5)

    assert allowance.at_most(10) > 0
    assert not allowance.covers(0)


def test_allowance_covers_a_pause_with_a_try_behind_it() -> None:
    allowance = Allowance(Times(call_seconds=2))

    assert allowance.covers(2 - LEAST_TRY_SECONDS)
    assert not allowance.covers(2)

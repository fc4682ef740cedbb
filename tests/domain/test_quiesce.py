"""A quiesced fleet lets no runner in, by any path; what is up and what runs goes on."""

from __future__ import annotations

import ast
from datetime import timedelta
from pathlib import Path

import pytest

from runners import fleet, heartbeat, lifecycle, pools, registration
from runners.errors import InvalidRequest, Quiesced
from runners.models import Event, Runner
from runners.pool_picture import Rules
from runners.states import RunnerState
from tests.domain.messages import POLICY, report
from tests.factories import (
    NOW,
    HostFactory,
    PoolFactory,
    RunnerFactory,
    RunnerPackageFactory,
    ScopeFactory,
    give_token,
)

pytestmark = pytest.mark.django_db
RULES = Rules()
RUNNERS = Path(lifecycle.__file__).resolve().parent
ELSEWHERE = {"agent", "simulator", "migrations", "github"}


def quiesce(ada):
    return fleet.quiesce(by=ada, reason="Moving the database", now=NOW)


def order():
    return lifecycle.Order(scope=ScopeFactory(), labels=["linux"])


# Every way in


def functions_that_call(*names: str) -> set[str]:
    """`file:function` of each function of the product that calls one of these."""
    found = set()
    for path in RUNNERS.rglob("*.py"):
        if ELSEWHERE & set(path.relative_to(RUNNERS).parts):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and calls(node) & set(names):
                found.add(f"{path.relative_to(RUNNERS)}:{node.name}")
    return found


def calls(function: ast.FunctionDef) -> set[str]:
    return {ast.unparse(node.func) for node in ast.walk(function) if isinstance(node, ast.Call)}


def test_a_runner_is_made_in_one_place_only():
    made = functions_that_call(
        "Runner",
        "Runner.objects.create",
        "Runner.objects.bulk_create",
        "Runner.objects.get_or_create",
        "Runner.objects.update_or_create",
    )

    assert made == {"lifecycle.py:_create"}
    in_lifecycle = {
        name for name in functions_that_call("_create") if name.startswith("lifecycle.py")
    }
    assert in_lifecycle == {"lifecycle.py:provision"}


def test_a_runner_registers_through_one_door_only():
    secrets = {"issue_jit", "issue_registration", "generate"}
    asked = functions_that_call("github.generate_jitconfig", "github.create_registration_token")

    assert {name.partition(":")[0] for name in asked} == {"registration.py"}
    assert {name.partition(":")[2] for name in asked} <= secrets
    assert functions_that_call("registrations.issue_jit", "registrations.issue_registration") == {
        "api/agent.py:jit_config",
        "api/agent.py:registration",
    }
    for view in ("jit_config", "registration"):
        assert f"api/agent.py:{view}" in functions_that_call("_runner")
    assert "api/agent.py:_runner" in functions_that_call("registrations.startable_runner")


@pytest.mark.parametrize("door", ["lifecycle.py:provision", "registration.py:startable_runner"])
def test_each_door_asks_whether_the_fleet_is_open(door):
    assert door in functions_that_call("fleet.require_open")


# What each way says


def test_provisioning_is_refused_in_clear_words(ada):
    HostFactory()
    quiesce(ada)

    with pytest.raises(Quiesced, match=r"Moving the database\. No new runner starts until"):
        lifecycle.provision(order(), by=ada, reason="", now=NOW)
    assert not Runner.objects.exists()


def test_pools_start_nothing_and_their_decision_says_why(ada):
    HostFactory()
    PoolFactory(min_idle=2)
    quiesce(ada)

    done = pools.scale(RULES, now=NOW, by=ada)

    (decision,) = done.plan.decisions
    assert (decision.start, done.started) == (0, ())
    assert "quiesced since" in decision.why


def test_a_registration_is_to_be_asked_for_again(ada):
    runner = RunnerFactory(new=True)
    quiesce(ada)

    with pytest.raises(Quiesced):
        registration.startable_runner(runner.host, runner.pk)


def told(host, token):
    host.refresh_from_db()
    answer = heartbeat.receive(host, token, report(host), policy=POLICY, now=NOW)
    return [entry.runner_id for entry in answer.wanted]


def test_a_host_is_not_told_to_begin_a_runner_and_is_once_the_fleet_is_open(ada):
    host = HostFactory()
    token = give_token(host)
    up = RunnerFactory(host=host, busy=True)
    new = RunnerFactory(host=host, slot=2, new=True)
    RunnerPackageFactory(scope=new.scope)
    quiesce(ada)

    held_back = told(host, token)
    fleet.resume(by=ada, reason="", now=NOW)

    assert held_back == [up.pk]
    assert told(host, token) == [up.pk, new.pk]


def test_a_runner_its_host_began_goes_on(ada):
    host = HostFactory()
    token = give_token(host)
    begun = RunnerFactory(host=host, starting=True)
    RunnerPackageFactory(scope=begun.scope)
    quiesce(ada)

    assert told(host, token) == [begun.pk]


# The switch


def test_runners_that_are_up_and_their_jobs_go_on(ada):
    runner = RunnerFactory(busy=True)

    quiesce(ada)

    assert Runner.objects.get(pk=runner.pk).state == RunnerState.ACTIVE


def test_it_needs_a_reason_and_happens_once(ada):
    with pytest.raises(InvalidRequest, match="Say why"):
        fleet.quiesce(by=ada, reason=" ", now=NOW)

    assert quiesce(ada) is not None
    assert quiesce(ada) is None
    assert Event.objects.get().reason == "Moving the database"


def test_an_open_fleet_says_nothing_and_resumes_to_nothing(ada):
    assert fleet.quiesced() == ""
    assert fleet.resume(by=ada, reason="", now=NOW) is None


def test_runners_held_back_get_their_whole_time_to_start(ada):
    runner = RunnerFactory(new=True, state_changed_at=NOW)
    quiesce(ada)
    later = NOW + timedelta(hours=3)

    fleet.resume(by=ada, reason="", now=later)

    runner.refresh_from_db()
    assert runner.state_changed_at == later

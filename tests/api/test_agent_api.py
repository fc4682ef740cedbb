"""What host agents are answered, message by message, with the examples both sides share."""

import zlib
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.urls import reverse

from runners import enrolment, fleet, wiring
from runners.audit import Actor
from runners.github.errors import (
    Forbidden,
    GitHubUnavailable,
    RateLimited,
    Unauthorized,
)
from runners.models import EnrolmentCode, Event, Host, Runner, RunnerLog, Scope
from runners.registry import path_of
from tests.api.conftest import example
from tests.factories import (
    NOW,
    CredentialFactory,
    EnrolmentCodeFactory,
    HostFactory,
    RunnerFactory,
    RunnerPackageFactory,
    ScopeFactory,
)

pytestmark = pytest.mark.django_db

HEARTBEAT = reverse("agent-heartbeat")
ADA = Actor(Event.ActorKind.USER, "ada")
LEAK = "ghp_" + "L" * 36


def shape(value):
    """The keys and kinds of a message, values left out."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def jit_config(agent, runner):
    return agent.post(reverse("agent-jit-config", args=[runner.pk]), example("jit-config.request"))


def registration(agent, runner):
    path = reverse("agent-registration", args=[runner.pk])
    return agent.post(path, example("registration.request"))


# Enrol


def enrol(client, **changes):
    said = example("enrol.request") | changes
    return client.post(reverse("agent-enrol"), said, content_type="application/json")


def test_example_enrolment_makes_the_host_and_is_answered_as_the_example(client):
    EnrolmentCodeFactory(text=example("enrol.request")["code"])

    response = enrol(client)

    assert response.status_code == 201
    assert shape(response.json()) == shape(example("enrol.response"))
    host = Host.objects.get()
    assert (host.name, host.site, host.slots, host.cpu_count) == ("forge-01", "eu-central", 4, 8)
    assert response.json()["host"] == {"id": host.pk, "name": "forge-01"}
    assert response.json()["heartbeat_seconds"] == 30


@pytest.mark.parametrize(
    ("traits", "changes", "status"),
    [
        (None, {}, 401),
        ({}, {"code": "fle_EXAMPLE00003_another-secret"}, 401),
        ({"used_at": NOW}, {}, 410),
        ({"expires_at": NOW}, {}, 410),
        ({"revoked_at": NOW}, {}, 410),
        ({}, {"name": "taken"}, 409),
        ({}, {"name": "not a name"}, 400),
        ({}, {"slots": 1000}, 400),
    ],
)
def test_enrolment_is_refused_with_the_status_the_protocol_names(traits, changes, status, client):
    HostFactory(name="taken")
    if traits is not None:
        EnrolmentCodeFactory(text=example("enrol.request")["code"], **traits)

    response = enrol(client, **changes)

    assert response.status_code == response.json()["status"] == status
    assert Host.objects.count() == 1
    for code in (example("enrol.request")["code"], "another-secret"):
        assert code not in response.content.decode()


def test_enrolling_with_one_code_again_and_again_makes_one_host(client):
    EnrolmentCodeFactory(text=example("enrol.request")["code"])

    answers = [enrol(client), enrol(client), enrol(client, name="another")]

    assert [answer.status_code for answer in answers] == [201, 201, 410]
    assert (Host.objects.count(), EnrolmentCode.objects.count()) == (1, 1)


# Heartbeat


def test_example_heartbeat_is_taken_and_answered_as_the_example(agent):
    scope = RunnerPackageFactory().scope
    runners = [
        RunnerFactory(pk=12, host=agent.host, scope=scope, slot=1),
        RunnerFactory(pk=13, host=agent.host, scope=scope, slot=2, new=True, persistent=True),
        RunnerFactory(pk=11, host=agent.host, scope=scope, slot=5, removing=True),
    ]

    response = agent.post(HEARTBEAT, example("heartbeat.request"))

    answer = response.json()
    assert response.status_code == 200
    expected = example("heartbeat.response")
    assert answer.keys() == expected.keys()
    assert shape(answer["wanted"][1]) == shape(expected["wanted"][1])
    assert [w["runner_id"] for w in answer["wanted"]] == [12, 13, 11]
    assert [w["wanted"] for w in answer["wanted"]] == ["run", "run", "stop"]
    assert [w["mode"] for w in answer["wanted"]] == ["jit", "persistent", "jit"]
    assert [w["package"] is None for w in answer["wanted"]] == [True, False, True]
    assert (answer["journal_seq"], answer["protocol"]) == (42, 1)
    busy = Runner.objects.get(pk=12)
    assert (busy.phase, busy.job_name, busy.cpu_percent) == ("busy", "build", 187.5)
    assert len(runners) == 3


def test_network_is_measured_by_bytes_that_do_not_compress(agent):
    response = agent.post("/api/agent/speed", {})

    pieces = list(response.streaming_content)
    assert response.status_code == 200
    assert sum(map(len, pieces)) == int(response["Content-Length"]) == 16 * 2**20
    assert len(zlib.compress(pieces[0])) > len(pieces[0])


def test_address_of_github_is_told_with_the_facts(agent):
    scope = RunnerPackageFactory().scope

    told = agent.post(HEARTBEAT, example("heartbeat.first.request")).json()

    assert told["github_url"] == f"{'/'.join(scope.web_url.split('/')[:3])}/robots.txt"
    assert "github_url" not in agent.post(HEARTBEAT, example("heartbeat.request")).json()


def test_hardware_is_stored_as_it_was_told(agent):
    agent.post(HEARTBEAT, example("heartbeat.first.request"))
    agent.post(HEARTBEAT, example("heartbeat.request"))

    host = Host.objects.get(pk=agent.host.pk)
    assert (host.gpus[0]["state"], host.gpus[0]["pci"]) == ("ok", "0000:01:00.0")
    assert host.gpu_devices == ["GPU-1f2e3d4c-0000-0000-0000-000000000001"]
    assert host.gpu_readings[0]["temperature_celsius"] == 41.0
    assert [check["verdict"] for check in host.checks] == ["good", "fair"]
    assert host.emulations == [{"architecture": "arm64", "slowdown": 5.8}]
    assert (host.github_p95_ms, host.github_verdict) == (48.0, "good")


def test_first_heartbeat_stores_facts_and_sample(agent):
    response = agent.post(HEARTBEAT, example("heartbeat.first.request"))

    host = Host.objects.get()
    assert response.json()["want_facts"] is False
    assert (host.cpu_count, host.gpu_count, host.cpu_percent) == (8, 1, 12.5)
    assert host.last_seen_at == NOW


def test_rotated_token_and_the_wish_for_facts_are_answered_as_the_example(agent):
    Host.objects.update(facts_digest="")
    enrolment.ask_token_rotation(agent.host, by=ADA, now=NOW)

    answer = agent.post(HEARTBEAT, example("heartbeat.quiet.request")).json()

    assert answer.keys() == example("heartbeat.rotated.response").keys()
    assert answer["want_facts"] is True
    agent.token = answer["token"]
    assert "token" not in agent.post(HEARTBEAT, example("heartbeat.quiet.request")).json()


def test_heartbeat_that_says_nothing_new_is_answered_without_the_set(
    agent, django_assert_num_queries
):
    said = example("heartbeat.quiet.request") | {
        "slots": [],
        "wanted_version": agent.host.wanted_version,
    }
    whole = agent.post(HEARTBEAT, said).json()
    assert whole["wanted"] == []

    with django_assert_num_queries(1):
        quiet = agent.post(HEARTBEAT, said)

    assert quiet.json() == {
        "ok": True,
        "protocol": 1,
        "version": agent.host.wanted_version,
        "next_seconds": 30,
        "wanted": None,
    }


def test_wanted_set_holds_no_secret(agent, github):
    runner = RunnerFactory(host=agent.host, new=True)
    RunnerPackageFactory(scope=runner.scope)
    secret = jit_config(agent, runner).json()["encoded_jit_config"]

    answer = agent.post(HEARTBEAT, example("heartbeat.first.request")).content.decode()

    assert secret not in answer
    assert agent.token not in answer


# JIT config


def test_jit_config_is_answered_as_the_example_and_kept_by_nobody(agent, github):
    runner = RunnerFactory(host=agent.host, new=True)

    response = jit_config(agent, runner)

    assert response.status_code == 200
    assert shape(response.json()) == shape(example("jit-config.response"))
    assert response["Cache-Control"] == "no-store"
    assert response.json()["github_id"] == Runner.objects.get().github_id


def test_each_kind_of_runner_asks_for_its_own_secret(agent, github):
    jit = RunnerFactory(host=agent.host, new=True)
    persistent = RunnerFactory(host=agent.host, slot=2, new=True, persistent=True)

    assert jit_config(agent, persistent).status_code == 400
    assert registration(agent, jit).status_code == 400
    assert github.calls == []


@pytest.mark.parametrize("ask", [jit_config, registration])
@pytest.mark.parametrize("state", ["draining", "removing", "removed", "failed"])
def test_runner_that_is_not_to_start_any_more_is_refused(ask, state, agent, github):
    runner = RunnerFactory(host=agent.host, state=state, ephemeral=ask is jit_config)

    assert ask(agent, runner).status_code == 409
    assert github.calls == []


REFUSALS = [
    (RateLimited(NOW + timedelta(seconds=60)), 503, 60),
    (RateLimited(NOW - timedelta(seconds=60)), 503, 1),
    (GitHubUnavailable(f"GitHub answered 502 to {LEAK}."), 503, 5),
    (Forbidden(f"The token {LEAK} may not register runners."), 502, None),
    (Unauthorized("GitHub does not know this credential any more."), 502, None),
]


@pytest.mark.parametrize(
    ("ask", "operation"),
    [(jit_config, "generate_jitconfig"), (registration, "create_registration_token")],
)
@pytest.mark.parametrize(("error", "status", "wait"), REFUSALS)
def test_what_github_refuses_is_told_with_when_to_come_back(
    ask, operation, error, status, wait, agent, github
):
    runner = RunnerFactory(host=agent.host, new=True, ephemeral=ask is jit_config)
    github.fail_next(operation, error)

    response = ask(agent, runner)

    said = response.json()
    assert (response.status_code, said["status"], said["ok"]) == (status, status, False)
    assert said.get("retry_after_seconds") == wait
    assert LEAK not in response.content.decode()
    if wait:
        assert shape(said) == shape(example("busy-github.response"))
    assert Runner.objects.get().state == "provisioning"


def test_credential_that_no_key_opens_is_told_and_not_a_bug(agent):
    credential = CredentialFactory(secret_encrypted="sealed")
    runner = RunnerFactory(host=agent.host, new=True, scope__credential=credential)

    response = jit_config(agent, runner)

    assert response.status_code == 409
    assert "FLEET_SECRET_KEY" in response.json()["errors"][0]


def test_namesake_with_a_job_is_told_apart(agent, github):
    runner = RunnerFactory(host=agent.host, new=True)
    ours = [fleet.owner_mark()]
    github.add_runner(path_of(runner.scope), runner.name, labels=ours, online=True, busy=True)

    response = jit_config(agent, runner)

    assert response.status_code == 409
    assert "running a job" in response.json()["errors"][0]


# Registration


def test_registration_is_answered_as_the_example(agent, github):
    scope = ScopeFactory(slug="acme")
    runner = RunnerFactory(host=agent.host, scope=scope, new=True, persistent=True)

    response = registration(agent, runner)

    said = response.json()
    assert shape(said) == shape(example("registration.response"))
    assert response["Cache-Control"] == "no-store"
    assert (said["url"], said["name"]) == ("https://github.com/acme", runner.name)
    assert (said["runner_group"], said["ephemeral"], said["work_folder"]) == (
        "Default",
        False,
        "_work",
    )


# Log


def log(agent, runner, **said):
    path = reverse("agent-log", args=[runner.pk])
    return agent.post(path, example("log.request") | said)


def test_example_log_is_kept_and_answered_with_where_to_go_on(agent):
    runner = RunnerFactory(host=agent.host)

    response = log(agent, runner)

    text = example("log.request")["text"]
    assert shape(response.json()) == shape(example("log.response"))
    assert response.json()["offset"] == len(text)
    assert RunnerLog.objects.get().text == text


@pytest.mark.parametrize(
    "said",
    [
        {"offset": None},
        {"offset": -1},
        {"offset": "0"},
        {"offset": True},
        {"offset": 1.0},
        {"offset": 2**60},
        {"text": None},
        {"text": 5},
        {"text": ["a"]},
    ],
)
def test_log_without_a_place_or_text_is_refused(said, agent):
    runner = RunnerFactory(host=agent.host)

    assert log(agent, runner, **said).status_code == 400
    assert not RunnerLog.objects.exists()


def test_log_of_the_whole_allowed_size_is_taken_whatever_its_letters(agent):
    runner = RunnerFactory(host=agent.host)

    for number, letter in enumerate("a√\x00\ud800"):
        response = log(agent, runner, offset=number * 16384, text=letter * 16384)
        assert response.json()["offset"] == (number + 1) * 16384


def test_log_of_a_removed_runner_is_still_taken(agent):
    runner = RunnerFactory(host=agent.host, removed=True)

    assert log(agent, runner).status_code == 200


# Whatever comes


HOSTILE = [
    "\x00",
    "\ud800",
    "x" * 10_000,
    -(2**70),
    2**70,
    1e308,
    -1,
    True,
    None,
    [],
    {},
    ["deep", ["deeper", {"x": "\x00"}]],
    {"name": "\x00\ud800", "started_at": "9999-12-31T23:59:59-14:00"},
    "2026-02-31T25:61:61Z",
    "0001-01-01T00:00:00+14:00",
]
FIELDS = [
    *("agent_version", "boot_id", "at", "wanted_version", "facts", "sample", "slots", "journal"),
]
SLOT_FIELDS = list(example("heartbeat.request")["slots"][0])
SAMPLE_FIELDS = list(example("heartbeat.request")["sample"])
FACT_FIELDS = list(example("enrol.request")["facts"])


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value)[:30])
def test_no_value_in_any_field_is_ever_a_bug(value, agent):
    runner = RunnerFactory(pk=12, host=agent.host, slot=1)
    whole = example("heartbeat.request")
    slot, sample = whole["slots"][0], whole["sample"]
    facts = example("enrol.request")["facts"]
    messages = [
        *(whole | {field: value} for field in FIELDS),
        *(whole | {"slots": [slot | {field: value}]} for field in SLOT_FIELDS),
        *(whole | {"sample": sample | {field: value}} for field in SAMPLE_FIELDS),
        *(whole | {"facts": facts | {field: value}} for field in FACT_FIELDS),
        *(
            whole | {"journal": [whole["journal"][0] | {field: value}]}
            for field in whole["journal"][0]
        ),
    ]

    statuses = [agent.post(HEARTBEAT, message).status_code for message in messages]

    assert set(statuses) <= {200, 400}
    assert Runner.objects.get(pk=runner.pk).host == agent.host


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_json_does_not_have_are_taken_for_not_known(constant, agent):
    body = b'{"protocol": 1, "slots": [], "sample": {"cpu_percent": %s, "load1": %s}}' % (
        (constant.encode(),) * 2
    )

    assert agent.post(HEARTBEAT, body).status_code == 200
    assert (Host.objects.get().cpu_percent, Host.objects.get().load1) == (0.0, None)


def test_host_of_a_small_fleet_is_told_to_report_often(agent, settings):
    settings.FLEET_HEARTBEATS_PER_SECOND = 10
    cache.clear()

    answer = agent.post(HEARTBEAT, example("heartbeat.quiet.request")).json()

    assert answer["next_seconds"] == settings.FLEET_HEARTBEAT_ACTIVE_SECONDS


def test_settings_reach_the_answers(agent, settings):
    settings.FLEET_HEARTBEAT_SECONDS = 11
    settings.FLEET_OFFLINE_AFTER_SECONDS = 99

    answer = agent.post(HEARTBEAT, example("heartbeat.quiet.request")).json()

    assert answer["next_seconds"] == 11
    assert Host.objects.get().offline_after == NOW + timedelta(seconds=99)
    assert wiring.deadlines().start == timedelta(seconds=settings.FLEET_START_DEADLINE_SECONDS)
    assert not Scope.objects.exists()

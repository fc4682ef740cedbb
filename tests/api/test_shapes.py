"""Every endpoint answers in one of two shapes, whatever it is asked."""

import json

import pytest
from django.test import Client
from django.urls import reverse

from runners import wiring
from runners.api.urls import urlpatterns
from runners.github.webhooks import sign
from runners.models import Host, Scope
from tests.api.conftest import example
from tests.factories import NOW, EnrolmentCodeFactory, RunnerFactory, ScopeFactory, give_token

pytestmark = pytest.mark.django_db

ENDPOINTS = sorted(str(pattern.name) for pattern in urlpatterns)
BEARER = [name for name in ENDPOINTS if name not in ("agent-enrol", "webhook-receive")]
SECRET = "s3cr3t-that-must-not-come-back"
DEEP = b"[" * 30_000


def path_of(name, pk=1):
    needs_pk = "<" in str(next(p.pattern for p in urlpatterns if p.name == name))
    return reverse(name, args=[pk] if needs_pk else [])


def is_success(response):
    said = response.json()
    return response.status_code in (200, 201, 202) and said["ok"] is True and "errors" not in said


def is_refusal(response, status):
    said = response.json()
    errors = said["errors"]
    return (
        response.status_code == said["status"] == status
        and said["ok"] is False
        and isinstance(errors, list)
        and len(errors) >= 1
        and all(isinstance(error, str) and error.endswith((".", "…")) for error in errors)
    )


def test_every_endpoint_is_known_here():
    assert ENDPOINTS == [
        "agent-enrol",
        "agent-heartbeat",
        "agent-jit-config",
        "agent-log",
        "agent-registration",
        "agent-speed",
        "webhook-receive",
    ]


@pytest.mark.parametrize("name", ENDPOINTS)
@pytest.mark.parametrize("method", ["get", "put", "patch", "delete", "options", "head"])
def test_wrong_method_is_refused_and_the_right_one_named(name, method, client):
    response = getattr(client, method)(path_of(name))

    assert response.status_code == 405
    assert response["Allow"] == "POST"
    if method != "head":
        assert is_refusal(response, 405)


@pytest.mark.parametrize("name", BEARER)
@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer   ",
        f"Basic {SECRET}",
        f"Bearer {SECRET}",
        f"Bearer fla_0123456789ab_{SECRET}",
        "Bearer fla_ünïcödeääää_x",
    ],
)
def test_without_a_good_token_nothing_opens(name, header, client, agent):
    headers = {} if header is None else {"Authorization": header}

    response = client.post(path_of(name), b"{}", content_type="application/json", headers=headers)

    assert is_refusal(response, 401)
    assert SECRET not in response.content.decode()


@pytest.mark.parametrize("name", BEARER)
def test_retired_host_is_told_that_it_is_gone(name, agent):
    Host.objects.filter(pk=agent.host.pk).update(retired_at=NOW)

    assert is_refusal(agent.post(path_of(name), {}), 410)


@pytest.mark.parametrize("name", ["agent-enrol", "agent-heartbeat", "agent-log"])
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"text"', b"5", b"null", b"\xff\xfe", DEEP, b"{" + b'"a":{' * 9_000],
)
def test_body_that_is_no_json_object_is_refused(name, body, agent):
    assert is_refusal(agent.post(path_of(name), body), 400)


@pytest.mark.parametrize("name", ["agent-enrol", "agent-heartbeat", "agent-log"])
def test_body_over_the_limit_is_refused_before_it_is_read(name, agent):
    body = json.dumps({"text": SECRET, "padding": "x" * 200_000}).encode()

    response = agent.post(path_of(name), body)

    assert is_refusal(response, 413)
    assert SECRET not in response.content.decode()


def test_length_that_is_no_number_is_refused(client):
    response = client.generic(
        "POST", path_of("agent-enrol"), b"{}", headers={"Content-Length": "many"}
    )

    assert is_refusal(response, 400)


@pytest.mark.parametrize("name", ["agent-enrol", "agent-heartbeat"])
def test_required_fields_are_refused_when_missing_and_unknown_ones_ignored(name, agent):
    whole = example("enrol.request" if name == "agent-enrol" else "heartbeat.quiet.request")
    required = {
        "agent-enrol": ("protocol", "code", "name", "facts"),
        "agent-heartbeat": ("protocol", "slots"),
    }[name]
    for field in required:
        without = {key: value for key, value in whole.items() if key != field}
        assert is_refusal(agent.post(path_of(name), without), 400), field

    EnrolmentCodeFactory(text=example("enrol.request")["code"])
    surprise = {"from_the_future": {"deep": [1, None]}, "wanted": "x"}
    assert is_success(agent.post(path_of(name), whole | surprise))


@pytest.mark.parametrize("name", ["agent-enrol", "agent-heartbeat"])
def test_protocol_too_old_is_told_to_upgrade(name, agent):
    whole = example("enrol.request") | example("heartbeat.quiet.request")

    assert is_refusal(agent.post(path_of(name), whole | {"protocol": 0}), 426)


@pytest.mark.parametrize("pk", [0, 999_999, 10**30])
@pytest.mark.parametrize(
    ("name", "status"),
    [("agent-jit-config", 409), ("agent-registration", 409), ("agent-log", 404)],
)
def test_runner_that_does_not_exist_is_refused(name, status, pk, agent):
    response = agent.post(path_of(name, pk), {"offset": 0, "text": ""})

    assert is_refusal(response, status)


@pytest.mark.parametrize(
    ("name", "status"),
    [("agent-jit-config", 409), ("agent-registration", 409), ("agent-log", 404)],
)
def test_runner_of_another_host_is_refused(name, status, agent, github):
    theirs = RunnerFactory(new=True, persistent=name == "agent-registration")

    response = agent.post(path_of(name, theirs.pk), {"offset": 0, "text": "mine"})

    assert is_refusal(response, status)
    assert github.calls == []
    assert not hasattr(theirs, "log")


def test_every_endpoint_succeeds_in_the_same_shape(agent, github):
    jit = RunnerFactory(host=agent.host, new=True)
    persistent = RunnerFactory(host=agent.host, slot=2, new=True, persistent=True)
    EnrolmentCodeFactory(text=example("enrol.request")["code"])
    scope = ScopeFactory(webhook_secret_encrypted=wiring.vault().encrypt(SECRET))
    answers = {
        "agent-enrol": agent.post(path_of("agent-enrol"), example("enrol.request")),
        "agent-heartbeat": agent.post(
            path_of("agent-heartbeat"), example("heartbeat.first.request")
        ),
        "agent-jit-config": agent.post(path_of("agent-jit-config", jit.pk), {}),
        "agent-registration": agent.post(path_of("agent-registration", persistent.pk), {}),
        "agent-log": agent.post(path_of("agent-log", jit.pk), example("log.request")),
        "webhook-receive": signed(agent.client, scope),
    }

    # What measures a network by its bytes answers bytes: test_agent_api.py
    assert sorted([*answers, "agent-speed"]) == ENDPOINTS
    for name, answer in answers.items():
        assert is_success(answer), (name, answer.content)


def signed(client, scope: Scope):
    body = b'{"zen": "Keep it logically awesome."}'
    return client.post(
        reverse("webhook-receive", args=[scope.pk]),
        body,
        content_type="application/json",
        headers={
            "X-GitHub-Event": "ping",
            "X-GitHub-Delivery": "1",
            "X-Hub-Signature-256": sign(SECRET, body),
        },
    )


def test_bearer_word_is_read_in_any_case(agent):
    token = give_token(agent.host)

    response = agent.post(
        path_of("agent-heartbeat"),
        example("heartbeat.quiet.request"),
        Authorization=f"bearer  {token} ",
    )

    assert is_success(response)


def test_csrf_is_asked_of_no_machine(agent):
    agent.client = Client(enforce_csrf_checks=True)

    assert is_success(agent.post(path_of("agent-heartbeat"), example("heartbeat.quiet.request")))

"""The webhook receiver: signature before parse, kept once, answered before any work."""

import json
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest
from django.urls import reverse

from runners import scopes, wiring
from runners.api.webhooks import BODY_LIMIT_BYTES
from runners.audit import Actor
from runners.delivery_content import ADMITTED, essence
from runners.github.webhooks import sign
from runners.models import Delivery, Job, Scope
from tests.factories import NOW, ScopeFactory

pytestmark = pytest.mark.django_db

SECRET = "It's a Secret to Everybody"
WEBHOOKS = Path(__file__).parent.parent / "payloads" / "github" / "webhooks"
RECORDED = sorted(path.name for path in WEBHOOKS.glob("*.*.json"))
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
ADA = Actor.system("ada")


@pytest.fixture
def scope():
    return ScopeFactory(webhook_secret_encrypted=wiring.vault().encrypt(SECRET))


@pytest.fixture
def deliver(client, scope):
    """Post a body as GitHub does."""

    def post(body, *, secret=SECRET, content_type=JSON, pk=None, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        given = {
            "X-GitHub-Event": "workflow_job",
            "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
            "X-GitHub-Hook-ID": "292430182",
            "X-Hub-Signature-256": sign(secret, body),
            **named,
        }
        return client.post(
            reverse("webhook-receive", args=[pk or scope.pk]),
            body,
            content_type=content_type,
            headers={name: value for name, value in given.items() if value is not None},
        )

    return post


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_delivery_is_kept_and_its_work_queued(name, deliver, scope, queued):
    body = (WEBHOOKS / name).read_bytes()
    event = name.split(".")[0]

    response = deliver(body, **{"X-GitHub-Event": event})

    assert (response.status_code, response.json()) == (202, {"ok": True, "known": False})
    row = Delivery.objects.get()
    assert (row.scope, row.event, row.hook_id) == (scope, event, "292430182")
    assert (row.action, row.received_at) == (json.loads(body).get("action", ""), NOW)
    assert row.payload == essence(event, json.loads(body)).payload
    assert (row.payload is not None) == (event in ADMITTED)
    assert (row.processed_at, row.result, row.replayed) == (None, "pending", False)
    assert queued() == [("runners.tasks.take_in_deliveries", (scope.pk,))]
    assert not Job.objects.exists()


def test_form_body_is_read_and_its_raw_form_is_what_was_signed(deliver):
    payload = (WEBHOOKS / "workflow_job.queued.1.json").read_text("utf-8")

    response = deliver(urlencode({"payload": payload}).encode(), content_type=FORM)

    assert response.status_code == 202
    assert Delivery.objects.get().payload == essence("workflow_job", json.loads(payload)).payload


@pytest.mark.django_db(transaction=True)
def test_same_delivery_again_is_answered_alike_and_changes_nothing(deliver, queued):
    body = (WEBHOOKS / "workflow_job.queued.1.json").read_bytes()
    deliver(body)

    again = deliver(body)

    assert (again.status_code, again.json()) == (200, {"ok": True, "known": True})
    assert Delivery.objects.count() == len(queued()) == 1


def test_one_event_of_two_hooks_is_two_deliveries(deliver):
    body = (WEBHOOKS / "workflow_job.queued.1.json").read_bytes()

    statuses = [deliver(body, **{"X-GitHub-Hook-ID": hook}).status_code for hook in ("1", "2")]

    assert statuses == [202, 202]


@pytest.mark.parametrize(
    "signature",
    [None, "", "sha256=", "sha256=00", "sha1=aa", "nonsense", sign("another", b"{}"), "ünïcödé"],
)
def test_wrong_signature_is_refused_before_anything_is_read(signature, deliver, queued):
    response = deliver(b"{}", **{"X-Hub-Signature-256": signature})

    assert (response.status_code, response.json()["ok"]) == (401, False)
    assert not Delivery.objects.exists()
    assert queued() == []


def test_body_that_cannot_be_parsed_and_is_unsigned_is_refused_for_its_signature(deliver):
    response = deliver(b"{", **{"X-Hub-Signature-256": sign("another", b"{")})

    assert response.status_code == 401


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"", JSON), (b"{", JSON), (b"[]", JSON), (b"5", JSON), (b"\xff", JSON), (b"a=b", FORM)],
)
def test_signed_body_that_is_no_object_is_refused(body, content_type, deliver):
    assert deliver(body, content_type=content_type).status_code == 400
    assert not Delivery.objects.exists()


@pytest.mark.parametrize("header", ["X-GitHub-Event", "X-GitHub-Delivery"])
@pytest.mark.parametrize("value", [None, ""])
def test_delivery_without_an_event_or_a_number_is_refused(header, value, deliver):
    assert deliver(b"{}", **{header: value}).status_code == 400


def test_body_over_the_limit_is_refused_unread(deliver):
    body = b'{"x": "' + b"y" * BODY_LIMIT_BYTES + b'"}'

    response = deliver(body)

    assert (response.status_code, response.json()["status"]) == (413, 413)


def test_body_just_under_the_limit_is_taken(deliver):
    frame = b'{"x": ""}'
    body = frame[:-2] + b"y" * (BODY_LIMIT_BYTES - len(frame)) + frame[-2:]

    assert deliver(body).status_code == 202


@pytest.mark.parametrize("length", ["many", "-5", "5.0", "²"])
def test_length_that_is_no_number_is_refused(length, deliver):
    assert deliver(b"{}", **{"Content-Length": length}).status_code == 400


def test_scope_without_a_webhook_and_one_that_is_not_there_look_alike(deliver):
    quiet = ScopeFactory()

    answers = [deliver(b"{}", pk=pk) for pk in (quiet.pk, 999_999, 10**25)]

    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1


def test_secret_sealed_with_a_lost_key_is_refused_in_words(deliver, scope):
    scope.webhook_secret_encrypted = "sealed"
    scope.save(update_fields=["webhook_secret_encrypted"])

    response = deliver(b"{}")

    assert (response.status_code, response.json()["ok"]) == (409, False)


def test_another_scopes_secret_does_not_open_this_one(deliver, scope):
    other = ScopeFactory(webhook_secret_encrypted=wiring.vault().encrypt("another secret"))

    assert deliver(b"{}", pk=other.pk).status_code == 401
    assert scope.deliveries.count() == 0


def test_headers_longer_than_their_columns_are_cut(deliver):
    response = deliver(
        b'{"action": "%s"}' % (b"a" * 500),
        **{"X-GitHub-Event": "e" * 500, "X-GitHub-Delivery": "d" * 500},
    )

    row = Delivery.objects.get()
    assert response.status_code == 202
    assert (len(row.event), len(row.guid), len(row.action)) == (60, 64, 60)


def test_no_answer_tells_the_secret(deliver):
    answers = [deliver(b"{}"), deliver(b"{}", secret="wrong"), deliver(b"{"), deliver(b"[]")]

    assert all(SECRET not in answer.content.decode() for answer in answers)


def test_delivery_costs_few_queries(deliver, django_assert_max_num_queries, scope):
    body = (WEBHOOKS / "workflow_job.queued.1.json").read_bytes()
    # The scope, the delivery, the wish for the worker and its task
    with django_assert_max_num_queries(4):
        deliver(body)
    with django_assert_max_num_queries(3):
        deliver(body, **{"X-GitHub-Delivery": "another"})


def test_many_deliveries_ask_for_the_worker_once(deliver, queued, scope):
    body = (WEBHOOKS / "workflow_job.queued.1.json").read_bytes()

    for number in range(5):
        deliver(body, **{"X-GitHub-Delivery": str(number)})

    assert queued() == [("runners.tasks.take_in_deliveries", (scope.pk,))]


def test_nothing_people_wrote_is_kept(deliver):
    said = json.loads((WEBHOOKS / "workflow_job.completed.1.json").read_text("utf-8"))
    said["workflow_job"]["steps"] = [{"name": "echo hunter2"}]
    said["repository"]["description"] = "hunter2"
    said["comment"] = {"body": "hunter2"}

    deliver(json.dumps(said).encode())

    assert "hunter2" not in json.dumps(Delivery.objects.get().payload)


def test_payload_that_no_database_takes_is_kept_without_harm(deliver):
    said = json.loads((WEBHOOKS / "workflow_job.queued.1.json").read_text("utf-8"))
    said["workflow_job"] |= {
        "name": "a\x00b\ud800",
        "id": 2**80,
        "labels": ["x\x00"],
        "run_id": 1e999,
    }

    assert deliver(json.dumps(said).encode()).status_code == 202


@pytest.mark.parametrize("hours", [1, 23])
def test_secret_before_the_last_is_taken_for_a_day(hours, deliver, scope, monkeypatch):
    new = scopes.make_webhook_secret(scope, vault=wiring.vault(), by=ADA, now=NOW)
    monkeypatch.setattr(wiring, "now", lambda: NOW + timedelta(hours=hours))

    statuses = [deliver(b"{}").status_code, deliver(b"[]", secret=new).status_code]

    assert statuses == [202, 400]  # both are let in; a list is no delivery


def test_secret_before_the_last_is_refused_after_a_day_or_when_forgotten(
    deliver, scope, monkeypatch
):
    scopes.make_webhook_secret(scope, vault=wiring.vault(), by=ADA, now=NOW)
    with monkeypatch.context() as later:
        later.setattr(wiring, "now", lambda: NOW + timedelta(hours=25))
        assert deliver(b"{}").status_code == 401
    scopes.forget_previous_webhook_secret(scope, by=ADA, now=NOW)

    assert deliver(b"{}").status_code == 401
    assert scopes.forget_previous_webhook_secret(scope, by=ADA, now=NOW) is None


def test_removed_secret_takes_the_one_before_with_it(deliver, scope):
    scopes.make_webhook_secret(scope, vault=wiring.vault(), by=ADA, now=NOW)
    scopes.remove_webhook_secret(scope, by=ADA, now=NOW)

    assert deliver(b"{}").status_code == 404


def test_wrong_signature_is_noted_on_the_scope_once_a_minute(deliver, monkeypatch):
    for seconds in (0, 30, 90):
        moment = NOW + timedelta(seconds=seconds)
        monkeypatch.setattr(wiring, "now", lambda moment=moment: moment)
        deliver(b"{}", secret="wrong")
        noted = Scope.objects.get().webhook_refused_at
        assert noted == NOW + timedelta(seconds=90 if seconds == 90 else 0)


def test_scope_that_polls_alone_expects_no_webhook(deliver, scope):
    scopes.set_job_source(scope, "polling", by=ADA, now=NOW)

    assert deliver(b"{}").status_code == 404

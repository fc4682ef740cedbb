"""The webhook receiver: signature before parse, kept once, answered before any work."""

import json
from pathlib import Path
from urllib.parse import urlencode

import pytest
from django.urls import reverse

from runners import wiring
from runners.api.webhooks import BODY_LIMIT_BYTES, KEPT_EVENTS
from runners.github.webhooks import sign
from runners.models import Delivery, Job
from tests.factories import NOW, ScopeFactory

pytestmark = pytest.mark.django_db

SECRET = "It's a Secret to Everybody"
WEBHOOKS = Path(__file__).parent.parent / "payloads" / "github" / "webhooks"
RECORDED = sorted(path.name for path in WEBHOOKS.glob("*.*.json"))
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


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
    assert row.payload == (json.loads(body) if event in KEPT_EVENTS else None)
    assert row.processed_at is None
    assert queued() == [("runners.tasks.process_delivery", (row.pk,))]
    assert not Job.objects.exists()


def test_form_body_is_read_and_its_raw_form_is_what_was_signed(deliver):
    payload = (WEBHOOKS / "workflow_job.queued.1.json").read_text("utf-8")

    response = deliver(urlencode({"payload": payload}).encode(), content_type=FORM)

    assert response.status_code == 202
    assert Delivery.objects.get().payload == json.loads(payload)


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


def test_delivery_costs_few_queries(deliver, django_assert_max_num_queries):
    body = (WEBHOOKS / "workflow_job.queued.1.json").read_bytes()
    deliver(body)

    # The scope, the delivery, its task; savepoints are no queries of ours
    with django_assert_max_num_queries(5):
        deliver(body, **{"X-GitHub-Delivery": "another"})

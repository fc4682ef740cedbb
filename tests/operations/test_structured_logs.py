"""Log lines say what they are about: request, task, host, runner and job, as JSON on demand."""

from __future__ import annotations

import io
import json
import logging

import pytest
from django.urls import reverse

from runners import audit, log_context, queue
from runners.audit import Actor
from runners.log_redaction import JsonFormatter, RedactingFormatter
from runners.models import Event
from runners.request_ids import HEADER
from tests.factories import NOW, HostFactory, JobFactory, RunnerFactory, give_token

TOKEN = "ghp_" + "a1B2" * 9
BY = Actor.system("reconcile")


@pytest.fixture
def logged():
    """The lines the product writes meanwhile, as objects."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.addHandler(handler)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.removeHandler(handler)


def record(message, *args, error=None):
    info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("x", logging.INFO, __file__, 1, message, args, info)


def test_json_line_has_moment_level_words_and_ids():
    with log_context.about(task="reconcile_scope", scope="acme"):
        line = json.loads(JsonFormatter().format(record("%s listed", 3)))

    assert line.pop("at").endswith("Z")
    assert line.pop("process") > 0
    assert line == {
        "level": "INFO",
        "logger": "x",
        "message": "3 listed",
        "task": "reconcile_scope",
        "scope": "acme",
    }


def test_ids_end_with_what_they_are_about():
    with log_context.about(request_id="one"):
        log_context.add(host="forge-01")
        inside = log_context.present()

    assert (inside, log_context.present()) == ({"request_id": "one", "host": "forge-01"}, {})


def test_line_for_people_has_the_ids_at_its_end():
    with log_context.about(host="forge-01"):
        text = RedactingFormatter("%(message)s").format(record("came back"))

    assert text == "came back [host=forge-01]"


def test_address_asked_for_begins_no_line_of_its_own():
    with log_context.about(path="/x\nERROR forged\u2028"):
        text = RedactingFormatter("%(message)s").format(record("refused"))

    assert text == "refused [path=/x\\nERROR forged\\u2028]"


def test_secret_is_masked_in_every_field_and_the_line_stays_json():
    try:
        raise ValueError(f"RemoteAuth {TOKEN}")
    except ValueError as error:
        with log_context.about(path=f"/x/{TOKEN}"):
            text = JsonFormatter().format(record("sent %s", f"Bearer {TOKEN}", error=error))

    assert TOKEN not in text
    assert set(json.loads(text)) >= {"message", "path", "error"}


@pytest.mark.parametrize(
    ("given", "kept"), [("proxy-0123456789", True), ("short", False), ("with blanks in it", False)]
)
def test_request_has_an_id_and_a_proxys_is_kept(client, given, kept):
    answer = client.get("/healthz", headers={HEADER: given})

    assert (answer.headers[HEADER] == given) is kept
    assert len(answer.headers[HEADER]) >= 8


@pytest.mark.django_db(transaction=True)
def test_what_an_agent_causes_is_logged_with_request_and_host(client, logged):
    host = HostFactory(last_seen_at=None)
    body: dict[str, object] = {"protocol": 1, "slots": [], "boot_id": "boot-1"}
    answer = client.post(
        "/api/agent/heartbeat",
        json.dumps(body),
        content_type="application/json",
        headers={"Authorization": f"Bearer {give_token(host)}"},
    )

    (line,) = [line for line in logged() if line["message"].startswith("host.online")]
    assert line["request_id"] == answer.headers[HEADER]
    assert (line["host"], line["host_id"]) == (host.name, host.pk)


@pytest.mark.django_db(transaction=True)
def test_event_is_logged_with_the_ids_of_its_object_once_it_is_committed(logged):
    runner, job = RunnerFactory(), JobFactory(name="build")
    audit.record(runner, "runner.failed", by=BY, at=NOW, reason="it crashed")
    audit.record(job, "job.lost", by=BY, at=NOW)

    failed, lost = logged()[-2:]
    assert failed["message"] == f"runner.failed {runner.name}: it crashed"
    assert (failed["runner"], failed["runner_id"]) == (runner.name, runner.pk)
    assert failed["host_id"] == runner.host_id
    assert (lost["job"], lost["job_id"]) == (str(job), job.pk)


@pytest.mark.django_db
def test_event_that_is_rolled_back_is_not_logged(logged):
    audit.record(HostFactory(), "host.cordon", by=BY, at=NOW)

    assert [line for line in logged() if "host.cordon" in line["message"]] == []


@pytest.mark.django_db(transaction=True)
def test_command_is_not_told_its_own_event_again(logged):
    by = Actor(Event.ActorKind.COMMAND, "olga")
    audit.record(HostFactory(), "host.cordon", by=by, at=NOW)

    assert [line for line in logged() if "host.cordon" in line["message"]] == []


def test_task_that_runs_gives_its_lines_its_name_and_id():
    queue.log_as_task(sender="django_q", func=reverse, task={"id": "4711"})

    assert log_context.present() == {"task": "reverse", "task_id": "4711"}
    log_context.begin()

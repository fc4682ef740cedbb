"""Accepted webhook deliveries, every recorded one of them, taken in by the worker."""

import copy
import json
from pathlib import Path

import pytest

from runners import deliveries, tasks
from runners.models import Delivery, Job
from tests.factories import NOW, RunnerFactory, ScopeFactory

pytestmark = pytest.mark.django_db

WEBHOOKS = Path(__file__).parent.parent / "payloads" / "github" / "webhooks"
RECORDED = sorted(path.name for path in WEBHOOKS.glob("*.*.json"))
JOBS = [name for name in RECORDED if name.startswith("workflow_job.")]


def payload(name):
    return json.loads((WEBHOOKS / name).read_text("utf-8"))


def delivered(content, *, event, scope=None):
    """A delivery as the receiver keeps it."""
    return Delivery.objects.create(
        scope=scope or ScopeFactory(),
        hook_id="1",
        guid=str(Delivery.objects.count()),
        event=event,
        action=content.get("action", "") if isinstance(content, dict) else "",
        payload=content,
        received_at=NOW,
    )


def take(content, *, event="workflow_job", scope=None):
    return deliveries.process(delivered(content, event=event, scope=scope), now=NOW)


def test_recorded_deliveries_are_there():
    assert len(RECORDED) == 34
    assert len(JOBS) == 5


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_delivery_passes_and_its_outcome_is_kept(name):
    event = name.split(".")[0]
    delivery = delivered(payload(name), event=event)

    outcome = deliveries.process(delivery, now=NOW)

    row = Delivery.objects.get()
    assert (row.processed_at, row.outcome) == (NOW, outcome)
    assert outcome == ("job changed" if event == "workflow_job" else "kept")
    assert Job.objects.exists() == (event == "workflow_job")


@pytest.mark.parametrize("name", JOBS)
def test_recorded_job_is_kept_with_what_github_said(name):
    said = payload(name)
    take(said)

    job, told = Job.objects.get(), said["workflow_job"]
    assert (job.github_id, job.run_id, job.name) == (told["id"], told["run_id"], told["name"])
    assert (job.status, job.labels) == (told["status"], told["labels"])
    assert job.conclusion == (told["conclusion"] or "")
    assert job.repository == said["repository"]["full_name"]
    if job.status in ("waiting", "queued"):
        assert (job.runner_name, job.started_at) == ("", None)
    else:
        assert job.runner_name == (told["runner_name"] or "")


def test_environment_gated_job_waits_although_the_action_says_queued():
    said = payload("workflow_job.queued.2.json")
    assert said["action"] == "queued"

    take(said)

    assert Job.objects.get().status == "waiting"


def test_delivery_taken_in_twice_changes_nothing_the_second_time():
    delivery = delivered(payload(JOBS[0]), event="workflow_job")

    outcomes = [deliveries.process(delivery, now=NOW) for _ in range(2)]

    assert outcomes == ["job changed", "nothing new"]
    assert Job.objects.count() == 1


@pytest.mark.parametrize(("name", "wakes"), [(name, "queued" not in name) for name in JOBS])
def test_start_and_end_of_a_job_make_reconcile_look(name, wakes, queued):
    scope = ScopeFactory()
    take(payload(name), scope=scope)

    assert queued() == ([("runners.tasks.reconcile_scope", (scope.pk,))] if wakes else [])


def test_job_of_one_of_our_runners_is_tied_to_it():
    said = payload("workflow_job.in_progress.1.json")
    runner = RunnerFactory(name=said["workflow_job"]["runner_name"])

    take(said, scope=runner.scope)

    assert Job.objects.get().runner == runner


def test_unknown_action_is_kept_and_does_nothing():
    said = payload(JOBS[0]) | {"action": "paused"}

    assert take(said) == "unknown action paused: kept, nothing done"
    assert not Job.objects.exists()


BROKEN = [
    {},
    {"workflow_job": None},
    {"workflow_job": []},
    {"repository": None},
    {"workflow_job.id": None},
    {"workflow_job.id": "11"},
    {"workflow_job.id": -1},
    {"workflow_job.id": 2**70},
    {"workflow_job.run_id": True},
    {"workflow_job.created_at": "yesterday", "workflow_job.started_at": None},
    {"workflow_job.created_at": "2026-02-31T00:00:00Z", "workflow_job.started_at": 5},
]


@pytest.mark.parametrize("change", BROKEN[1:])
def test_payload_that_lacks_what_every_job_has_does_nothing(change):
    said = copy.deepcopy(payload("workflow_job.queued.1.json"))
    for path, value in change.items():
        owner, _, key = path.rpartition(".")
        (said[owner] if owner else said)[key] = value

    assert take(said) == "not a job we can read: kept, nothing done"
    assert not Job.objects.exists()


def test_delivery_whose_payload_is_no_object_does_nothing():
    delivery = delivered({}, event="workflow_job")
    Delivery.objects.filter(pk=delivery.pk).update(payload=["surprise"], action="queued")

    assert deliveries.process(Delivery.objects.get(), now=NOW).startswith("not a job")


def test_texts_longer_than_their_columns_are_cut():
    said = payload("workflow_job.in_progress.1.json")
    said["workflow_job"] |= {
        "name": "n" * 1000,
        "workflow_name": "w" * 1000,
        "head_branch": "b" * 1000,
        "html_url": "https://github.com/" + "u" * 1000,
        "runner_name": "r" * 1000,
        "labels": ["self-hosted", 7],
        "run_attempt": 0,
    }

    take(said)

    job = Job.objects.get()
    assert (len(job.name), len(job.workflow_name), len(job.head_branch)) == (300, 300, 255)
    assert (len(job.html_url), len(job.runner_name)) == (500, 64)
    assert (job.labels, job.run_attempt) == (["self-hosted", "7"], 1)


def test_task_takes_a_delivery_in_and_says_so_when_it_is_gone():
    delivery = delivered(payload(JOBS[0]), event="workflow_job")

    assert tasks.process_delivery(delivery.pk) == "job changed"
    assert tasks.process_delivery(delivery.pk + 1) == "the delivery was removed"

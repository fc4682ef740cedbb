"""Accepted webhook deliveries, every recorded one of them, taken in by the worker."""

import copy
import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import OperationalError

from runners import deliveries, jobs, tasks
from runners.delivery_content import essence
from runners.models import Delivery, Job, Repository, Scope
from tests.factories import NOW, RunnerFactory, ScopeFactory

pytestmark = pytest.mark.django_db

WEBHOOKS = Path(__file__).parent.parent / "payloads" / "github" / "webhooks"
RECORDED = sorted(path.name for path in WEBHOOKS.glob("*.*.json"))
JOBS = [name for name in RECORDED if name.startswith("workflow_job.")]


def payload(name):
    return json.loads((WEBHOOKS / name).read_text("utf-8"))


def scope_of(content):
    """The organization that a payload's repository belongs to."""
    repository = content.get("repository") if isinstance(content, dict) else None
    full_name = repository.get("full_name", "") if isinstance(repository, dict) else ""
    slug = full_name.partition("/")[0] or "acme"
    return Scope.objects.filter(slug=slug).first() or ScopeFactory(slug=slug)


def delivered(content, *, event, scope=None, hook="1"):
    """A delivery as the receiver keeps it."""
    kept = essence(event, content)
    return Delivery.objects.create(
        scope=scope or scope_of(content),
        hook_id=hook,
        guid=str(Delivery.objects.count()),
        event=event,
        action=content.get("action", ""),
        repository=kept.repository,
        subject_id=kept.subject_id,
        payload=kept.payload,
        received_at=NOW,
    )


def take(content, *, event="workflow_job", scope=None, hook="1", now=NOW):
    """Take one delivery in; its result and outcome."""
    delivery = delivered(content, event=event, scope=scope, hook=hook)
    assert deliveries.take_in(delivery.scope, now=now) == 1
    row = Delivery.objects.get(pk=delivery.pk)
    assert row.processed_at == now
    return row.result, row.outcome


def test_recorded_deliveries_are_there():
    assert len(RECORDED) == 34
    assert len(JOBS) == 5


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_delivery_passes_and_its_outcome_is_kept(name):
    event = name.split(".")[0]

    result, outcome = take(payload(name), event=event)

    assert (result, bool(outcome)) == ("changed", True)
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
    said = payload(JOBS[0])

    assert [take(said)[0] for _ in range(2)] == ["changed", "nothing"]
    assert Job.objects.count() == 1


@pytest.mark.parametrize(("name", "wakes"), [(name, "queued" not in name) for name in JOBS])
def test_start_and_end_of_a_job_make_reconcile_look(name, wakes, queued):
    take(payload(name))

    assert (("runners.tasks.reconcile_scope", (Scope.objects.get().pk,)) in queued()) == wakes


def test_job_of_one_of_our_runners_is_tied_to_it():
    said = payload("workflow_job.in_progress.1.json")
    runner = RunnerFactory(name=said["workflow_job"]["runner_name"], scope=scope_of(said))

    take(said, scope=runner.scope)

    assert Job.objects.get().runner == runner


def test_unknown_action_is_kept_and_does_nothing():
    said = payload(JOBS[0]) | {"action": "paused"}

    assert take(said) == ("ignored", "Unknown action paused: kept, nothing done")
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

    assert take(said) == ("ignored", "Not a job we can read: kept, nothing done")
    assert not Job.objects.exists()


def test_delivery_whose_payload_is_no_object_does_nothing():
    delivery = delivered({}, event="workflow_job")
    Delivery.objects.filter(pk=delivery.pk).update(payload=["surprise"], action="queued")

    deliveries.take_in(delivery.scope, now=NOW)
    assert Delivery.objects.get().outcome.startswith("Not a job")


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


def test_task_takes_deliveries_in_and_says_so_when_the_scope_is_gone():
    delivery = delivered(payload(JOBS[0]), event="workflow_job")

    assert tasks.take_in_deliveries(delivery.scope_id) == "1 taken in"
    assert tasks.take_in_deliveries(delivery.scope_id + 1) == "the scope was removed"


@pytest.mark.parametrize(
    ("status", "action", "wakes"),
    [
        ("queued", "queued", True),
        ("waiting", "queued", False),
        ("waiting", "waiting", False),
        ("in_progress", "in_progress", False),
        ("completed", "completed", True),
    ],
)
def test_scaling_is_woken_by_demand_and_by_its_end_and_not_by_a_gated_job(
    status, action, wakes, queued
):
    said = payload("workflow_job.queued.1.json")
    said["action"], said["workflow_job"]["status"] = action, status

    take(said)

    assert [task for task, _ in queued()].count("runners.tasks.scale_pools") == wakes


def test_batch_wakes_each_task_once(queued):
    said = payload("workflow_job.queued.1.json")
    for number in range(30):
        said["workflow_job"]["id"] = 1000 + number
        delivered(said, event="workflow_job")

    assert deliveries.take_in(Scope.objects.get(), now=NOW) == 30

    assert [task for task, _ in queued()] == ["runners.tasks.scale_pools"]
    assert Job.objects.filter(status="queued").count() == 30


@pytest.mark.parametrize("count", [3, 30])
def test_batch_of_new_jobs_costs_the_same_whatever_its_size(count, count_queries):
    said = payload("workflow_job.queued.1.json")
    for number in range(count):
        said["workflow_job"]["id"] = 1000 + number
        delivered(said, event="workflow_job")
    scope = Scope.objects.get()

    assert count_queries(lambda: deliveries.take_in(scope, now=NOW)) <= 16


def test_more_than_one_task_takes_is_left_to_the_next(monkeypatch, queued):
    monkeypatch.setattr(deliveries, "BATCH", 2)
    monkeypatch.setattr(deliveries, "BATCHES_A_TASK", 2)
    for _ in range(5):
        delivered({"zen": "Keep it logically awesome."}, event="ping")
    scope = Scope.objects.get()

    assert deliveries.take_in(scope, now=NOW) == 4
    assert queued() == [("runners.tasks.take_in_deliveries", (scope.pk,))]
    assert deliveries.take_in(scope, now=NOW) == 1


def test_delivery_that_cannot_be_taken_in_holds_up_no_other(monkeypatch, caplog):
    said = payload("workflow_job.queued.1.json")
    for number in range(3):
        said["workflow_job"]["id"] = 1000 + number
        delivered(said, event="workflow_job")
    record_many = jobs.record_many

    def stumbles(scope, told, *, now):
        if any(facts.github_id == 1001 for facts in told):
            raise ValueError("surprise")
        return record_many(scope, told, now=now)

    monkeypatch.setattr(jobs, "record_many", stumbles)

    assert deliveries.take_in(Scope.objects.get(), now=NOW) == 3

    results = Delivery.objects.order_by("pk").values_list("result", "outcome")
    assert list(results)[1] == ("failed", "ValueError")
    assert [result for result, _ in results] == ["changed", "failed", "changed"]
    assert "could not be taken in" in caplog.text


def test_delivery_that_met_a_locked_database_is_taken_in_later(monkeypatch):
    delivered(payload("workflow_job.queued.1.json"), event="workflow_job")
    scope, process, locked = Scope.objects.get(), deliveries._process, [1, 2]

    def stumbles(scope, rows, now):
        if locked:
            locked.pop()
            raise OperationalError("database is locked")
        process(scope, rows, now)

    monkeypatch.setattr(deliveries, "_process", stumbles)

    deliveries.take_in(scope, now=NOW)
    assert (Delivery.objects.get().processed_at, Job.objects.count()) == (None, 0)

    deliveries.take_in(scope, now=NOW)
    assert (Delivery.objects.get().result, Job.objects.count()) == ("changed", 1)


def test_deliveries_nobody_takes_in_are_found_by_the_beat(queued):
    delivery = delivered(payload(JOBS[0]), event="workflow_job")
    late = timedelta(seconds=10)

    assert deliveries.wake_forgotten(now=NOW + timedelta(seconds=9), older_than=late) == 0
    assert deliveries.wake_forgotten(now=NOW + timedelta(seconds=11), older_than=late) == 1
    assert queued() == [("runners.tasks.take_in_deliveries", (delivery.scope_id,))]


def test_job_of_another_organization_than_the_scopes_is_kept_and_ignored():
    said = payload("workflow_job.queued.1.json")

    result, outcome = take(said, scope=ScopeFactory(slug="elsewhere"))

    assert (result, "is not of elsewhere" in outcome) == ("ignored", True)
    assert not Job.objects.exists()


def test_repository_a_delivery_names_is_watched_from_then_on():
    for name in JOBS + [name for name in RECORDED if name.startswith("workflow_run.")]:
        take(payload(name), event=name.split(".")[0])

    told = {payload(name)["repository"]["full_name"] for name in RECORDED if "workflow_" in name}
    assert set(Repository.objects.values_list("full_name", flat=True)) == told
    assert set(Repository.objects.values_list("active_at", flat=True)) == {NOW}


def test_ping_is_noted_on_the_scope_with_what_is_wrong():
    said = payload("ping.1.json")
    assert take(said, event="ping", hook="77")[1] == "The webhook is set up and reaches us"
    scope = Scope.objects.get()
    assert (scope.webhook_pinged_at, scope.webhook_hook_id, scope.webhook_problem) == (
        NOW,
        "77",
        "",
    )

    said["hook"]["events"] = ["push"]
    assert "Workflow jobs" in take(said, event="ping", hook="77")[1]
    assert "Workflow jobs" in Scope.objects.get().webhook_problem


def test_deleted_webhook_is_noted_and_a_new_one_clears_it():
    gone = payload("meta.deleted.1.json")
    take(payload("ping.1.json"), event="ping", hook="1", scope=scope_of(gone))
    assert take(gone, event="meta", hook="2")[0] == "nothing"
    assert Scope.objects.get().webhook_deleted_at is None

    assert take(gone, event="meta", hook="1")[0] == "changed"
    assert Scope.objects.get().webhook_deleted_at == NOW

    take(payload("ping.1.json"), event="ping", hook="3", scope=scope_of(gone))
    assert Scope.objects.get().webhook_deleted_at is None


@pytest.mark.parametrize("name", [name for name in RECORDED if name.startswith("installation")])
def test_news_of_the_installation_has_credential_and_repositories_looked_at(name, queued):
    scope = ScopeFactory(repositories_listed_at=NOW)

    take(payload(name), event=name.split(".")[0], scope=scope)

    assert queued() == [("runners.tasks.check_credential_by_id", (scope.credential_id,))]
    assert Scope.objects.get().repositories_listed_at is None


def test_event_we_do_not_use_is_kept_without_its_payload():
    assert take({"action": "opened"}, event="issues", scope=ScopeFactory())[0] == "nothing"
    assert Delivery.objects.get().payload is None


def test_deliveries_github_cannot_send_again_are_forgotten(monkeypatch):
    monkeypatch.setattr(deliveries, "FORGOTTEN_AT_ONCE", 2)
    for _ in range(5):
        delivered({"zen": "Keep it logically awesome."}, event="ping")
    Delivery.objects.filter(pk__gt=Delivery.objects.earliest("pk").pk).update(
        received_at=NOW - deliveries.KEPT - timedelta(seconds=1)
    )

    assert deliveries.forget_old(now=NOW) == 4
    assert Delivery.objects.count() == 1

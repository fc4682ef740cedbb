"""Deliveries that GitHub lists and we do not hold are kept like those that came."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from runners import deliveries, lost_deliveries, tasks
from runners.delivery_content import essence
from runners.errors import InvalidRequest
from runners.github.errors import GitHubUnavailable
from runners.github.types import Delivery as Listed
from runners.models import Credential, Delivery, Event, Job, Scope
from runners.registry import path_of
from tests.factories import NOW, ScopeFactory
from tests.fakes import FakeGitHub

pytestmark = pytest.mark.django_db(transaction=True)

ADDRESS = "https://fleet.example.com/webhooks/1/"
WEBHOOKS = Path(__file__).parent.parent / "payloads" / "github" / "webhooks"
SAID = json.loads((WEBHOOKS / "workflow_job.queued.1.json").read_text("utf-8"))
LATER = NOW + timedelta(minutes=1)


@pytest.fixture
def scope():
    slug = SAID["repository"]["full_name"].partition("/")[0]
    created = NOW - timedelta(days=9)
    return ScopeFactory(slug=slug, webhook_secret_encrypted="sealed", created_at=created)


@pytest.fixture
def github(scope):
    return HookedGitHub(scope)


class HookedGitHub(FakeGitHub):
    """A GitHub that has our webhook."""

    def __init__(self, scope):
        super().__init__()
        self.hook = self.create_webhook(path_of(scope), url=ADDRESS, secret="s", events=["*"])


def sent(github, scope, number, *, at=NOW - timedelta(minutes=2), ok=False, event="workflow_job"):
    """GitHub sent this; it never came."""
    payload = json.loads(json.dumps(SAID))
    payload["workflow_job"]["id"] = number
    guid = f"guid-{number}"
    github.payloads[guid] = json.dumps(payload)
    github.add_delivery(
        path_of(scope),
        github.hook.id,
        Listed(
            id=number,
            guid=guid,
            delivered_at=at,
            redelivery=False,
            duration_seconds=0.1,
            status="OK" if ok else "failed to connect to host",
            status_code=202 if ok else 0,
            event=event,
            action="queued",
            repository_id=1,
            throttled_at=None,
        ),
    )


def replay(scope, github, now=NOW):
    scope.refresh_from_db()
    return lost_deliveries.replay(scope, github=github, address=ADDRESS, now=now)


def test_lost_delivery_is_fetched_and_its_job_found(github, scope):
    sent(github, scope, 11)

    assert str(replay(scope, github)) == "1 listed, 1 replayed, 0 left"
    deliveries.take_in(scope, now=NOW)

    row = Delivery.objects.get()
    assert (row.replayed, row.guid, row.hook_id) == (True, "guid-11", str(github.hook.id))
    assert Job.objects.get().github_id == 11
    scope.refresh_from_db()
    assert (scope.webhook_hook_id, scope.deliveries_checked_at) == (str(github.hook.id), NOW)


def test_delivery_that_github_calls_delivered_and_we_do_not_hold_is_fetched_too(github, scope):
    sent(github, scope, 11, ok=True)

    assert replay(scope, github).replayed == 1


def test_what_is_held_is_not_fetched_again(github, scope):
    sent(github, scope, 11)
    replay(scope, github)

    assert replay(scope, github, LATER).replayed == 0
    assert github.calls.count("get_webhook_delivery") == 1


def test_delivery_that_comes_after_all_is_known(github, scope):
    sent(github, scope, 11)
    replay(scope, github)
    kept = Delivery.objects.get()
    again = lost_deliveries._event(
        github.get_webhook_delivery(path_of(scope), github.hook.id, 11), github.hook.id
    )

    assert not deliveries.keep(scope, again, now=LATER)
    assert Delivery.objects.get() == kept


@pytest.mark.parametrize(
    ("at", "event"),
    [
        (NOW - timedelta(seconds=10), "workflow_job"),
        (NOW - timedelta(days=4), "workflow_job"),
        (NOW - timedelta(minutes=2), "push"),
    ],
)
def test_what_is_under_way_too_old_or_of_no_use_is_left(at, event, github, scope):
    sent(github, scope, 11, at=at, event=event)

    assert replay(scope, github).replayed == 0


def test_more_than_one_look_fetches_is_left_to_the_next_at_once(github, scope, monkeypatch):
    monkeypatch.setattr(lost_deliveries, "FETCHED_AT_ONCE", 3)
    for number in range(5):
        sent(github, scope, number + 1, at=NOW - timedelta(minutes=9 - number))

    assert (replay(scope, github).replayed, replay(scope, github).left) == (3, 0)

    guids = Delivery.objects.order_by("pk").values_list("guid", flat=True)
    assert list(guids) == [f"guid-{number}" for number in (1, 2, 3, 4, 5)]


def test_lost_delivery_behind_more_than_a_look_lists_is_found(github, scope, monkeypatch):
    monkeypatch.setattr(lost_deliveries, "NEWEST", 2)
    replay(scope, github)
    for number in range(5):
        sent(github, scope, number + 1, at=NOW + timedelta(seconds=number))

    assert replay(scope, github, LATER).replayed == 5


def test_look_that_broke_off_keeps_what_came_and_says_why(github, scope):
    sent(github, scope, 11)
    github.fail_next("get_webhook_delivery", GitHubUnavailable("Down"))

    assert replay(scope, github).problem == "Down"
    scope.refresh_from_db()
    assert scope.deliveries_problem == "Down"
    assert replay(scope, github, LATER).replayed == 1


def test_credential_that_may_not_look_is_told_what_is_missing(github, scope):
    github.hide(path_of(scope))

    assert "Webhooks: read" in replay(scope, github).problem


def test_webhook_that_leads_elsewhere_is_not_ours(github, scope):
    sent(github, scope, 11)
    found = lost_deliveries.replay(
        scope, github=github, address="https://other.example.com/", now=NOW
    )

    assert "no webhook" in found.problem


@pytest.mark.parametrize(
    ("of_scope", "due"),
    [
        ({}, True),
        ({"deliveries_checked_at": NOW}, False),
        ({"deliveries_checked_at": NOW - timedelta(seconds=60)}, True),
        (
            {"deliveries_checked_at": NOW - timedelta(minutes=9), "deliveries_problem": "No"},
            False,
        ),
        ({"webhook_secret_encrypted": ""}, False),
        ({"kind": "enterprise"}, False),
    ],
)
def test_look_is_due(of_scope, due, scope):
    Scope.objects.update(**of_scope)
    scope.refresh_from_db()

    assert lost_deliveries.is_due(scope, now=NOW) == due


def test_task_leaves_a_short_budget_to_the_runners(github, scope, monkeypatch):
    sent(github, scope, 11)
    monkeypatch.setattr("runners.wiring.github_client", lambda scope: github)
    monkeypatch.setattr("runners.wiring.webhook_address", lambda scope: ADDRESS)
    monkeypatch.setattr("runners.wiring.now", lambda: NOW)
    Credential.objects.update(budget_limit=100, budget_remaining=9, budget_reset_at=LATER)
    assert "budget" in tasks.replay_deliveries(scope.pk)

    Credential.objects.update(budget_remaining=90)
    assert tasks.replay_deliveries(scope.pk) == "1 listed, 1 replayed, 0 left"
    assert tasks.replay_deliveries(scope.pk + 1) == "the scope was removed"


def test_redelivery_is_asked_of_github_and_written_down(github, scope, ada):
    sent(github, scope, 11)
    replay(scope, github)
    row = Delivery.objects.select_related("scope").get()

    lost_deliveries.redeliver(row, github=github, by=ada, reason="Try it", now=NOW)

    assert github.redelivered == [11]
    event = Event.objects.get(action="delivery.redeliver")
    assert (event.actor_name, event.reason, event.object_id) == ("ada", "Try it", row.pk)


def test_delivery_that_github_lists_no_more_cannot_be_redelivered(github, scope, ada):
    kept = essence("ping", {"zen": "Keep it logically awesome."})
    row = Delivery.objects.create(
        scope=scope,
        hook_id=str(github.hook.id),
        guid="old",
        event="ping",
        payload=kept.payload,
        received_at=NOW,
    )

    with pytest.raises(InvalidRequest, match="lists this delivery no more"):
        lost_deliveries.redeliver(row, github=github, by=ada, reason="", now=NOW)

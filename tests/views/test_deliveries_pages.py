"""The deliveries: listed, narrowed, looked at, sent again; and how the jobs are learned."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse

from runners import wiring
from runners.github.types import Delivery as Listed
from runners.models import Event, Scope
from runners.registry import path_of
from tests.factories import NOW, DeliveryFactory, JobFactory, ScopeFactory
from tests.fakes import FakeGitHub
from tests.views.conftest import HTMX
from tests.views.dom import parse

pytestmark = pytest.mark.django_db
LIST = reverse("delivery-list")


@pytest.fixture
def github(monkeypatch):
    fake = FakeGitHub()
    monkeypatch.setattr(wiring, "github_client", lambda scope: fake)
    monkeypatch.setattr(wiring, "now", lambda: NOW)
    return fake


def main_text(response):
    return parse(response.content).one("main").text


def shown(response):
    rows = parse(response.content).by_id("deliveries").all("tr")
    return [row["id"] for row in rows if row.has("id")]


def test_deliveries_are_listed_newest_first_with_what_came_of_them(viewer):
    old = DeliveryFactory(outcome="Job is queued")
    new = DeliveryFactory(result="ignored", outcome="Unknown action paused", replayed=True)

    response = viewer.get(LIST)

    assert shown(response) == [f"delivery-{new.pk}", f"delivery-{old.pk}"]
    assert {"Unknown action paused", "Lost on the way"} <= set(words_in(response))


def words_in(response):
    text = main_text(response)
    return [words for words in ("Unknown action paused", "Lost on the way") if words in text]


@pytest.mark.parametrize(
    "query",
    [
        {"scope": "wanted"},
        {"event": "ping"},
        {"action": "completed"},
        {"result": "failed"},
        {"q": "acme/wanted"},
        {"q": "abcd-12"},
    ],
)
def test_list_is_narrowed(query, viewer):
    DeliveryFactory()
    wanted = DeliveryFactory(
        scope=ScopeFactory(slug="wanted"),
        event="ping",
        action="completed",
        result="failed",
        repository="acme/wanted",
        guid="abcd-1234",
    )

    assert shown(viewer.get(LIST, query)) == [f"delivery-{wanted.pk}"]
    assert shown(viewer.get(LIST, query, headers=HTMX)) == [f"delivery-{wanted.pk}"]


@pytest.mark.parametrize("query", [{"result": "nonsense"}, {"before": "x"}, {"before": "9" * 40}])
def test_nonsense_in_the_address_narrows_nothing(query, viewer):
    DeliveryFactory()

    assert len(shown(viewer.get(LIST, query))) == 1


def test_older_deliveries_are_on_the_next_page(viewer):
    DeliveryFactory.create_batch(51)
    first = viewer.get(LIST)

    older = parse(first.content).one("a", rel="next")["href"]

    assert (len(shown(first)), len(shown(viewer.get(older)))) == (50, 1)


@pytest.mark.parametrize("count", [3, 30])
def test_list_costs_the_same_however_many(count, viewer, django_assert_max_num_queries):
    DeliveryFactory.create_batch(count)

    with django_assert_max_num_queries(8):
        viewer.get(LIST)


def test_delivery_shows_its_job_and_what_was_kept(viewer):
    job = JobFactory(name="build it")
    delivery = DeliveryFactory(scope=job.scope, subject_id=job.github_id)

    text = main_text(viewer.get(delivery.get_absolute_url()))

    assert "build it" in text
    assert '"status": "queued"' in text
    assert "Redeliver" not in text


def test_delivery_whose_payload_was_not_kept_says_so(viewer):
    delivery = DeliveryFactory(event="issues", payload=None, subject_id=None)

    assert "no use for this event" in main_text(viewer.get(delivery.get_absolute_url()))


def test_delivery_is_sent_again_and_that_is_written_down(operator, github):
    delivery = DeliveryFactory()
    path = path_of(delivery.scope)
    hook = github.create_webhook(path, url="https://fleet.example.com/", secret="s", events=["*"])
    type(delivery).objects.update(hook_id=str(hook.id))
    github.add_delivery(path, hook.id, listed(delivery.guid))

    asked = operator.get(reverse("delivery-redeliver", args=[delivery.pk]))
    done = operator.post(reverse("delivery-redeliver", args=[delivery.pk]), {"reason": "Try"})

    assert (asked.status_code, done.status_code, github.redelivered) == (200, 302, [7])
    assert Event.objects.get(action="delivery.redeliver").reason == "Try"


def listed(guid):
    return Listed(
        id=7,
        guid=guid,
        delivered_at=NOW,
        redelivery=False,
        duration_seconds=0.1,
        status="OK",
        status_code=202,
        event="workflow_job",
        action="queued",
        repository_id=1,
        throttled_at=None,
    )


def test_refusal_of_github_is_told(operator, github):
    delivery = DeliveryFactory()

    response = operator.post(reverse("delivery-redeliver", args=[delivery.pk]))

    assert response.status_code == 409
    assert not Event.objects.exists()


def test_source_of_a_scopes_jobs_is_chosen(sign_in):
    scope, admin = ScopeFactory(), sign_in("admin")
    url = reverse("scope-jobs", args=[scope.pk])
    assert admin.get(url).status_code == 200
    assert admin.post(url, {"source": "nonsense"}).status_code == 422

    response = admin.post(url, {"source": "polling"}, follow=True)

    assert Scope.objects.get().job_source == "polling"
    assert "by polling alone" in main_text(response)
    assert Event.objects.get().action == "scope.job-source"


def test_former_secret_is_shown_until_it_ends_and_can_be_forgotten(sign_in, github):
    scope, admin = ScopeFactory(), sign_in("admin")
    for _ in range(2):
        admin.post(reverse("scope-webhook", args=[scope.pk]))
    assert "Former secret" in main_text(admin.get(scope.get_absolute_url()))

    url = reverse("scope-webhook-forget", args=[scope.pk])
    assert admin.get(url).status_code == 200
    response = admin.post(url, follow=True)

    assert "Former secret" not in main_text(response)
    assert Scope.objects.get().webhook_secret_previous_encrypted == ""


@pytest.mark.parametrize(
    ("of_scope", "said"),
    [
        ({"jobs_swept_at": NOW - timedelta(seconds=20)}, "by webhook and polling"),
        ({}, "is not there yet"),
        ({"jobs_swept_at": NOW - timedelta(minutes=11)}, "The picture of"),
        ({"jobs_swept_at": NOW, "jobs_problem": "Down"}, "Down"),
        (
            {
                "jobs_swept_at": NOW,
                "webhook_secret_encrypted": "sealed",
                "webhook_deleted_at": NOW,
            },
            "deleted at GitHub",
        ),
        (
            {
                "jobs_swept_at": NOW,
                "webhook_secret_encrypted": "sealed",
                "webhook_refused_at": NOW,
            },
            "signature",
        ),
        ({"job_source": "webhook"}, "No webhook is set up"),
    ],
)
def test_jobs_say_how_old_the_picture_is_and_where_from(of_scope, said, viewer):
    ScopeFactory(**of_scope)

    assert said in parse(viewer.get(reverse("job-list")).content).by_id("picture").text

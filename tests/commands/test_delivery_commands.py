"""deliveries, job_source: what came, and how jobs are learned."""

import pytest

from runners.models import Event, Scope
from tests.factories import DeliveryFactory, ScopeFactory

pytestmark = pytest.mark.django_db


def test_deliveries_are_listed_and_narrowed(manage):
    DeliveryFactory(event="ping", scope=ScopeFactory(slug="other"))
    wanted = DeliveryFactory(scope=ScopeFactory(slug="acme"))

    found = manage("deliveries", "list", "--scope", "acme", "--event", "workflow_job", "--json")

    assert [row["guid"] for row in found.data["deliveries"]] == [wanted.guid]
    assert wanted.guid in manage("deliveries", "list").out
    assert manage("deliveries", "list", "--result", "failed").out.startswith("Nothing")


def test_one_delivery_is_shown_with_what_was_kept(manage):
    row = DeliveryFactory()

    shown = manage("deliveries", "show", row.guid, "--json").data["deliveries"][0]

    assert (shown["outcome"], shown["payload"]["action"]) == ("Job is queued", "queued")


def test_delivery_that_is_not_there_is_said(manage):
    assert manage("deliveries", "show", "nothing").code == 3


def test_delivery_that_github_refuses_to_send_again_ends_with_its_code(manage, github):
    row = DeliveryFactory()

    assert manage("deliveries", "redeliver", row.guid).code == 4
    assert not Event.objects.exists()


def test_source_of_jobs_is_told_and_chosen(manage):
    ScopeFactory(slug="acme")
    told = manage("job_source", "acme", "--json").data
    assert (told["chosen"], told["in_force"], told["as_of"], told["changed"]) == (
        "",
        "both",
        None,
        False,
    )

    assert manage("job_source", "acme", "--set", "webhook", "--json").data["changed"]

    assert Scope.objects.get().job_source == "webhook"
    assert not manage("job_source", "acme", "--set", "webhook", "--json").data["changed"]
    manage("job_source", "acme", "--set", "installation")
    assert Scope.objects.get().job_source == ""


def test_former_secret_is_forgotten(manage):
    ScopeFactory(slug="acme")
    for _ in range(2):
        manage("webhook_secret", "acme")
    assert Scope.objects.get().webhook_secret_previous_encrypted

    assert manage("webhook_secret", "acme", "--forget-previous", "--json").data["changed"]

    assert Scope.objects.get().webhook_secret_previous_encrypted == ""
    assert not manage("webhook_secret", "acme", "--forget-previous", "--json").data["changed"]

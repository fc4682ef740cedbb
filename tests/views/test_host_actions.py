"""What an operator does with hosts: plain forms and htmx, with and without a question first."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse

from runners.models import Event, Host, Runner
from runners.states import RunnerState
from tests.factories import NOW, HostFactory, RunnerFactory
from tests.views.conftest import HTMX
from tests.views.dom import parse

pytestmark = pytest.mark.django_db
LIST = reverse("host-list")


def url_of(verb, host):
    return reverse(f"host-{verb}", args=[host.name])


def on_page(host):
    return {**HTMX, "HX-Current-URL": f"http://testserver{host.get_absolute_url()}"}


def on_list(query=""):
    return {**HTMX, "HX-Current-URL": f"http://testserver{LIST}{query}"}


def toasts(page):
    return [toast.one("b").text for toast in page.by_id("messages").all("div")]


def fresh(host):
    return Host.objects.get(pk=host.pk)


# Cordon


def test_one_click_cordons_and_offers_to_undo_it(operator):
    host = HostFactory(name="forge-01")

    response = operator.post(url_of("cordon", host), follow=True)

    assert fresh(host).cordoned
    assert response.redirect_chain == [(host.get_absolute_url(), 302)]
    undo = parse(response.content).by_id("messages").one("form")
    assert undo["action"] == url_of("uncordon", host)


def test_a_reason_may_come_along(operator):
    host = HostFactory()

    operator.post(url_of("cordon", host), {"reason": "Disk"})

    assert fresh(host).cordoned_reason == "Disk"


def test_uncordon_lets_new_runners_in(operator):
    host = HostFactory(cordoned_for_work=True)

    operator.post(url_of("uncordon", host))

    assert not fresh(host).cordoned
    assert Event.objects.get().action == "host.uncordon"


def test_cordoning_twice_is_harmless(operator):
    host = HostFactory()

    operator.post(url_of("cordon", host))
    response = operator.post(url_of("cordon", host))

    assert response.status_code == 302
    assert Event.objects.filter(action="host.cordon").count() == 1


# Where the answer goes


def test_on_its_own_page_the_page_comes_back_fresh(operator):
    host = HostFactory()

    page = parse(operator.post(url_of("cordon", host), headers=on_page(host)).content)

    assert page.by_id("host-page").one(class_="pill").text == "Cordoned"
    assert toasts(page) == [f"{host.name} takes no new runners."]


def test_on_the_list_the_list_comes_back_with_its_filters(operator):
    host = HostFactory(site="eu")
    HostFactory(site="us", name="elsewhere")

    page = parse(operator.post(url_of("cordon", host), headers=on_list("?site=eu")).content)

    links = [link.text for link in page.by_id("hosts").all("a", class_="rowlink")]
    assert links == [host.name]
    assert page.by_id("hosts")["hx-get"] == f"{LIST}?site=eu"


# Drain


def test_a_drain_asks_first_and_says_what_follows(operator):
    host = HostFactory(name="forge-01")

    page = parse(operator.get(url_of("drain", host)).content)

    assert page.one("h1").text == "Drain forge-01?"
    assert page.one("form", action=url_of("drain", host)).one("button", type="submit").text == (
        "Drain forge-01"
    )


def test_a_drain_is_previewed_with_its_jobs_and_the_labels_it_leaves_bare(operator):
    host = HostFactory()
    RunnerFactory(host=host, slot=1, busy=True, labels=["x64", "gpu"])
    RunnerFactory(host=host, slot=2, labels=["x64"])
    RunnerFactory(labels=["x64"])

    said = parse(operator.get(url_of("drain", host)).content).one("main").text

    assert "It has 2 runners. 1 of them runs a job, which goes on." in said
    assert "No runner is left for gpu." in said


def test_a_drain_of_a_silent_host_says_what_is_unknown(operator):
    host = HostFactory(offline=True, name="forge-09")
    RunnerFactory(host=host)

    said = parse(operator.get(url_of("drain", host)).content).one("main").text

    assert "Silent, so what runs there is unknown: forge-09." in said


def test_an_empty_host_is_drained_into_a_cordon(operator):
    host = HostFactory()

    said = parse(operator.get(url_of("drain", host)).content).one("main").text

    assert "It has no runner now." in said


def test_a_drain_cordons_and_drains_every_runner(operator):
    host = HostFactory()
    runners = [RunnerFactory(host=host, slot=slot) for slot in (1, 2)]

    operator.post(url_of("drain", host), {"reason": "Kernel update"})

    states = set(
        Runner.objects.filter(pk__in=[r.pk for r in runners]).values_list("state", flat=True)
    )
    assert states == {RunnerState.DRAINING}
    assert fresh(host).cordoned_reason == "Kernel update"


@pytest.mark.parametrize(("choice", "minutes"), [("15", 15), ("60", 60), ("360", 360)])
def test_a_deadline_is_a_preset(operator, choice, minutes):
    runner = RunnerFactory()

    operator.post(url_of("drain", runner.host), {"reason": "x", "deadline_minutes": choice})

    runner.refresh_from_db()
    assert runner.drain_deadline_at == NOW + timedelta(minutes=minutes)


def test_without_a_deadline_jobs_take_their_time(operator):
    runner = RunnerFactory()

    operator.post(url_of("drain", runner.host), {"reason": "x", "deadline_minutes": ""})

    runner.refresh_from_db()
    assert runner.drain_deadline_at is None


def test_a_drain_without_a_reason_is_asked_again_with_what_was_entered(operator):
    host = HostFactory()

    response = operator.post(url_of("drain", host), {"deadline_minutes": "60"})

    page = parse(response.content)
    assert response.status_code == 422
    assert "Say why" in page.by_id("id_reason_error").text
    assert page.one("input", name="deadline_minutes", value="60").has("checked")
    assert not fresh(host).cordoned


def test_the_question_is_a_dialog_for_htmx(operator):
    host = HostFactory()

    response = operator.get(url_of("drain", host), headers=on_page(host))

    form = parse(response.content).one("dialog").one("form")
    assert response["HX-Retarget"] == "#dialog"
    assert form["hx-target"] == "#host-page"


# Slots


def test_slots_are_changed_and_recorded(operator):
    host = HostFactory(slots=4)

    operator.post(url_of("slots", host), {"slots": "6", "reason": "More memory"})

    event = Event.objects.get(action="host.slots")
    assert fresh(host).slots == 6
    assert (event.was, event.became, event.reason) == ("4", "6", "More memory")


def test_the_form_begins_with_the_slots_it_has(operator):
    page = parse(operator.get(url_of("slots", HostFactory(slots=7))).content)

    assert page.by_id("id_slots")["value"] == "7"


@pytest.mark.parametrize("slots", ["0", "257", "many", ""])
def test_an_impossible_number_of_slots_is_refused_beside_the_field(operator, slots):
    host = HostFactory(slots=4)

    response = operator.post(url_of("slots", host), {"slots": slots})

    assert response.status_code == 422
    assert parse(response.content).by_id("id_slots_error").text
    assert fresh(host).slots == 4


# Token


def test_a_token_rotation_is_asked_for(operator):
    host = HostFactory()

    operator.post(url_of("rotate-token", host))

    assert fresh(host).token_rotation_asked_at == NOW
    assert Event.objects.get().action == "host.rotate-token"


def test_looking_at_the_question_rotates_nothing(operator):
    host = HostFactory()

    assert operator.get(url_of("rotate-token", host)).status_code == 200
    assert fresh(host).token_rotation_asked_at is None


# Retire


def test_a_host_is_retired_by_typing_its_name(operator):
    host = HostFactory(name="forge-01")

    operator.post(url_of("retire", host), {"name": "forge-01", "reason": "Sold"})

    assert fresh(host).retired_at == NOW
    assert Event.objects.get(action="host.retire").reason == "Sold"


def test_another_name_retires_nothing(operator):
    host = HostFactory(name="forge-01")

    response = operator.post(url_of("retire", host), {"name": "forge-02"})

    assert response.status_code == 422
    assert parse(response.content).by_id("id_name_error").text == "Type forge-01 to retire it."
    assert fresh(host).retired_at is None


def test_a_host_at_work_is_not_retired(operator):
    host = HostFactory(name="forge-01")
    RunnerFactory(host=host, busy=True)

    response = operator.post(url_of("retire", host), {"name": "forge-01"})

    assert response.status_code == 409
    assert "may be running a job" in parse(response.content).one("main").text
    assert fresh(host).retired_at is None


def test_a_refusal_on_the_page_is_a_toast(operator):
    host = HostFactory(name="forge-01")
    RunnerFactory(host=host, busy=True)

    response = operator.post(url_of("retire", host), {"name": "forge-01"}, headers=on_page(host))

    assert response.status_code == 409
    assert "may be running a job" in toasts(parse(response.content))[0]

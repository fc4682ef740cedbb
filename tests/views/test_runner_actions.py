"""What an operator does with runners: plain forms and htmx, with and without a question first."""

from datetime import timedelta

import pytest
from django.urls import reverse

from runners.models import Event, Runner
from runners.states import RunnerState
from tests.factories import NOW, RunnerFactory
from tests.views.conftest import HTMX
from tests.views.dom import parse

pytestmark = pytest.mark.django_db
BULK = reverse("runner-bulk")
LIST = reverse("runner-list")


def url_of(verb, runner):
    return reverse(f"runner-{verb}", args=[runner.pk])


def on_page(runner):
    """Headers of a fragment asked for on the runner's own page."""
    return {**HTMX, "HX-Current-URL": f"http://testserver{runner.get_absolute_url()}"}


def toasts(page):
    return [toast.one("b").text for toast in page.by_id("messages").all("div")]


# Drain


def test_a_plain_drain_drains_and_goes_to_the_runner(operator):
    runner = RunnerFactory()

    response = operator.post(url_of("drain", runner), {"reason": "Update"}, follow=True)

    runner.refresh_from_db()
    assert (runner.state, runner.state_reason) == (RunnerState.DRAINING, "Update")
    assert response.redirect_chain == [(runner.get_absolute_url(), 302)]
    assert toasts(parse(response.content)) == [f"{runner.name} takes no new jobs."]


def test_one_click_is_enough_to_drain(operator):
    runner = RunnerFactory()

    operator.post(url_of("drain", runner))

    runner.refresh_from_db()
    assert runner.state == RunnerState.DRAINING


def test_a_drain_names_who_asked_for_it(operator):
    runner = RunnerFactory()

    operator.post(url_of("drain", runner))

    event = Event.objects.get(action="runner.draining")
    assert event.actor_user is not None
    assert event.actor_name == event.actor_user.username
    assert event.actor_kind == Event.ActorKind.USER


@pytest.mark.parametrize(("choice", "minutes"), [("15", 15), ("60", 60), ("360", 360)])
def test_a_deadline_is_a_preset(operator, choice, minutes):
    runner = RunnerFactory()

    operator.post(url_of("drain", runner), {"deadline_minutes": choice})

    runner.refresh_from_db()
    assert runner.drain_deadline_at == NOW + timedelta(minutes=minutes)


def test_a_deadline_that_is_no_preset_is_said_beside_the_field(operator):
    runner = RunnerFactory()

    response = operator.post(url_of("drain", runner), {"deadline_minutes": "7"})

    assert response.status_code == 422
    assert "7 is not one of the available choices" in parse(response.content).one("main").text
    runner.refresh_from_db()
    assert runner.state == RunnerState.ACTIVE


def test_the_question_before_a_drain_names_the_labels_it_leaves_bare(operator):
    runner = RunnerFactory(labels=["gpu", "x64"])
    RunnerFactory(labels=["x64"])

    page = parse(operator.get(url_of("drain", runner)).content)

    assert "No runner is left for gpu." in page.one("main").text


def test_a_drain_that_goes_on_can_be_given_another_deadline(operator):
    runner = RunnerFactory(busy=True, draining=True, state_reason="Disk")

    asked = parse(operator.get(url_of("drain", runner)).content)
    operator.post(url_of("drain", runner), {"deadline_minutes": "60", "reason": "Kernel"})

    assert asked.one("h1").text == f"Change the drain of {runner.name}?"
    runner.refresh_from_db()
    assert (runner.state, runner.state_reason) == (RunnerState.DRAINING, "Kernel")
    assert runner.drain_deadline_at == NOW + timedelta(hours=1)


def test_a_drain_from_the_list_answers_its_row_and_a_toast_that_undoes_it(operator):
    runner = RunnerFactory()

    response = operator.post(url_of("drain", runner), headers=HTMX)

    fragment = parse(response.content)
    assert fragment.by_id(f"runner-{runner.pk}").one("span", class_="status").text == "Draining"
    assert fragment.by_id("messages")["hx-swap-oob"] == "beforeend:#messages"
    assert fragment.by_id("messages").one("form")["action"] == url_of("stop-drain", runner)
    assert "fleet:changed" in response["HX-Trigger-After-Settle"]


def test_a_drain_from_its_page_answers_the_page(operator):
    runner = RunnerFactory()

    response = operator.post(url_of("drain", runner), headers=on_page(runner))

    assert parse(response.content).by_id("runner-page").one("span", class_="pill").text == (
        "Draining"
    )


def test_the_question_before_a_drain_is_a_page_of_its_own(operator):
    runner = RunnerFactory()

    page = parse(operator.get(url_of("drain", runner)).content)

    form = page.one("main").one("form")
    assert page.one("h1").text == f"Drain {runner.name}?"
    assert form["action"] == url_of("drain", runner)
    assert not form.has("hx-post")


def test_asking_changes_nothing(operator):
    runner = RunnerFactory(persistent=True)

    for verb in ("drain", "deregister", "labels"):
        operator.get(url_of(verb, runner))

    runner.refresh_from_db()
    assert runner.state == RunnerState.ACTIVE
    assert not Event.objects.exists()


def test_a_drain_the_state_forbids_is_409_with_the_reason(operator):
    runner = RunnerFactory(removed=True)

    response = operator.post(url_of("drain", runner))

    page = parse(response.content)
    assert response.status_code == 409
    assert "can't become draining" in page.one("div", class_="callout").text
    assert page.one("div", class_="actions").one("a")["href"] == runner.get_absolute_url()


def test_a_refusal_reaches_htmx_as_the_fresh_row_and_a_toast(operator):
    runner = RunnerFactory(removing=True)

    response = operator.post(url_of("drain", runner), headers=HTMX)

    fragment = parse(response.content)
    assert response.status_code == 409
    assert fragment.by_id(f"runner-{runner.pk}").one("span", class_="status").text == "Removing"
    assert fragment.by_id("messages").one("div")["data-state"] == "failure"


def test_a_refusal_on_its_page_answers_the_page(operator):
    runner = RunnerFactory(removing=True)

    response = operator.post(url_of("drain", runner), headers=on_page(runner))

    assert response.status_code == 409
    assert parse(response.content).by_id("runner-page").one("span", class_="pill").text == (
        "Removing"
    )


# Stop draining


def test_a_drain_can_be_stopped(operator):
    runner = RunnerFactory(draining=True)

    operator.post(url_of("stop-drain", runner), {"reason": "False alarm"})

    runner.refresh_from_db()
    assert (runner.state, runner.state_reason) == (RunnerState.ACTIVE, "False alarm")


def test_a_drain_that_left_github_can_not_be_stopped(operator):
    runner = RunnerFactory(draining=True, github_deleted_at=NOW)

    response = operator.post(url_of("stop-drain", runner))

    assert response.status_code == 409
    assert "already deregistered at GitHub" in parse(response.content).one("main").text


# Deregister


def test_deregistering_waits_for_the_job_unless_told_otherwise(operator):
    runner = RunnerFactory(busy=True)

    operator.post(url_of("deregister", runner), {"how": "when-done", "reason": ""})

    runner.refresh_from_db()
    assert (runner.state, runner.force) == (RunnerState.DRAINING, False)


def test_forcing_a_runner_out_needs_a_reason(operator):
    runner = RunnerFactory(busy=True)

    response = operator.post(url_of("deregister", runner), {"how": "now", "reason": " "})

    page = parse(response.content)
    assert response.status_code == 422
    assert "Say why" in page.by_id("id_reason_error").text
    runner.refresh_from_db()
    assert runner.state == RunnerState.ACTIVE


@pytest.mark.parametrize("typed", ["", "another", "LINUX-X64-1"])
def test_a_working_runner_is_forced_out_by_its_name_only(operator, typed):
    runner = RunnerFactory(busy=True, name="linux-x64-1")
    asked = {"how": "now", "reason": "It hangs", "name": typed}

    response = operator.post(url_of("deregister", runner), asked)

    assert response.status_code == 422
    assert "Type linux-x64-1" in parse(response.content).by_id("id_name_error").text
    runner.refresh_from_db()
    assert runner.state == RunnerState.ACTIVE


def test_an_idle_runner_is_forced_out_without_typing(operator):
    runner = RunnerFactory()

    page = parse(operator.get(url_of("deregister", runner)).content)
    operator.post(url_of("deregister", runner), {"how": "now", "reason": "Old"})

    assert page.one("main").all("input", name="name") == []
    runner.refresh_from_db()
    assert runner.force


def test_forcing_a_runner_out_records_the_reason(operator):
    runner = RunnerFactory(busy=True)
    asked = {"how": "now", "reason": "It hangs", "name": runner.name}

    operator.post(url_of("deregister", runner), asked)

    runner.refresh_from_db()
    assert (runner.state, runner.force) == (RunnerState.REMOVING, True)
    assert runner.state_reason == "It hangs"


def test_the_question_arrives_as_a_dialog_that_swaps_what_is_behind_it(operator):
    runner = RunnerFactory()

    response = operator.get(url_of("deregister", runner), headers=HTMX)

    dialog = parse(response.content).one("dialog")
    assert (response["HX-Retarget"], response["HX-Reswap"]) == ("#dialog", "innerHTML")
    assert dialog.one("form")["hx-target"] == f"#runner-{runner.pk}"


def test_on_the_runners_page_the_dialog_swaps_the_page(operator):
    runner = RunnerFactory()

    response = operator.get(url_of("deregister", runner), headers=on_page(runner))

    assert parse(response.content).one("form")["hx-target"] == "#runner-page"


def test_a_wrong_answer_comes_back_as_the_dialog(operator):
    runner = RunnerFactory()

    response = operator.post(url_of("deregister", runner), {"how": "now"}, headers=HTMX)

    assert response.status_code == 422
    assert response["HX-Retarget"] == "#dialog"
    assert "Say why" in parse(response.content).one("dialog").text


# Labels


def test_the_labels_of_a_persistent_runner_can_be_changed(operator):
    runner = RunnerFactory(persistent=True, labels=["linux"])

    operator.post(url_of("labels", runner), {"labels": "linux, gpu ,"})

    assert {label.name for label in runner.labels.all()} == {"linux", "gpu"}


def test_the_form_starts_with_the_labels_it_has(operator):
    runner = RunnerFactory(persistent=True, labels=["gpu", "linux"])

    page = parse(operator.get(url_of("labels", runner)).content)

    assert page.by_id("id_labels")["value"] == "gpu, linux"


def test_no_labels_at_all_is_refused_beside_the_field(operator):
    runner = RunnerFactory(persistent=True)

    response = operator.post(url_of("labels", runner), {"labels": ""})

    assert response.status_code == 422
    assert parse(response.content).by_id("id_labels_error").text == "This field is required."


def test_the_labels_of_an_ephemeral_runner_are_fixed(operator):
    runner = RunnerFactory()

    response = operator.post(url_of("labels", runner), {"labels": "gpu"})

    assert response.status_code == 409
    assert "ephemeral" in parse(response.content).one("main").text


# Several at once


def test_the_ticked_runners_drain_together(operator):
    ticked = RunnerFactory.create_batch(2)
    other = RunnerFactory()

    response = operator.post(
        f"{BULK}?state=idle",
        {"action": "drain", "confirmed": "yes", "ids": [runner.pk for runner in ticked]},
    )

    assert response["Location"] == f"{LIST}?state=idle"
    assert set(Runner.objects.filter(state="draining")) == set(ticked)
    other.refresh_from_db()
    assert other.state == RunnerState.ACTIVE


def test_one_refusal_spares_the_others_and_is_said(operator):
    fine, gone = RunnerFactory(), RunnerFactory(name="gone", removed=True)

    response = operator.post(
        BULK, {"action": "drain", "ids": [fine.pk, gone.pk], "confirmed": "yes"}, follow=True
    )

    fine.refresh_from_db()
    assert fine.state == RunnerState.DRAINING
    assert toasts(parse(response.content)) == [
        "1 runner takes no new jobs. gone is removed, so it can't become draining."
    ]


@pytest.mark.parametrize("data", [{}, {"action": "drain"}, {"action": "drain", "ids": ["x"]}])
def test_nothing_ticked_is_said(operator, data):
    response = operator.post(BULK, data)

    assert response.status_code == 409
    assert "Tick at least one runner" in parse(response.content).one("main").text


def test_a_bulk_drain_answers_the_list_with_the_filters_in_force(operator):
    runner = RunnerFactory(name="a-1")
    RunnerFactory(name="b-1")
    headers = {**HTMX, "HX-Current-URL": f"http://testserver{LIST}?q=a-"}

    response = operator.post(
        BULK, {"action": "drain", "ids": [runner.pk], "confirmed": "yes"}, headers=headers
    )

    rows = parse(response.content).by_id("runners").all("a", class_="rowlink mono")
    assert [row.text for row in rows] == ["a-1"]


def test_a_bulk_drain_asks_first_with_the_jobs_and_the_labels_it_leaves_bare(operator):
    chosen = RunnerFactory(busy=True, labels=["x64", "gpu"])
    RunnerFactory(labels=["x64"])

    response = operator.post(BULK, {"action": "drain", "ids": [chosen.pk]})

    chosen.refresh_from_db()
    said = parse(response.content).one("main").text
    assert "1 of them runs a job, which goes on. No runner is left for gpu." in said
    assert chosen.state == RunnerState.ACTIVE


def test_a_bulk_drain_carries_its_reason_and_deadline(operator):
    runner = RunnerFactory()
    asked = {"reason": "Kernel", "deadline_minutes": "360", "confirmed": "yes"}

    operator.post(BULK, {"action": "drain", "ids": [runner.pk], **asked})

    runner.refresh_from_db()
    assert runner.state_reason == "Kernel"
    assert runner.drain_deadline_at == NOW + timedelta(hours=6)


def test_a_bulk_deregistration_asks_first(operator):
    runners = RunnerFactory.create_batch(2, busy=True)
    ids = [runner.pk for runner in runners]

    response = operator.post(BULK, {"action": "deregister", "ids": ids})

    page = parse(response.content)
    assert page.one("h1").text == "Deregister 2 runners?"
    assert "2 of them run a job." in page.one("main").text
    kept = page.one("main").all("input", type="hidden", name="ids")
    assert [int(field["value"]) for field in kept] == ids
    assert not Runner.objects.exclude(state="active").exists()


def test_a_confirmed_bulk_deregistration_happens(operator):
    runners = RunnerFactory.create_batch(2)
    data = {
        "action": "deregister",
        "ids": [runner.pk for runner in runners],
        "confirmed": "yes",
        "how": "when-done",
    }

    operator.post(BULK, data)

    assert Runner.objects.filter(state="draining").count() == 2


@pytest.mark.parametrize(("typed", "status"), [("", 422), ("1", 422), ("2", 302)])
def test_forcing_several_busy_runners_out_takes_their_number(operator, typed, status):
    runners = RunnerFactory.create_batch(2, busy=True)
    data = {
        "action": "deregister",
        "ids": [runner.pk for runner in runners],
        "confirmed": "yes",
        "how": "now",
        "reason": "Bad disk",
        "busy_count": typed,
    }

    assert operator.post(BULK, data).status_code == status
    assert Runner.objects.filter(state="removing").count() == (2 if status == 302 else 0)


# Forms in general


def test_a_form_without_the_token_is_refused(operator):
    runner = RunnerFactory()
    operator.handler.enforce_csrf_checks = True

    response = operator.post(url_of("drain", runner))

    assert response.status_code == 403
    runner.refresh_from_db()
    assert runner.state == RunnerState.ACTIVE


@pytest.mark.parametrize("where", ["list", "page", "question"])
def test_every_form_works_without_script(operator, where):
    runner = RunnerFactory(persistent=True)
    url = {
        "list": LIST,
        "page": runner.get_absolute_url(),
        "question": url_of("deregister", runner),
    }[where]

    page = parse(operator.get(url).content)

    posting = page.all("form", method="post")
    assert posting
    for form in posting:
        assert form["action"].startswith("/")
        assert form.all("input", name="csrfmiddlewaretoken")
        assert form.all("button", type="submit")

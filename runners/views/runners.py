"""The runners: the list, one runner's page, and what an operator may do with one or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.core.paginator import Paginator
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from runners import lifecycle, recovery
from runners.errors import FleetError, InvalidRequest
from runners.filters import list_runners
from runners.forms.runners import (
    BulkDeregisterForm,
    BulkDrainForm,
    BulkForm,
    DeregisterForm,
    DrainForm,
    LabelsForm,
    StopDrainForm,
)
from runners.models import Runner, RunnerLog
from runners.states import RunnerState, is_busy
from runners.views import versions
from runners.views.actions import (
    Place,
    Question,
    Subject,
    act_on_each,
    ask_about,
    done,
    filters_in_force,
    refused,
)
from runners.views.drain_preview import busy_among, counted, labels_left_bare, what_goes_on
from runners.views.guard import role_required
from runners.views.runner_page import runner_page
from runners.views.runner_rows import runner_rows
from runners.views.shared import (
    Confirm,
    Context,
    FleetRequest,
    actor,
    ask,
    page,
    polled,
    refuse,
    respond,
)

PAGE_SIZE: Final = 25
_TABLE: Final = "runners/_runner_table.html"
_PAGE: Final = "runners/_runner_page.html"
_ROW: Final = "runners/_runner_row.html"


@polled(versions.fleet_version)
@role_required("viewer")
@require_GET
def runner_list(request: FleetRequest) -> HttpResponse:
    context = _list_context(request, request.GET)
    return page(request, "runners/runner_list.html", _TABLE, context)


@polled(versions.runner_version)
@role_required("viewer")
@require_GET
def runner_detail(request: FleetRequest, pk: int) -> HttpResponse:
    context = _detail_context(request, pk)
    return page(request, "runners/runner_detail.html", _PAGE, context)


@role_required("viewer")
@require_GET
def runner_log(request: FleetRequest, pk: int) -> HttpResponse:
    runner = _get_runner_for_user(request, pk)
    log = get_object_or_404(RunnerLog, runner=runner)
    response = HttpResponse(log.text, content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{runner.name}.log"'
    return response


@role_required("operator")
@require_http_methods(["GET", "POST"])
def runner_drain(request: FleetRequest, pk: int) -> HttpResponse:
    runner = _get_runner_for_user(request, pk)
    form = DrainForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        again = runner.state == RunnerState.DRAINING
        text = "It finishes the job it runs, takes no other, and is then deregistered."
        question = Question(
            f"Change the drain of {runner.name}?" if again else f"Drain {runner.name}?",
            f"{text} {labels_left_bare([runner])}".strip(),
            "Save" if again else "Drain",
        )
        return ask_about(request, _subject(request, runner), "drain", form, question)
    now = timezone.now()
    try:
        lifecycle.drain(
            runner,
            by=actor(request),
            reason=form.cleaned_data["reason"],
            now=now,
            deadline_at=now + form.deadline if form.deadline else None,
        )
    except FleetError as error:
        return refused(request, _subject(request, runner), error)
    said = f"{runner.name} takes no new jobs."
    return done(request, _subject(request, runner), said, undo="stop-drain")


@role_required("operator")
@require_POST
def runner_stop_drain(request: FleetRequest, pk: int) -> HttpResponse:
    runner = _get_runner_for_user(request, pk)
    form = StopDrainForm(request.POST)
    reason = form.cleaned_data["reason"] if form.is_valid() else ""
    try:
        lifecycle.stop_drain(runner, by=actor(request), reason=reason, now=timezone.now())
    except FleetError as error:
        return refused(request, _subject(request, runner), error)
    return done(request, _subject(request, runner), f"{runner.name} takes jobs again.")


@role_required("operator")
@require_POST
def runner_release(request: FleetRequest, pk: int) -> HttpResponse:
    runner = _get_runner_for_user(request, pk)
    event = recovery.release_runner(runner, by=actor(request), reason="", now=timezone.now())
    said = "is started anew" if event is not None else "was not quarantined"
    return done(request, _subject(request, runner), f"{runner.name} {said}.")


@role_required("operator")
@require_http_methods(["GET", "POST"])
def runner_deregister(request: FleetRequest, pk: int) -> HttpResponse:
    runner = _get_runner_for_user(request, pk)
    form = DeregisterForm(
        request.POST if request.method == "POST" else None,
        name=runner.name,
        busy=is_busy(runner.facts_at(timezone.now())),
    )
    if not form.is_valid():
        question = Question(
            f"Deregister {runner.name}?",
            "It is deleted at GitHub, then stopped, and its work directory is wiped.",
            "Deregister",
            danger=True,
        )
        return ask_about(request, _subject(request, runner), "deregister", form, question)
    try:
        lifecycle.deregister(
            runner,
            by=actor(request),
            reason=form.cleaned_data["reason"],
            now=timezone.now(),
            force=form.force,
        )
    except FleetError as error:
        return refused(request, _subject(request, runner), error)
    said = "is being removed" if form.force else "leaves when its job ends"
    return done(request, _subject(request, runner), f"{runner.name} {said}.")


@role_required("operator")
@require_http_methods(["GET", "POST"])
def runner_labels(request: FleetRequest, pk: int) -> HttpResponse:
    runner = _get_runner_for_user(request, pk)
    if request.method == "POST":
        form = LabelsForm(request.POST)
    else:
        names = runner.labels.values_list("name", flat=True)
        form = LabelsForm(initial={"labels": ", ".join(names)})
    if not form.is_valid():
        question = Question(
            f"Labels of {runner.name}",
            "GitHub matches them with runs-on. Jobs that wait are matched anew at once.",
            "Save labels",
        )
        return ask_about(request, _subject(request, runner), "labels", form, question)
    try:
        lifecycle.edit_labels(
            runner,
            form.names,
            by=actor(request),
            reason=form.cleaned_data["reason"],
            now=timezone.now(),
        )
    except FleetError as error:
        return refused(request, _subject(request, runner), error)
    return done(request, _subject(request, runner), f"{runner.name} gets its new labels.")


@role_required("operator")
@require_POST
def runner_bulk(request: FleetRequest) -> HttpResponse:
    query = filters_in_force(request)
    url = _list_url(query.urlencode())
    ticked = BulkForm(request.POST)
    if not ticked.is_valid():
        nothing = InvalidRequest("Tick at least one runner first.")
        return refuse(request, _TABLE, url, lambda: _list_context(request, query), nothing)
    runners = list(Runner.objects.filter(pk__in=ticked.cleaned_data["ids"]).select_related("host"))
    act = _bulk_drain if ticked.cleaned_data["action"] == "drain" else _bulk_deregister
    return act(request, runners, query)


def _bulk_drain(request: FleetRequest, runners: Sequence[Runner], query: QueryDict) -> HttpResponse:
    """Ask with what the drain means, then drain each alone."""
    now, by = timezone.now(), actor(request)
    form = BulkDrainForm(_answer(request), initial={"ids": [runner.pk for runner in runners]})
    if not form.is_valid():
        text = f"{what_goes_on(runners, now)} {labels_left_bare(runners)}".strip()
        return ask(request, _bulk_confirm("Drain", runners, text, query), form)
    reason, deadline_at = (
        form.cleaned_data["reason"],
        now + form.deadline if form.deadline else None,
    )

    def drain(runner: Runner) -> str:
        lifecycle.drain(runner, by=by, reason=reason, now=now, deadline_at=deadline_at)
        return ""

    said = act_on_each(runners, drain, ("runner takes no new jobs", "runners take no new jobs"))
    return _bulk_done(request, query, said)


def _bulk_deregister(
    request: FleetRequest, runners: Sequence[Runner], query: QueryDict
) -> HttpResponse:
    """Ask with the jobs on them, then deregister each alone."""
    now, by = timezone.now(), actor(request)
    busy = busy_among(runners, now)
    ids = [runner.pk for runner in runners]
    form = BulkDeregisterForm(_answer(request), ids=ids, busy=busy)
    if not form.is_valid():
        jobs = {0: "None of them runs a job.", 1: "1 of them runs a job."}
        text = f"{jobs.get(busy, f'{busy} of them run a job.')} Draining instead lets jobs finish."
        confirm = _bulk_confirm("Deregister", runners, text, query, danger=True)
        return ask(request, confirm, form)
    reason, force = form.cleaned_data["reason"], form.force

    def deregister(runner: Runner) -> str:
        lifecycle.deregister(runner, by=by, reason=reason, now=now, force=force)
        return ""

    now_gone = ("runner is being removed", "runners are being removed")
    when_done = ("runner leaves when its job ends", "runners leave when their jobs end")
    said = act_on_each(runners, deregister, now_gone if force else when_done)
    return _bulk_done(request, query, said)


def _answer(request: FleetRequest) -> QueryDict | None:
    """What was filled in, or None while the question was not asked yet."""
    return request.POST if "confirmed" in request.POST else None


def _bulk_done(request: FleetRequest, query: QueryDict, said: str) -> HttpResponse:
    url = _list_url(query.urlencode())
    return respond(request, _TABLE, url, lambda: _list_context(request, query), said=said)


def _bulk_confirm(
    verb: str, runners: Sequence[Runner], text: str, query: QueryDict, *, danger: bool = False
) -> Confirm:
    words = f"{verb} {counted(len(runners), 'runner')}"
    return Confirm(
        title=f"{words}?",
        text=text,
        button=words,
        action=f"{reverse('runner-bulk')}?{query.urlencode()}",
        cancel_url=_list_url(query.urlencode()),
        target="#runners",
        danger=danger,
    )


def _get_runner_for_user(request: FleetRequest, pk: int) -> Runner:
    """Every role sees every runner; a removed one keeps its page."""
    return get_object_or_404(Runner.objects.select_related("host", "scope", "pool"), pk=pk)


def _list_url(query: str) -> str:
    return f"{reverse('runner-list')}?{query}" if query else reverse("runner-list")


def _list_context(request: FleetRequest, query: QueryDict) -> Context:
    now = timezone.now()
    listing = list_runners(query, now=now)
    # Sorting whole rows is what costs: the keys are sorted, then one page of rows is read
    keys = Paginator(listing.rows.values_list("pk", flat=True), PAGE_SIZE)
    shown = keys.get_page(query.get("page"))
    return {
        "now": now,
        "version": versions.fleet_version(request),
        "listing": listing,
        "page": shown,
        "rows": runner_rows(shown, now=now),
        "filters": query,
        "list_url": _list_url(query.urlencode()),
    }


def _detail_context(request: FleetRequest, pk: int) -> Context:
    now = timezone.now()
    return {
        "now": now,
        "version": versions.runner_version(request, pk),
        "page": runner_page(_get_runner_for_user(request, pk), now=now),
    }


def _row_context(runner: Runner) -> Context:
    now = timezone.now()
    return {"now": now, "row": runner_rows([runner.pk], now=now)[0]}


def _subject(request: FleetRequest, runner: Runner) -> Subject:
    """The runner on its own page, where its row is not to be found, or as a row of a list."""
    return Subject(
        kind="runner",
        key=runner.pk,
        url=runner.get_absolute_url(),
        on_page=Place(_PAGE, "#runner-page", lambda: _detail_context(request, runner.pk)),
        on_list=Place(_ROW, f"#runner-{runner.pk}", lambda: _row_context(runner)),
    )

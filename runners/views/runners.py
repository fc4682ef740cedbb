"""The runners: the list, one runner's page, and what an operator may do with one or several."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Protocol
from urllib.parse import urlsplit

from django.core.paginator import Paginator
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from runners import lifecycle, recovery
from runners.audit import Actor
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
from runners.states import is_busy
from runners.views import versions
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
_PAGE_ID: Final = "runner-page"


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
    return page(request, "runners/runner_detail.html", "runners/_runner_page.html", context)


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
        text = "It finishes the job it runs, takes no other, and is then deregistered."
        title = f"Drain {runner.name}?"
        return ask(request, _confirm(request, runner, "drain", title, text, "Drain"), form)
    now = timezone.now()
    minutes = form.cleaned_data["deadline_minutes"]
    try:
        lifecycle.drain(
            runner,
            by=actor(request),
            reason=form.cleaned_data["reason"],
            now=now,
            deadline_at=now + timedelta(minutes=minutes) if minutes else None,
        )
    except FleetError as error:
        return _refused(request, runner, error)
    undo_url = reverse("runner-stop-drain", args=[pk])
    return _done(request, runner, f"{runner.name} takes no new jobs.", undo_url)


@role_required("operator")
@require_POST
def runner_stop_drain(request: FleetRequest, pk: int) -> HttpResponse:
    runner = _get_runner_for_user(request, pk)
    form = StopDrainForm(request.POST)
    reason = form.cleaned_data["reason"] if form.is_valid() else ""
    try:
        lifecycle.stop_drain(runner, by=actor(request), reason=reason, now=timezone.now())
    except FleetError as error:
        return _refused(request, runner, error)
    return _done(request, runner, f"{runner.name} takes jobs again.")


@role_required("operator")
@require_POST
def runner_release(request: FleetRequest, pk: int) -> HttpResponse:
    runner = _get_runner_for_user(request, pk)
    event = recovery.release_runner(runner, by=actor(request), reason="", now=timezone.now())
    said = "is started anew" if event is not None else "was not quarantined"
    return _done(request, runner, f"{runner.name} {said}.")


@role_required("operator")
@require_http_methods(["GET", "POST"])
def runner_deregister(request: FleetRequest, pk: int) -> HttpResponse:
    runner = _get_runner_for_user(request, pk)
    form = DeregisterForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        title = f"Deregister {runner.name}?"
        text = "It is deleted at GitHub, then stopped, and its work directory is wiped."
        confirm = _confirm(request, runner, "deregister", title, text, "Deregister", danger=True)
        return ask(request, confirm, form)
    try:
        lifecycle.deregister(
            runner,
            by=actor(request),
            reason=form.cleaned_data["reason"],
            now=timezone.now(),
            force=form.force,
        )
    except FleetError as error:
        return _refused(request, runner, error)
    said = "is being removed" if form.force else "leaves when its job ends"
    return _done(request, runner, f"{runner.name} {said}.")


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
        title = f"Labels of {runner.name}"
        text = "GitHub matches them with runs-on. Jobs that wait are matched anew at once."
        return ask(request, _confirm(request, runner, "labels", title, text, "Save labels"), form)
    try:
        lifecycle.edit_labels(
            runner,
            form.names,
            by=actor(request),
            reason=form.cleaned_data["reason"],
            now=timezone.now(),
        )
    except FleetError as error:
        return _refused(request, runner, error)
    return _done(request, runner, f"{runner.name} gets its new labels.")


@role_required("operator")
@require_POST
def runner_bulk(request: FleetRequest) -> HttpResponse:
    query = _filters_in_force(request)
    url = _list_url(query.urlencode())
    ticked = BulkForm(request.POST)
    if not ticked.is_valid():
        nothing = InvalidRequest("Tick at least one runner first.")
        return refuse(request, _TABLE, url, lambda: _list_context(request, query), nothing)
    runners = list(Runner.objects.filter(pk__in=ticked.cleaned_data["ids"]).select_related("host"))
    busy = sum(is_busy(runner.facts_at(timezone.now())) for runner in runners)
    data = request.POST if "confirmed" in request.POST else None
    if ticked.cleaned_data["action"] == "drain":
        return _bulk_drain(request, runners, busy, query, data)
    form = BulkDeregisterForm(data, ids=[runner.pk for runner in runners], busy=busy)
    if not form.is_valid():
        return ask(request, _bulk_confirm(runners, busy, query.urlencode()), form)
    said = _each(
        runners,
        partial(_deregister, reason=form.cleaned_data["reason"], force=form.force),
        by=actor(request),
        done=("is being removed", "are being removed")
        if form.force
        else ("leaves when its job ends", "leave when their jobs end"),
    )
    return respond(request, _TABLE, url, lambda: _list_context(request, query), said=said)


def _bulk_drain(
    request: FleetRequest,
    runners: Sequence[Runner],
    busy: int,
    query: QueryDict,
    data: QueryDict | None,
) -> HttpResponse:
    """Ask with what the drain means, then drain each alone."""
    form = BulkDrainForm(data, initial={"ids": [runner.pk for runner in runners]})
    if not form.is_valid():
        return ask(request, _drain_confirm(runners, busy, query.urlencode()), form)
    length = form.deadline
    said = _each(
        runners,
        partial(
            _drain,
            reason=form.cleaned_data["reason"],
            deadline_at=timezone.now() + length if length else None,
        ),
        by=actor(request),
        done=("takes no new jobs", "take no new jobs"),
    )
    url = _list_url(query.urlencode())
    return respond(request, _TABLE, url, lambda: _list_context(request, query), said=said)


def _drain_confirm(runners: Sequence[Runner], busy: int, query: str) -> Confirm:
    count = f"{len(runners)} runner{'s' if len(runners) != 1 else ''}"
    jobs = {0: "None of them runs a job.", 1: "1 of them runs a job, which goes on."}
    bare = Runner.objects.labels_only_on([runner.pk for runner in runners])
    left = f" No runner is left for {', '.join(bare)}." if bare else ""
    return Confirm(
        title=f"Drain {count}?",
        text=jobs.get(busy, f"{busy} of them run jobs, which go on.") + left,
        button=f"Drain {count}",
        action=f"{reverse('runner-bulk')}?{query}",
        cancel_url=_list_url(query),
        target="#runners",
    )


def _filters_in_force(request: FleetRequest) -> QueryDict:
    """The filters of the list the person looks at; the form's own address is as old as the page."""
    if request.htmx.current_url:
        return QueryDict(urlsplit(request.htmx.current_url).query)
    return request.GET


def _drain(
    runner: Runner, *, by: Actor, now: datetime, reason: str, deadline_at: datetime | None
) -> None:
    lifecycle.drain(runner, by=by, reason=reason, now=now, deadline_at=deadline_at)


def _deregister(runner: Runner, *, by: Actor, now: datetime, reason: str, force: bool) -> None:
    lifecycle.deregister(runner, by=by, reason=reason, now=now, force=force)


class _Verb(Protocol):
    def __call__(self, runner: Runner, *, by: Actor, now: datetime) -> None: ...


def _each(runners: Sequence[Runner], verb: _Verb, *, by: Actor, done: tuple[str, str]) -> str:
    """Act on each runner alone, so that one refusal spares the others; return what to say."""
    refusals = []
    now = timezone.now()
    for runner in runners:
        try:
            verb(runner, by=by, now=now)
        except FleetError as error:
            refusals.append(error.user_message)
    count = len(runners) - len(refusals)
    one, many = done
    said = f"1 runner {one}." if count == 1 else f"{count} runners {many}."
    return " ".join([said, *refusals])


def _bulk_confirm(runners: Sequence[Runner], busy: int, query: str) -> Confirm:
    count = f"{len(runners)} runner{'s' if len(runners) != 1 else ''}"
    jobs = {0: "None of them runs a job.", 1: "1 of them runs a job."}
    return Confirm(
        title=f"Deregister {count}?",
        text=f"{jobs.get(busy, f'{busy} of them run a job.')} Draining instead lets jobs finish.",
        button=f"Deregister {count}",
        action=f"{reverse('runner-bulk')}?{query}",
        cancel_url=_list_url(query),
        target="#runners",
        danger=True,
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


def _confirm(
    request: FleetRequest,
    runner: Runner,
    verb: str,
    title: str,
    text: str,
    button: str,
    *,
    danger: bool = False,
) -> Confirm:
    return Confirm(
        title=title,
        text=text,
        button=button,
        action=reverse(f"runner-{verb}", args=[runner.pk]),
        cancel_url=runner.get_absolute_url(),
        target=f"#{_PAGE_ID}" if _on_detail(request, runner) else f"#runner-{runner.pk}",
        danger=danger,
    )


def _on_detail(request: FleetRequest, runner: Runner) -> bool:
    """Whether the person looks at the runner's own page, where its row is not to be found."""
    here = urlsplit(request.htmx.current_url or "").path
    return here == runner.get_absolute_url()


def _done(request: FleetRequest, runner: Runner, said: str, undo_url: str = "") -> HttpResponse:
    url = runner.get_absolute_url()
    if _on_detail(request, runner):
        return respond(
            request,
            "runners/_runner_page.html",
            url,
            lambda: _detail_context(request, runner.pk),
            said=said,
            undo_url=undo_url,
        )
    return respond(
        request,
        "runners/_runner_row.html",
        url,
        lambda: _row_context(runner),
        said=said,
        undo_url=undo_url,
    )


def _refused(request: FleetRequest, runner: Runner, error: FleetError) -> HttpResponse:
    url = runner.get_absolute_url()
    if _on_detail(request, runner):
        fragment = "runners/_runner_page.html"
        return refuse(request, fragment, url, lambda: _detail_context(request, runner.pk), error)
    return refuse(request, "runners/_runner_row.html", url, lambda: _row_context(runner), error)

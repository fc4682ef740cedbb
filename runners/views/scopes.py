"""Settings: the scopes, where runners register, and what GitHub last said of each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.contrib import messages
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_GET, require_http_methods

from runners import connecting, job_picture, scopes, wiring
from runners.connecting import CredentialRefused
from runners.errors import FleetError
from runners.forms.settings import GroupForm, JobSourceForm, RemoveForm, ScopeForm
from runners.models import Credential, Event, Pool, Runner, Scope
from runners.scopes import GroupChoice
from runners.views.credentials import VerdictWords, verdict_words
from runners.views.event_words import happening
from runners.views.guard import role_required
from runners.views.shared import Confirm, FleetRequest, actor, ask

EVENTS_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class ScopeRow:
    """One scope of the list; `state` and `word` tell whether GitHub answers for it."""

    scope: Scope
    url: str
    state: str
    word: str
    since: datetime | None
    error: str
    runners: int
    pools: int
    verdict: VerdictWords


@role_required("viewer")
@require_GET
def scope_list(request: FleetRequest) -> HttpResponse:
    now = timezone.now()
    rows = [_row(scope, now) for scope in _counted_scopes()]
    context = {"now": now, "rows": rows}
    return render(request, "settings/scope_list.html", context)


@role_required("viewer")
@require_GET
def scope_detail(request: FleetRequest, pk: int) -> HttpResponse:
    scope = get_object_or_404(_counted_scopes().prefetch_related("packages"), pk=pk)
    events = Event.objects.filter(object_kind="scope", object_id=pk)[:EVENTS_SHOWN]
    now = timezone.now()
    context = {
        "now": now,
        "row": _row(scope, now),
        "webhook_address": wiring.webhook_address(scope),
        "picture": next(
            each
            for each in job_picture.pictures(source_of=wiring.job_source, now=now)
            if each.scope == scope
        ),
        "former_until": scope.webhook_secret_previous_until
        if scope.webhook_secret_previous_until and scope.webhook_secret_previous_until > now
        else None,
        "packages": scope.packages.all(),
        "events": [happening(event) for event in events],
    }
    return render(request, "settings/scope_detail.html", context)


@role_required("admin")
@require_http_methods(["GET", "POST"])
def scope_new(request: FleetRequest) -> HttpResponse:
    form = ScopeForm(request.POST if request.method == "POST" else None)
    context: dict[str, object] = {"form": form, "has_credential": Credential.objects.exists()}
    if not form.is_valid():
        status = 422 if form.is_bound else 200
        return render(request, "settings/scope_new.html", context, status=status)
    credential: Credential = form.cleaned_data["credential"]
    status = 409
    try:
        with wiring.client_for(credential) as github:
            scope = connecting.add_checked_scope(
                form.cleaned_data["web_url"],
                credential=credential,
                github=github,
                runner_group_id=form.cleaned_data["runner_group_id"],
                runner_group_name=form.cleaned_data["runner_group_name"],
                by=actor(request),
                now=timezone.now(),
            )
    except CredentialRefused as error:
        context["refused"] = error
        status = 422
    except FleetError as error:
        form.add_error(None, error.user_message)
    else:
        messages.success(request, f"{scope.slug} is added.")
        return redirect(scope)
    return render(request, "settings/scope_new.html", context, status=status)


@role_required("admin")
@require_http_methods(["GET", "POST"])
def scope_remove(request: FleetRequest, pk: int) -> HttpResponse:
    scope = get_object_or_404(Scope, pk=pk)
    form = RemoveForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        confirm = Confirm(
            title=f"Remove {scope.slug}?",
            text="Fleetui forgets it; GitHub changes nothing. Its jobs and past runners "
            "go with it, its events stay. A scope with runners or pools is kept.",
            button=f"Remove {scope.slug}",
            action=reverse("scope-remove", args=[pk]),
            cancel_url=scope.get_absolute_url(),
            danger=True,
        )
        return ask(request, confirm, form)
    try:
        scopes.remove_scope(
            scope, by=actor(request), reason=form.cleaned_data["reason"], now=timezone.now()
        )
    except FleetError as error:
        messages.error(request, error.user_message)
        return redirect(reverse("scope-detail", args=[pk]))
    messages.success(request, f"{scope.slug} is removed.")
    return redirect("scope-list")


@role_required("admin")
@require_http_methods(["GET", "POST"])
def scope_webhook(request: FleetRequest, pk: int) -> HttpResponse:
    """Ask, then make another secret and show it: it is in this answer only."""
    scope = get_object_or_404(Scope, pk=pk)
    if request.method == "GET":
        confirm = Confirm(
            title=f"Make a webhook secret for {scope.slug}?",
            text="It is shown once, to be entered at GitHub. Deliveries signed with the one before "
            "are taken for another 24 hours, so that none is lost.",
            button="Make secret",
            action=reverse("scope-webhook", args=[pk]),
            cancel_url=scope.get_absolute_url(),
        )
        return ask(request, confirm, None)
    secret = scopes.make_webhook_secret(
        scope, vault=wiring.vault(), by=actor(request), now=timezone.now()
    )
    context = {"scope": scope, "secret": secret, "address": wiring.webhook_address(scope)}
    response = render(request, "settings/scope_webhook.html", context)
    patch_cache_control(response, no_store=True)
    return response


@role_required("admin")
@require_http_methods(["GET", "POST"])
def scope_webhook_forget(request: FleetRequest, pk: int) -> HttpResponse:
    """Take the secret before no longer, as when it leaked."""
    scope = get_object_or_404(Scope, pk=pk)
    if request.method == "GET":
        confirm = Confirm(
            title=f"Forget the former webhook secret of {scope.slug}?",
            text="Deliveries signed with it are refused from then on. Do this once the new one is "
            "entered at GitHub, or at once if the former one leaked.",
            button="Forget it",
            action=reverse("scope-webhook-forget", args=[pk]),
            cancel_url=scope.get_absolute_url(),
        )
        return ask(request, confirm, None)
    scopes.forget_previous_webhook_secret(scope, by=actor(request), now=timezone.now())
    messages.success(request, f"{scope.slug} takes the present secret alone.")
    return redirect(scope)


@role_required("admin")
@require_http_methods(["GET", "POST"])
def scope_jobs(request: FleetRequest, pk: int) -> HttpResponse:
    """Choose how the scope's jobs are learned."""
    scope = get_object_or_404(Scope, pk=pk)
    data = request.POST if request.method == "POST" else None
    form = JobSourceForm(data, initial={"source": scope.job_source})
    if not form.is_valid():
        confirm = Confirm(
            title=f"How are the jobs of {scope.slug} learned?",
            text="Both is safest: a webhook tells within a second, polling finds what it missed.",
            button="Save",
            action=reverse("scope-jobs", args=[pk]),
            cancel_url=scope.get_absolute_url(),
        )
        return ask(request, confirm, form)
    scopes.set_job_source(scope, form.cleaned_data["source"], by=actor(request), now=timezone.now())
    messages.success(request, f"Jobs of {scope.slug}: {scope.get_job_source_display().lower()}.")
    return redirect(scope)


@role_required("admin")
@require_http_methods(["GET", "POST"])
def scope_webhook_remove(request: FleetRequest, pk: int) -> HttpResponse:
    scope = get_object_or_404(Scope, pk=pk)
    if request.method == "GET":
        confirm = Confirm(
            title=f"Remove the webhook secret of {scope.slug}?",
            text="Deliveries are refused from then on; jobs are found by polling alone.",
            button="Remove secret",
            action=reverse("scope-webhook-remove", args=[pk]),
            cancel_url=scope.get_absolute_url(),
            danger=True,
        )
        return ask(request, confirm, None)
    scopes.remove_webhook_secret(scope, by=actor(request), now=timezone.now())
    messages.success(request, f"{scope.slug} takes no webhook deliveries any more.")
    return redirect(scope)


@role_required("admin")
@require_http_methods(["GET", "POST"])
def scope_group(request: FleetRequest, pk: int) -> HttpResponse:
    """Choose among GitHub's runner groups; the known one alone while GitHub can't be asked."""
    scope = get_object_or_404(Scope.objects.select_related("credential"), pk=pk)
    try:
        with wiring.github_client(scope) as github:
            choice = scopes.runner_groups(scope, github=github)
    except FleetError as error:
        choice = GroupChoice([(scope.runner_group_id, scope.runner_group_name)], error.user_message)
    data = request.POST if request.method == "POST" else None
    form = GroupForm(data, groups=choice.groups, chosen=scope.runner_group_id)
    if form.is_valid():
        name = form.group_name
        scopes.set_runner_group(
            scope, form.cleaned_data["group"], name, by=actor(request), now=timezone.now()
        )
        messages.success(request, f"New runners of {scope.slug} join {name}.")
        return redirect(scope)
    context = {"scope": scope, "form": form, "problem": choice.problem}
    status = 422 if form.is_bound else 200
    return render(request, "settings/scope_group.html", context, status=status)


def _counted_scopes() -> QuerySet[Scope]:
    """Scopes with `current_runners` and `pool_count`."""
    # Counted apart: joined together, every runner would be met once for each pool
    runners = Runner.objects.current().filter(scope=OuterRef("pk")).order_by().values("scope")
    pools = Pool.objects.filter(scope=OuterRef("pk")).order_by().values("scope")
    number = Count("pk")
    return Scope.objects.select_related("credential").annotate(
        current_runners=Coalesce(Subquery(runners.annotate(number=number).values("number")), 0),
        pool_count=Coalesce(Subquery(pools.annotate(number=number).values("number")), 0),
    )


def _row(scope: Scope, now: datetime) -> ScopeRow:
    unknown = scopes.unknown_since(scope, now, stale_after=wiring.github_stale_after())
    if unknown is not None:
        state, word, since = "late", "Unknown", unknown
    elif scope.github_seen_at is None:
        state, word, since = "queued", "Not asked yet", scope.created_at
    else:
        state, word, since = "ok", "Answers", scope.github_seen_at
    return ScopeRow(
        scope=scope,
        url=scope.get_absolute_url(),
        state=state,
        word=word,
        since=since,
        error=_why_unknown(scope) if unknown is not None else "",
        runners=getattr(scope, "current_runners", 0),
        pools=getattr(scope, "pool_count", 0),
        verdict=verdict_words(scope.credential),
    )


def _why_unknown(scope: Scope) -> str:
    if scope.github_unknown_since is not None:
        return scope.github_error
    return "No pass over it has come to an end. Is the worker running?"

"""Settings: the credentials that speak to GitHub; their secrets go in and never come out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from runners import connecting, credentials, wiring
from runners.errors import FleetError
from runners.forms.settings import (
    NewCredentialForm,
    RemoveForm,
    ReplaceByForm,
    ReplaceSecretForm,
)
from runners.github.verdicts import USABLE, VerdictCode
from runners.models import Credential
from runners.views.guard import role_required
from runners.views.shared import Confirm, Context, FleetRequest, actor, ask, refuse, respond

EXPIRING_WITHIN: Final = timedelta(days=14)
_LIST: Final = "settings/_credentials.html"
_WORDS: Final[dict[str, str]] = {
    VerdictCode.VALID: "All granted",
    VerdictCode.TOO_BROAD: "Too broad",
    VerdictCode.JOBS_UNSEEN: "Jobs unseen",
    VerdictCode.EXPIRING: "Expires soon",
    VerdictCode.UNKNOWN: "Unknown",
    VerdictCode.SCOPE_NOT_FOUND: "Scope not found",
    VerdictCode.WRONG_SCOPE: "Wrong permissions",
    VerdictCode.ORGANIZATION_POLICY: "Blocked by policy",
    VerdictCode.APP_WITHOUT_PERMISSION: "App lacks permission",
    VerdictCode.APP_NOT_INSTALLED: "App not installed",
    VerdictCode.APP_SUSPENDED: "App suspended",
    VerdictCode.INVALID: "Invalid",
}


@dataclass(frozen=True, slots=True)
class VerdictWords:
    """A verdict as a state with its word; `text` says why and what to do, "" when all is well."""

    state: str
    word: str
    text: str


@dataclass(frozen=True, slots=True)
class ExpiryWords:
    """When a credential ends, as a state with its word."""

    state: str
    word: str


@dataclass(frozen=True, slots=True)
class CredentialRow:
    """One credential of the list; its secret is not among it."""

    credential: Credential
    kind: str
    scopes: str
    verdict: VerdictWords
    expiry: ExpiryWords
    budget_percent: int | None


@role_required("admin")
@require_GET
def credential_list(request: FleetRequest) -> HttpResponse:
    return render(request, "settings/credential_list.html", _list_context())


@role_required("admin")
@require_http_methods(["GET", "POST"])
def credential_new(request: FleetRequest) -> HttpResponse:
    form = NewCredentialForm(request.POST if request.method == "POST" else None)
    status = 200
    if form.is_bound:
        status = 422
        if form.is_valid():
            try:
                credential = credentials.create(
                    form.new_credential(),
                    vault=wiring.vault(),
                    by=actor(request),
                    now=timezone.now(),
                )
            except FleetError as error:
                form.add_error(None, error.user_message)
            else:
                messages.success(
                    request, f"{credential.name} is stored. It is checked once a scope uses it."
                )
                return redirect("credential-list")
    return render(request, "settings/credential_new.html", {"form": form}, status=status)


@role_required("admin")
@require_http_methods(["GET", "POST"])
def credential_replace(request: FleetRequest, pk: int) -> HttpResponse:
    credential = _get_credential_for_user(request, pk)
    data = request.POST if request.method == "POST" else None
    form = ReplaceSecretForm(data, kind=credential.kind)
    if form.is_valid():
        try:
            credentials.replace_secret(
                credential,
                form.secret,
                vault=wiring.vault(),
                by=actor(request),
                now=timezone.now(),
            )
        except FleetError as error:
            form.add_error(None, error.user_message)
        else:
            said = f"The secret of {credential.name} is replaced. {_check(request, credential)}"
            return _done(request, said)
    confirm = Confirm(
        title=f"Replace the secret of {credential.name}?",
        text="The old one is forgotten at once; GitHub is asked what the new one may do.",
        button="Replace secret",
        action=reverse("credential-replace", args=[pk]),
        cancel_url=reverse("credential-list"),
        target="#credentials",
    )
    return ask(request, confirm, form)


@role_required("admin")
@require_POST
def credential_check(request: FleetRequest, pk: int) -> HttpResponse:
    credential = _get_credential_for_user(request, pk)
    try:
        said = _check(request, credential)
    except FleetError as error:
        return refuse(request, _LIST, reverse("credential-list"), _list_context, error)
    return _done(request, said)


@role_required("admin")
@require_http_methods(["GET", "POST"])
def credential_replace_by(request: FleetRequest, pk: int) -> HttpResponse:
    credential = _get_credential_for_user(request, pk)
    form = ReplaceByForm(
        request.POST if request.method == "POST" else None,
        initial={"day": credential.expires_at.date() if credential.expires_at else None},
    )
    if form.is_valid():
        try:
            credentials.set_replace_by(
                credential, form.cleaned_data["day"], by=actor(request), now=timezone.now()
            )
        except FleetError as error:
            form.add_error(None, error.user_message)
        else:
            return _done(request, f"The day to replace {credential.name} by is saved.")
    confirm = Confirm(
        title=f"Replace the key of {credential.name} by",
        text="GitHub lets an App's key live for ever. Fleetui counts down to the day you give.",
        button="Save",
        action=reverse("credential-replace-by", args=[pk]),
        cancel_url=reverse("credential-list"),
        target="#credentials",
    )
    return ask(request, confirm, form)


@role_required("admin")
@require_http_methods(["GET", "POST"])
def credential_remove(request: FleetRequest, pk: int) -> HttpResponse:
    credential = _get_credential_for_user(request, pk)
    form = RemoveForm(request.POST if request.method == "POST" else None)
    url = reverse("credential-list")
    if not form.is_valid():
        confirm = Confirm(
            title=f"Remove {credential.name}?",
            text="Fleetui forgets its secret; revoke it at GitHub too. One in use is kept.",
            button=f"Remove {credential.name}",
            action=reverse("credential-remove", args=[pk]),
            cancel_url=url,
            target="#credentials",
            danger=True,
        )
        return ask(request, confirm, form)
    try:
        credentials.remove(
            credential, by=actor(request), reason=form.cleaned_data["reason"], now=timezone.now()
        )
    except FleetError as error:
        return refuse(request, _LIST, url, _list_context, error)
    return _done(request, f"{credential.name} is removed.")


def verdict_words(credential: Credential) -> VerdictWords:
    """Say what GitHub last said of a credential."""
    if not credential.verdict:
        return VerdictWords("queued", "Not checked yet", "It is checked once a scope uses it.")
    known = credential.verdict in list(VerdictCode)
    good = known and VerdictCode(credential.verdict) in USABLE
    state = "ok" if credential.verdict == VerdictCode.VALID else "warning" if good else "failure"
    if credential.verdict == VerdictCode.UNKNOWN:
        state = "late"
    text = f"{credential.verdict_message} {credential.verdict_fix}".strip()
    word = _WORDS.get(credential.verdict, credential.verdict)
    return VerdictWords(state, word, "" if state == "ok" else text)


def expiry_words(credential: Credential, now: datetime) -> ExpiryWords:
    """Say in how many days a credential ends; a warning from 14 days on."""
    days = credentials.days_left(credential, now)
    if days is None:
        is_app = credential.kind == Credential.Kind.APP
        return ExpiryWords("removed", "No day set" if is_app else "No end known")
    if days < 0:
        return ExpiryWords("failure", "Expired")
    soon = credential.expires_at is not None and credential.expires_at - now <= EXPIRING_WITHIN
    word = f"In {days} day{'' if days == 1 else 's'}" if days else "Within a day"
    return ExpiryWords("warning" if soon else "ok", word)


def _check(request: FleetRequest, credential: Credential) -> str:
    """Ask GitHub now and return what to say; a secret no key opens raises SecretUnreadable."""
    with wiring.client_for(credential) as github:
        verdict = connecting.check_now(
            credential, github=github, by=actor(request), now=timezone.now()
        )
    if verdict is None:
        return "It is checked once a scope uses it."
    return verdict.message


def _get_credential_for_user(request: FleetRequest, pk: int) -> Credential:
    """Only admins get this far, and they see every credential."""
    return get_object_or_404(Credential, pk=pk)


def _done(request: FleetRequest, said: str) -> HttpResponse:
    return respond(request, _LIST, reverse("credential-list"), _list_context, said=said)


def _list_context() -> Context:
    now = timezone.now()
    return {
        "now": now,
        "rows": [
            _row(credential, now)
            for credential in Credential.objects.prefetch_related("scopes").order_by("name")
        ],
    }


def _row(credential: Credential, now: datetime) -> CredentialRow:
    limit, left = credential.budget_limit, credential.budget_remaining
    return CredentialRow(
        credential=credential,
        kind=f"{credential.get_kind_display()} {credential.secret_hint}".strip(),
        scopes=", ".join(scope.slug for scope in credential.scopes.all()),
        verdict=verdict_words(credential),
        expiry=expiry_words(credential, now),
        budget_percent=min(100, left * 100 // limit) if limit and left is not None else None,
    )

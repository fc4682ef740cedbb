"""Making and changing a pool: its fields in groups, and what it would do before it is saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from django.contrib import messages
from django.forms import BoundField
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from runners import pool_policy
from runners.errors import FleetError
from runners.forms.pools import ChangeForm, PoolForm
from runners.models import Pool
from runners.pool_policy import Policy
from runners.views.guard import role_required
from runners.views.policy_preview import PreviewCard, choice_of, preview_card
from runners.views.shared import Context, FleetRequest, actor, page, wants_fragment

_PREVIEW: Final = "pools/_preview.html"
_PAGE: Final = "pools/pool_form.html"
# Title, note, fields, whether it is in view at first
_SECTIONS: Final = (
    ("What it is", "", ("name", "scope", "labels", "repositories", "owner"), True),
    (
        "How many, and how fast",
        "Empty numbers follow the preset.",
        (
            "min_idle",
            "max_runners",
            "warm_spares",
            "preset",
            "scale_up_jobs",
            "scale_up_seconds",
            "idle_timeout_seconds",
            "scale_up_step",
            "cooldown_seconds",
        ),
        True,
    ),
    ("Hours", "Other limits at some times of the week.", ("time_zone", "windows"), False),
    (
        "Which hosts",
        "Native hosts that can carry the labels serve, the preferred sites first.",
        (
            "architecture",
            "sites",
            "sites_only",
            "host_labels",
            "needs_gpu",
            "runners_per_gpu",
            "emulation",
            "cpus",
            "memory_gib",
            "disk_gib",
        ),
        False,
    ),
    (
        "Lifetime, fair share and runner group",
        "",
        (
            "lifetime",
            "max_lifetime_seconds",
            "start_deadline_seconds",
            "priority",
            "weight",
            "runner_group_id",
            "runner_group_name",
        ),
        False,
    ),
)
_WIDE: Final = frozenset({"labels", "repositories", "windows", "preset"})
_SWITCHES: Final = frozenset({"sites_only", "needs_gpu", "emulation"})


@dataclass(frozen=True, slots=True)
class Field:
    """One field and how it is laid out: `css_class` its width, `switch` a yes or no."""

    bound: BoundField
    css_class: str
    switch: bool


@dataclass(frozen=True, slots=True)
class Section:
    """A group of fields; a closed one opens when something in it is wrong or was decided."""

    key: str
    title: str
    note: str
    fields: list[Field]
    open: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """One line of the change: the field in words, before and after."""

    name: str
    before: str
    after: str


@role_required("admin")
@require_http_methods(["GET", "POST"])
def pool_new(request: FleetRequest) -> HttpResponse:
    form = PoolForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            pool = pool_policy.create(form.policy, by=actor(request), now=timezone.now())
        except FleetError as error:
            form.add_error(None, error.user_message)
        else:
            messages.success(request, f"{pool.name} is created.")
            return redirect(pool)
    status = 422 if form.is_bound else 200
    return render(request, _PAGE, _context(request, form, None), status=status)


@role_required("admin")
@require_http_methods(["GET", "POST"])
def pool_edit(request: FleetRequest, name: str) -> HttpResponse:
    pool = _get_pool_for_user(request, name)
    policy = pool_policy.policy_of(pool)
    form = ChangeForm(request.POST) if request.method == "POST" else ChangeForm.showing(policy)
    if form.is_valid():
        reason = form.cleaned_data["reason"]
        try:
            changed = pool_policy.change(
                pool, form.policy, by=actor(request), reason=reason, now=timezone.now()
            )
        except FleetError as error:
            form.add_error(None, error.user_message)
        else:
            said = "is saved. New runners follow it." if changed else "is as it was."
            messages.success(request, f"{form.policy.name} {said}")
            return redirect("pool-detail", form.policy.name)
    status = 422 if form.is_bound else 200
    shown = _get_pool_for_user(request, name)
    return render(request, _PAGE, _context(request, form, shown), status=status)


@role_required("admin")
@require_POST
def pool_new_preview(request: FleetRequest) -> HttpResponse:
    return _preview(request, PoolForm(request.POST), None)


@role_required("admin")
@require_POST
def pool_preview(request: FleetRequest, name: str) -> HttpResponse:
    form = ChangeForm(request.POST)
    # The reason is asked for when it is saved, not when it is tried
    form.fields["reason"].required = False
    return _preview(request, form, _get_pool_for_user(request, name))


def _preview(request: FleetRequest, form: PoolForm, pool: Pool | None) -> HttpResponse:
    context = _context(request, form, pool, tried=form.is_valid())
    status = 200 if form.is_valid() else 422
    return page(request, _PAGE, _PREVIEW, context, status=status)


def _get_pool_for_user(request: FleetRequest, name: str) -> Pool:
    """Every role sees every pool; who may change one was asked before."""
    rows = Pool.objects.select_related("scope").prefetch_related("labels")
    return get_object_or_404(rows, name=name)


def _context(
    request: FleetRequest, form: PoolForm, pool: Pool | None, *, tried: bool = False
) -> Context:
    """The page around a form; with `tried` also what its policy would have done."""
    was = pool_policy.policy_of(pool) if pool else None
    choice = choice_of(request.POST, has_current=was is not None)
    card: PreviewCard | None = None
    if tried:
        card = preview_card(form.policy, was, choice, now=timezone.now())
    url = reverse("pool-preview", args=[pool.name]) if pool else reverse("pool-new-preview")
    return {
        "now": timezone.now(),
        "form": form,
        "pool": pool,
        "sections": [] if wants_fragment(request) else _sections(form),
        "preview_url": url,
        "choice": choice,
        "card": card,
        "differences": _differences(form, was) if tried and was else [],
        "problems": _problems(form) if form.is_bound and not tried else [],
    }


def _sections(form: PoolForm) -> list[Section]:
    return [
        Section(
            key=f"section-{number}",
            title=title,
            note=note,
            fields=[
                Field(form[name], "" if name in _WIDE else "c4", name in _SWITCHES)
                for name in names
            ],
            open=in_view or any(form[name].errors or _decided(form, name) for name in names),
        )
        for number, (title, note, names, in_view) in enumerate(_SECTIONS)
    ]


def _decided(form: PoolForm, name: str) -> bool:
    """Whether a field says something else than a new pool's does."""
    value, usual = form[name].value(), form.fields[name].initial
    return str(value or "") not in (str(usual or ""), "0", "")


def _problems(form: PoolForm) -> list[tuple[str, str]]:
    """What keeps the policy from being tried: (field in words, what to do)."""
    found = [("", str(error)) for error in form.non_field_errors()]
    for name, errors in form.errors.items():
        if name in form.fields:
            found += [(str(form.fields[name].label), str(error)) for error in errors]
    return found


def _differences(form: PoolForm, was: Policy) -> list[Difference]:
    """What saving would change, in the words of the form."""
    return [
        Difference(_label(form, name), _value(before), _value(after))
        for name, (before, after) in pool_policy.changes(was, form.policy).items()
    ]


def _label(form: PoolForm, name: str) -> str:
    field = form.fields.get("lifetime" if name == "ephemeral" else name)
    return str(field.label) if field else name.replace("_", " ").capitalize()


def _value(value: object) -> str:
    """A value of the policy as a person reads it."""
    match value:
        case None | "":
            return "—"
        case bool():
            return "yes" if value else "no"
        case Mapping():
            limits = [f"{key} {each}" for key, each in value.items() if key not in ("days",)]
            return f"{','.join(value.get('days', ()))} {' '.join(limits)}"
        case str() | int():
            return str(value)
        case Sequence():
            return ", ".join(_value(each) for each in value) or "—"
    return str(value)
